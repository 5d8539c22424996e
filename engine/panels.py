"""The close-of-day panels of a tape, as far as their days have closed.

A panel's first axis is the day. A day is known once the CLOSE row of its market has been received: nothing here shows a
later one. Panels named ``axis_…`` say what the other axes mean and are known from the start. ``age_<panel>`` holds, for
each value, the business days since it was fresh: 0 fresh, 255 missing.

Where a tape holds several close-of-day markets, the panels of one begin with its symbol ("USD.RATES.swap_rate"). A
panel without a market's name is known for a day once all its markets have closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import StrategyError
from engine.instruments import Instrument
from engine.panel_layout import PER_UNIT, decimals
from engine.tape import is_axis

MISSING = 255  # age of a value that is not there


class Panels:
    """What of a tape's panels is known.

    Parameters
    ----------
    panels : mapping of name to array
        Of a tape; looked into at each use, so a feed may lengthen its arrays while a run goes on.
    instruments : sequence of Instrument
        Those of kind "rates" are the close-of-day markets; without any, all are.
    """

    def __init__(self, panels: Mapping[str, NDArray[Any]], instruments: Sequence[Instrument]) -> None:
        self._panels = panels
        markets = [instrument.symbol for instrument in instruments if instrument.kind == "rates"]
        self._today = dict.fromkeys(markets or [instrument.symbol for instrument in instruments], -1)

    def __bool__(self) -> bool:
        return bool(self._panels)

    @property
    def markets(self) -> list[str]:
        """Symbols of the close-of-day markets."""
        return list(self._today)

    @property
    def days(self) -> dict[str, int]:
        """The last known day of each close-of-day market; -1 before the first."""
        return self._today

    def close(self, market: str, day: int) -> bool:
        """A day of a market is known from here; False if it was known already."""
        if self._today[market] == day:
            return False
        self._today[market] = day
        return True

    def today(self, name: str) -> int:
        """The last day of a panel that is known; -1 before the first."""
        market = next((m for m in self._today if name.startswith(f"{m}.")), None)
        return min(self._today.values(), default=-1) if market is None else self._today[market]

    def row(self, name: str) -> NDArray[Any]:
        """A panel's last known day, read-only; the whole of an ``axis_`` panel.

        Raises
        ------
        StrategyError
            If there is no such panel, or none of its days has closed.
        """
        panel = self._panel(name)
        return _read_only(panel) if is_axis(name) else _read_only(panel[self._known(name)])

    def history(self, name: str) -> NDArray[Any]:
        """All known days of a panel, the last one last, read-only; raises as ``row``."""
        panel = self._panel(name)
        return _read_only(panel) if is_axis(name) else _read_only(panel[: self._known(name) + 1])

    def age(self, name: str) -> NDArray[np.uint8]:
        """Business days since each value of ``row(name)`` was fresh; 255 missing. Raises as ``row``."""
        market, dot, plain = name.rpartition(".")
        aged = f"{market}{dot}age_{plain}"
        if aged in self._panels:
            return self.row(aged)
        return np.where(_is_there(self.row(name)), np.uint8(0), np.uint8(MISSING))

    def of_market(self, market: str, max_age: int) -> dict[str, NDArray[Any]]:
        """A market's last known day by plain name, in decimals; values older than ``max_age`` business days are NaN."""
        prefix = f"{market}." if any(name.startswith(f"{market}.") for name in self._panels) else ""
        values: dict[str, NDArray[Any]] = {}
        for name in self._panels:
            plain = name[len(prefix) :]
            if not name.startswith(prefix) or plain.startswith("age_"):
                continue
            values[plain] = row = self.row(name)
            if plain in PER_UNIT:
                values[plain] = row = decimals(plain, row)
            if f"{prefix}age_{plain}" in self._panels:
                old = self.age(name) > max_age
                if old.any():
                    values[plain] = np.where(old, np.nan, row)
        return values

    def _panel(self, name: str) -> NDArray[Any]:
        try:
            return self._panels[name]
        except KeyError:
            held = ", ".join(self._panels) or "none"
            raise StrategyError(f"the tape has no panel {name!r}; it has {held}") from None

    def _known(self, name: str) -> int:
        day = self.today(name)
        if day < 0:
            raise StrategyError(f"no day of the panel {name!r} has closed yet; wait for on_close")
        return day


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = np.asarray(array)[...].view()
    view.flags.writeable = False
    return view


def _is_there(values: NDArray[Any]) -> NDArray[np.bool_]:
    return ~np.isnan(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
