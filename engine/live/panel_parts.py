"""Close-of-day panels as they come over a wire: in parts, each day hashed, filled into arrays that are there already.

A day of a panel is cut every ``PANEL_PART`` bytes; an ``axis_`` panel is whole, as day -1. What has arrived lies in
the arrays at once, but ``engine.panels`` shows a day only after its CLOSE row, which a receiver holds until then.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import TapeError
from engine.live.messages import PANEL_PART, PanelPart, PanelShape, WantPanel
from engine.tape import check_panel_name, is_axis

AXIS = -1  # the day of an axis_ panel
LARGEST = 1 << 32  # bytes of all panels together; a market with more is refused
DTYPES = "biufSUM"  # kinds of numpy that a panel may hold
Columns = Annotated[list[tuple[str, str]], msgspec.Meta(min_length=1, max_length=64)]


class PanelConflict(ValueError):
    """A day that is complete came again with other content."""


class PanelParts:
    """The panels of a market, and which of their days have arrived.

    Parameters
    ----------
    shapes : sequence of PanelShape

    Attributes
    ----------
    arrays : dict of name to array
        (days, *shape), or the shape alone of an ``axis_`` panel; days that have not arrived are zeros.

    Raises
    ------
    ValueError
        If a shape is no panel's, or all together are larger than ``LARGEST``.
    """

    def __init__(self, shapes: Sequence[PanelShape]) -> None:
        types = {one.name: _dtype(one) for one in shapes}
        self._bytes = {one.name: math.prod(one.shape) * types[one.name].itemsize for one in shapes}
        if sum(self._bytes[one.name] * max(1, one.days) for one in shapes) > LARGEST:
            raise ValueError(f"the panels of the market are larger than {LARGEST:,} bytes; publish fewer days")
        self.arrays: dict[str, NDArray[Any]] = {
            one.name: np.zeros(one.shape if is_axis(one.name) else (one.days, *one.shape), types[one.name])
            for one in shapes
        }
        self._flat = {name: array.reshape(-1).view(np.uint8) for name, array in self.arrays.items() if array.size}
        self._parts: dict[tuple[str, int], tuple[bytes, set[int]]] = {}  # digest and parts of days under way
        self._complete: dict[tuple[str, int], bytes] = {}  # digests
        self._axes = [(one.name, AXIS) for one in shapes if is_axis(one.name)]
        self._arrived = {one.name: 0 for one in shapes}  # all days before this one are complete

    def add(self, part: PanelPart) -> bool:
        """Fill in a part; False if it is of no panel here, of another size, or completes a day of another digest.

        Raises
        ------
        PanelConflict
            If the day is complete, and the part is of another.
        """
        key = (part.name, part.day)
        if not self.has(*key):
            return False
        if key in self._complete:
            if self._complete[key] != part.digest:
                raise PanelConflict(f"day {part.day} of the panel {part.name} came again with other content")
            return True
        begin = part.part * PANEL_PART
        expected = min(PANEL_PART, self._bytes[part.name] - begin)
        if part.parts != self.count(part.name) or part.part >= part.parts or len(part.data) != expected:
            return False
        digest, seen = self._parts.get(key, (b"", set[int]()))
        if digest != part.digest:
            seen = set()  # parts of two versions do not mix
        day = self._day(*key)
        day[begin : begin + expected] = np.frombuffer(part.data, np.uint8)
        seen.add(part.part)
        self._parts[key] = (part.digest, seen)
        if len(seen) < part.parts:
            return True
        del self._parts[key]
        if digest_of(day) != part.digest:
            return False
        self._complete[key] = part.digest
        return True

    def holds(self, part: PanelPart) -> bool:
        """Whether this very part has been filled in."""
        key = (part.name, part.day)
        digest, seen = self._parts.get(key, (b"", ()))
        return self._complete.get(key) == part.digest or (digest == part.digest and part.part in seen)

    def has(self, name: str, day: int) -> bool:
        """Whether there is such a panel with such a day."""
        if name not in self.arrays:
            return False
        return day == AXIS if is_axis(name) else 0 <= day < len(self.arrays[name])

    def count(self, name: str) -> int:
        """Parts that a day of a panel comes in."""
        return max(1, math.ceil(self._bytes[name] / PANEL_PART))

    def lacking(self, names: Sequence[str], day: int) -> Iterator[tuple[str, int]]:
        """(panel, day) of what has not arrived, up to a day: a market's history shows days without a close, too."""
        for name in names:
            begin = self._arrived[name]
            while (name, begin) in self._complete:
                begin += 1
            self._arrived[name] = begin
            yield from ((name, one) for one in range(begin, day + 1) if (name, one) not in self._complete)

    def lacking_axes(self) -> Iterator[tuple[str, int]]:
        """(panel, AXIS) of the ``axis_`` panels that have not arrived."""
        return (key for key in self._axes if key not in self._complete)

    def missing(self, days: Iterable[tuple[str, int]], most: int) -> list[WantPanel]:
        """Requests for the first parts that are missing of these days of panels."""
        return list(islice((want for key in days for want in self._parts_lacking(*key)), most))

    def lacks(self, want: WantPanel) -> bool:
        """Whether what was asked for has not arrived."""
        key = (want.name, want.day)
        return key not in self._complete and want.part not in self._parts.get(key, (b"", ()))[1]

    def _parts_lacking(self, name: str, day: int) -> Iterator[WantPanel]:
        return filter(self.lacks, (WantPanel(name, day, part) for part in range(self.count(name))))

    def _day(self, name: str, day: int) -> NDArray[np.uint8]:
        size = self._bytes[name]
        begin = 0 if day == AXIS else day * size
        return self._flat[name][begin : begin + size] if size else np.zeros(0, np.uint8)


def shapes_of(panels: Mapping[str, NDArray[Any]]) -> list[PanelShape]:
    """What a market says of its panels."""
    return [
        PanelShape(name, dtype_text(panel.dtype), panel.shape, 0)
        if is_axis(name)
        else PanelShape(name, dtype_text(panel.dtype), panel.shape[1:], len(panel))
        for name, panel in panels.items()
    ]


def parts_of(
    panels: Mapping[str, NDArray[Any]], name: str, day: int, *, stream: str, epoch: int
) -> Iterator[PanelPart]:
    """A day of a panel in the parts that are sent."""
    content = np.ascontiguousarray(panels[name] if day == AXIS else panels[name][day : day + 1]).tobytes()
    parts = max(1, math.ceil(len(content) / PANEL_PART))
    digest = digest_of(content)
    for part in range(parts):
        data = content[part * PANEL_PART : (part + 1) * PANEL_PART]
        yield PanelPart(stream, epoch, name, day, part, parts, digest, data)


def digest_of(content: bytes | NDArray[np.uint8]) -> bytes:
    """BLAKE2b-128."""
    return hashlib.blake2b(content, digest_size=16).digest()


def dtype_text(dtype: np.dtype[Any]) -> str:
    """As a ``PanelShape`` says it."""
    return dtype.str if dtype.names is None else msgspec.json.encode(dtype.descr).decode()


def _dtype(shape: PanelShape) -> np.dtype[Any]:
    """Numbers, texts of fixed length, or columns of those; nothing that holds objects or could run code."""
    try:
        check_panel_name(shape.name)
    except TapeError as error:
        raise ValueError(f"{error}") from None
    try:
        columns = msgspec.json.decode(shape.dtype, type=Columns) if shape.dtype.startswith("[") else [("", shape.dtype)]
        types = [np.dtype(text) for _, text in columns]
        whole = np.dtype(columns) if shape.dtype.startswith("[") else types[0]
    except (msgspec.DecodeError, TypeError, ValueError, SyntaxError):
        types, whole = [], np.dtype("V")
    if not types or any(one.kind not in DTYPES or one.itemsize == 0 for one in types):
        raise ValueError(f"the panel {shape.name} is of the type {shape.dtype!r}, which no panel has")
    return whole
