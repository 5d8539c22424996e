"""Close-of-day files of a rates market become one tape: a CLOSE row and a day of panels each business day.

``feeds.panel_map`` says what the files mean, ``feeds.panel_files`` reads them, ``feeds.panel_ages`` fills their holes.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError, TapeError
from engine.panel_layout import AXES, NO_BOND, NONE, PER_UNIT
from engine.rates.day_counts import Dates
from engine.rates.holidays import HOLIDAYS, is_business_day
from engine.tape import Manifest, Tape
from feeds.close_rows import close_clock, close_instrument, close_rows
from feeds.panel_ages import MISSING, Aged, age
from feeds.panel_files import BondTable, Table, read_bonds, read_curve, read_vols
from feeds.panel_map import PanelMap, read_panel_map
from feeds.replay import resolve

Panels = dict[str, NDArray[Any]]
CURVES = ("swap_rate", "par_yield", "gc_repo", "policy_rate")
ACT_360 = 365.25 / 360.0


def import_panels(columns: str | os.PathLike[str] | PanelMap) -> list[Tape]:
    """Files of closes as one tape, by a panel map.

    Parameters
    ----------
    columns : path of a TOML file, or PanelMap
        Files are named from the map's folder on, or from ``$TICKWRIGHT_DATA``.

    Returns
    -------
    list of one Tape
        Panels as ``engine.panel_layout`` has them, each with its ``age_`` panel.

    Raises
    ------
    ConfigError
        The map has an unknown or a missing key, or a calendar or tenor that is not known.
    TapeError
        A file is missing or damaged, lacks a column, or has a row that breaks a rule of ``feeds.panel_files``.
    """
    wanted = columns if isinstance(columns, PanelMap) else read_panel_map(columns)
    root = None if isinstance(columns, PanelMap) else Path(columns).resolve().parent
    close_clock(wanted.close)
    tables = _read(wanted, root)
    bonds = None
    if wanted.bond:
        static, prices = resolve(wanted.bond.static, root), resolve(wanted.bond.prices, root)
        bonds = read_bonds(static, prices, wanted.bond, wanted.delimiter)
    held = [table.dates for table in (*tables.values(), *([bonds.price] if bonds else []))]
    if not held:
        raise ConfigError("the panel map names no file; give it [swap_rate], [par_yield], [normal_vol] or [bond]")
    days = _business_days(wanted, held)
    counts: Counter[str] = Counter()
    panels: Panels = {"date": days.astype(np.int64).astype(np.int32)}
    for name, table in tables.items():
        panels |= _panel(name, _on_days(table, days, counts), table, wanted, counts)
    if bonds:
        panels |= _bond_panels(bonds, days, wanted, counts)
    manifest = Manifest(
        name=wanted.symbol,
        instruments=[close_instrument(wanted.symbol, wanted.currency)],
        source=wanted.source,
        licence=wanted.licence,
        recipe="tickwright data import panels",
        verdict=dict(counts),
    )
    return [Tape(close_rows(days, wanted.close, wanted.zone), manifest, panels)]


def _read(wanted: PanelMap, root: Path | None) -> dict[str, Table]:
    tables = {}
    for name in CURVES:
        curve = getattr(wanted, name)
        if curve:
            table = read_curve(resolve(curve.file, root), curve, wanted.delimiter)
            scale = ACT_360 if name == "gc_repo" and curve.day_count == "ACT/360" else 1.0
            tables[name] = table._replace(values=table.values * scale)
    if wanted.policy_rate and len(wanted.policy_rate.columns) != 1:
        raise ConfigError("[policy_rate.columns] must name one column")
    if wanted.normal_vol:
        file = resolve(wanted.normal_vol.file, root)
        tables["normal_vol"] = read_vols(file, wanted.normal_vol, wanted.delimiter)
    return tables


def _business_days(wanted: PanelMap, held: list[Dates]) -> Dates:
    first = np.datetime64(wanted.start or min(dates[0] for dates in held), "D")
    last = np.datetime64(wanted.end or max(dates[-1] for dates in held), "D")
    if first > last:
        raise ConfigError(f"start {first} is after end {last}; the files hold {min(d[0] for d in held)} to {last}")
    if wanted.calendar in HOLIDAYS:
        every = first + np.arange(int((last - first).astype(np.int64)) + 1)
        days = every[is_business_day(every, wanted.calendar)]
    else:
        days = _sessions(wanted.calendar, first, last)
    if len(days) == 0:
        raise ConfigError(f"the calendar {wanted.calendar!r} has no business day from {first} to {last}")
    return days


def _sessions(calendar: str, first: np.datetime64, last: np.datetime64) -> Dates:
    import exchange_calendars  # slow to import, and only needed here
    import exchange_calendars.errors

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the calendar's own use of pandas
            known = exchange_calendars.get_calendar(calendar, start=str(first), end=str(last + 7))
    except (ValueError, exchange_calendars.errors.CalendarError) as error:
        known_here = ", ".join(HOLIDAYS)
        raise ConfigError(f"calendar {calendar!r}: {error}; take one of {known_here}, or an exchange's") from None
    days = known.sessions.to_numpy().astype("datetime64[D]")
    return days[days <= last]


def _on_days(table: Table, days: Dates, counts: Counter[str]) -> NDArray[np.float64]:
    """Values by business day, NaN where the file has none; dates on which the market is closed are dropped."""
    out = np.full((len(days), *table.values.shape[1:]), np.nan)
    at = np.minimum(np.searchsorted(days, table.dates), len(days) - 1)
    inside = (table.dates >= days[0]) & (table.dates <= days[-1])
    kept = inside & (days[at] == table.dates)
    out[at[kept]] = table.values[kept]
    _count(counts, "HOLIDAY", int((inside & ~kept).sum()))
    return out


def _panel(name: str, values: NDArray[np.float64], table: Table, wanted: PanelMap, counts: Counter[str]) -> Panels:
    if name == "policy_rate":  # rightly still between meetings
        wanted = msgspec.structs.replace(wanted, still_days=0)
    aged = _aged(values, wanted, counts)
    if name == "policy_rate":
        return {name: aged.values[:, 0], f"age_{name}": aged.age[:, 0]}
    panels: Panels = {name: aged.values, f"age_{name}": aged.age}
    panels.update(zip(AXES[name], table.axes, strict=True))
    return panels


def _bond_panels(bonds: BondTable, days: Dates, wanted: PanelMap, counts: Counter[str]) -> Panels:
    """Prices and repo in slots: a bond has one from its first price until it is carried no further."""
    raw = _on_days(bonds.price, days, counts)
    raw[days[:, None] >= bonds.static["maturity"].astype("datetime64[D]")] = np.nan
    seen = ~np.isnan(raw).all(axis=0)
    static, raw = bonds.static[seen], raw[:, seen]
    price = _aged(raw, wanted, None)
    over = days[:, None] >= static["maturity"].astype("datetime64[D]")
    slots = _slots(raw, over, wanted.carry_days)
    alive = np.where(slots == NO_BOND, -1, slots.astype(np.int64))
    _count_aged(counts, price, slots)
    panels: Panels = {
        "bond": slots,
        "bond_price": _in_slots(price.values, alive, "bond_price", np.int32),
        "age_bond_price": np.where(alive >= 0, np.take_along_axis(price.age, np.maximum(alive, 0), 1), MISSING).astype(
            np.uint8
        ),
        "axis_bond": static,
    }
    if bonds.repo:
        repo = _aged(_on_days(bonds.repo, days, Counter())[:, seen], wanted, None)
        panels["bond_repo"] = _in_slots(repo.values, alive, "bond_repo", np.int16)
        old = np.take_along_axis(repo.age, np.maximum(alive, 0), 1)
        panels["age_bond_repo"] = np.where(alive >= 0, old, MISSING).astype(np.uint8)
    return panels


def _slots(raw: NDArray[np.float64], over: NDArray[np.bool_], carry_days: int) -> NDArray[np.uint16]:
    """[day, slot]: each bond in the lowest free slot, from its first price until its last one is carried no further."""
    there = ~np.isnan(raw)
    came = there.argmax(axis=0)
    last = len(raw) - there[::-1].argmax(axis=0) - 1
    gone = np.minimum(last + carry_days + 1, np.where(over.any(axis=0), over.argmax(axis=0), len(raw)))
    if raw.shape[1] >= NO_BOND:
        raise TapeError(f"{raw.shape[1]} bonds, but a tape holds at most {NO_BOND - 1}; import fewer at a time")
    free_from: list[int] = []
    place = np.zeros(raw.shape[1], np.int64)
    for b in np.argsort(came, kind="stable").tolist():
        slot = next((s for s, end in enumerate(free_from) if end <= came[b]), len(free_from))
        if slot == len(free_from):
            free_from.append(0)
        free_from[slot], place[b] = int(gone[b]), slot
    slots = np.full((len(raw), len(free_from)), NO_BOND, np.uint16)
    for b in range(raw.shape[1]):
        slots[came[b] : gone[b], place[b]] = b
    return slots


def _in_slots(values: NDArray[np.float64], alive: NDArray[np.int64], name: str, kind: type) -> NDArray[Any]:
    mine = np.where(alive >= 0, np.take_along_axis(values, np.maximum(alive, 0), axis=1), np.nan)
    units = np.rint(mine * PER_UNIT[name])
    return np.where(np.isnan(units), NONE[name], np.nan_to_num(units)).astype(kind)


def _aged(values: NDArray[np.float64], wanted: PanelMap, counts: Counter[str] | None) -> Aged:
    aged = age(values, carry_days=wanted.carry_days, still_days=wanted.still_days)
    for code, count in aged.counts.items():
        if counts is not None:
            _count(counts, code, count)
    return aged


def _count_aged(counts: Counter[str], price: Aged, slots: NDArray[np.uint16]) -> None:
    """Of bonds only the days between first price and last are counted: before and after there is no hole."""
    day, slot = np.nonzero(slots != NO_BOND)
    ages = price.age[day, slots[day, slot]]
    values = price.values[day, slots[day, slot]]
    _count(counts, "MISSING", int(np.isnan(values).sum()))
    _count(counts, "CARRIED", int(((ages > 0) & ~np.isnan(values)).sum()) - price.counts.get("STILL", 0))
    _count(counts, "STILL", price.counts.get("STILL", 0))


def _count(counts: Counter[str], code: str, number: int) -> None:
    if number:
        counts[code] += number
