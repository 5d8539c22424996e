"""What the files of a close-of-day market mean: the TOML map of ``tickwright data import panels``.

The keys, with an example, are in docs/data.md.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

import msgspec

from engine.errors import ConfigError

WORTH = {"decimal": 1.0, "percent": 1e-2, "bp": 1e-4}
ON_A_DAY = 365.25  # what repo counts a year as
UNITS = {"d": 1 / ON_A_DAY, "w": 7 / ON_A_DAY, "m": 1 / 12, "y": 1.0}
Unit = Literal["decimal", "percent", "bp"]


class Curve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row a day, one column a tenor."""

    file: str
    columns: dict[str, str]  # a tenor ("10y", "3m", "O/N", "0.25" years) = the file's column
    date: str = "date"
    unit: Unit = "decimal"
    day_count: Literal["ACT/365.25", "ACT/360"] = "ACT/365.25"  # of gc_repo


class Vols(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row a vol: normal vols a year by expiry, tenor and strike offset; names of the file's columns."""

    file: str
    date: str = "date"
    expiry: str = "expiry"  # years, or text like "1M"
    tenor: str = "tenor"
    offset: str = "offset"  # strike minus forward; "": every vol is at the money
    vol: str = "vol"
    unit: Unit = "decimal"
    offset_unit: Unit = "decimal"


class BondFiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row a bond in ``static``, a row a price in ``prices``; names of the files' columns."""

    static: str
    prices: str
    isin: str = "isin"
    dated: str = "dated"
    maturity: str = "maturity"
    coupon: str = "coupon"
    kind: str = ""  # "": NOTE up to 10 years, else BOND
    coupon_unit: Unit = "decimal"
    frequency: int = 2
    day_count: str = "ACT/ACT ICMA"
    date: str = "date"
    clean_price: str = "clean_price"
    par: float = 100.0  # what a price of par is in the file
    repo: str = ""  # 6-month repo, per 365.25 days; "": none is known
    repo_unit: Unit = "decimal"


class PanelMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A market, its calendar, and the files of its panels."""

    symbol: str
    carry_days: int  # business days for which a value that is missing is the one before
    still_days: int = 0  # a value repeated for longer is aged; 0: never
    calendar: str = "US government bond"  # of engine.rates.holidays, or a name of exchange_calendars
    close: str = "15:00"
    zone: str = "America/New_York"
    currency: str = "USD"
    start: str = ""  # first and last day; "": those of the files
    end: str = ""
    delimiter: str = ","
    source: str = ""
    licence: str = ""
    swap_rate: Curve | None = None
    par_yield: Curve | None = None
    gc_repo: Curve | None = None
    policy_rate: Curve | None = None  # one column, of any name
    normal_vol: Vols | None = None
    bond: BondFiles | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.carry_days <= 250 or not 0 <= self.still_days <= 250:
            raise ConfigError(
                f"carry_days and still_days are {self.carry_days} and {self.still_days}, but must be from 0 to 250"
            )


def read_panel_map(path: str | os.PathLike[str]) -> PanelMap:
    """A panel map from TOML."""
    try:
        return msgspec.toml.decode(Path(path).read_bytes(), type=PanelMap)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a panel map") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}; docs/data.md lists the keys of a panel map") from None


def years(text: str) -> float:
    """A tenor in years: "10y", "3M", "1w", "O/N", or a plain number of years.

    Raises
    ------
    ConfigError
        If it is none of them, or not > 0.
    """
    plain = str(text).strip().lower()
    if plain in ("o/n", "on"):
        return UNITS["d"]
    found = re.fullmatch(r"(\d+(?:\.\d+)?(?:e-?\d+)?)([dwmy]?)", plain)
    if not found or float(found[1]) <= 0:
        raise ConfigError(f"{text!r} is no tenor; write 10y, 3m, 1w, O/N or a number of years")
    return float(found[1]) * UNITS[found[2] or "y"]
