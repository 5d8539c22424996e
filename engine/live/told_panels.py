"""Which days of close-of-day panels a feed has told: those whose CLOSE row it publishes, and no later one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from engine.instruments import Instrument
from engine.live.messages import PanelPart
from engine.live.panel_parts import AXIS, parts_of
from engine.tape import is_axis


class ToldPanels:
    """The panels of a source, as far as subscribers may know them.

    Parameters
    ----------
    panels : mapping of name to array
    instruments : sequence of Instrument
        Those of kind "rates" are the close-of-day markets; without any, all are. A panel whose name begins with a
        market's symbol and a dot is of that market; others come with the first close, and are shown after the last.
    """

    def __init__(
        self, panels: Mapping[str, NDArray[Any]], instruments: Sequence[Instrument], *, stream: str, epoch: int
    ) -> None:
        self._panels, self._stream, self._epoch = panels, stream, epoch
        has_rates = any(one.kind == "rates" for one in instruments)
        self._markets = {n: one.symbol for n, one in enumerate(instruments) if one.kind == "rates" or not has_rates}
        self._known = {name: -1 for name in sorted(panels) if not is_axis(name)}  # last day told

    def axes(self) -> Iterator[PanelPart]:
        """What the places of other panels mean: known from the start."""
        for name in sorted(self._panels):
            if is_axis(name):
                yield from self._parts(name, AXIS)

    def close(self, instrument: int, day: int) -> list[tuple[str, int]]:
        """A CLOSE row comes: (panel, day) of what is known with it and was not before."""
        new: list[tuple[str, int]] = []
        if instrument not in self._markets:
            return new
        for name, known in self._known.items():
            if known < day and self._is_of(name, self._markets[instrument]):
                # a market may have no close on a day that its panels have, but its history shows that day, too
                new += [(name, other) for other in range(known + 1, min(day + 1, len(self._panels[name])))]
                self._known[name] = day
        return new

    def days(self, told: Sequence[tuple[str, int]]) -> Iterator[PanelPart]:
        """The parts of some days of panels."""
        for name, day in told:
            yield from self._parts(name, day)

    def part(self, name: str, day: int, part: int) -> PanelPart | str:
        """A part again, or why not: NO_PANEL, NO_DAY, NOT_YET or NO_PART."""
        if name not in self._panels:
            return "NO_PANEL"
        if not (day == AXIS if is_axis(name) else 0 <= day < len(self._panels[name])):
            return "NO_DAY"
        if day > self._known.get(name, AXIS):
            return "NOT_YET"
        return next((one for one in self._parts(name, day) if one.part == part), "NO_PART")

    def _is_of(self, name: str, market: str) -> bool:
        return name.startswith(f"{market}.") or not any(name.startswith(f"{one}.") for one in self._markets.values())

    def _parts(self, name: str, day: int) -> Iterator[PanelPart]:
        return parts_of(self._panels, name, day, stream=self._stream, epoch=self._epoch)
