"""A recorded tape as a feed: the whole tape at once, row by row, or in any pieces."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError, TapeError
from engine.tape import ROW, Kind, Manifest, Tape, is_axis
from feeds.times import as_ns

Rows = NDArray[np.void]


class TapeFeed:
    """Hand over the rows of one or more tapes.

    Parameters
    ----------
    *tapes : Tape or path
        Days in order of time, with the same instruments. Instruments recorded apart: ``feeds.merge`` joins them.
    chunks : None, int, or sequence
        None: each tape in one piece, without a copy. An int: so many rows at a time. Increasing indices: pieces that
        end there. Arrays: just these pieces, which together must be the rows.
    start, end : int (ns UTC) or ISO text
        Rows with ``start <= ts_event < end``; sessions wholly outside are left out.
    root : path
        Where relative paths are looked for first, then ``$TICKWRIGHT_DATA``.

    Attributes
    ----------
    tape : Tape
        What the rows mean: instruments, sessions, corporate actions, panels. Its rows are all rows if they come from
        one tape, else none.
    parts : list of ROW[n]
        The rows of each tape, memory-mapped: what is left of it between ``start`` and ``end``.

    Raises
    ------
    TapeError
        No tape, different instruments, or tapes that overlap in time.
    ConfigError
        Chunks that make no sense.
    """

    tape: Tape

    def __init__(
        self,
        *tapes: Tape | str | os.PathLike[str],
        chunks: int | Sequence[int] | Sequence[Rows] | None = None,
        start: int | str | None = None,
        end: int | str | None = None,
        root: str | os.PathLike[str] | None = None,
    ) -> None:
        days = [one if isinstance(one, Tape) else Tape.load(resolve(one, root)) for one in tapes]
        _follow(days)
        bounds = (_bound(start, -(2**63)), _bound(end, 2**63 - 1))
        self.parts = [part for part in _parts(days, *bounds) if len(part)]
        self.tape = Tape(self.parts[0] if len(self.parts) == 1 else np.zeros(0, ROW), *_meaning(days, *bounds))
        self._chunks = _pieces(self.parts, chunks)
        self._tapes = [(_called(day), day.path) for day in days]
        self._span = {name: as_ns(time) for name, time in (("start", start), ("end", end)) if time is not None}

    def read(self, *, until: int) -> Rows | None:
        """The next rows, or None at the end; ``until`` means nothing to a file, which never has to wait."""
        return next(self._chunks, None)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @property
    def params(self) -> dict[str, Any]:
        """The ``feed_params`` of a config that makes this feed again (without ``chunks``, which change nothing).

        Raises
        ------
        TapeError
            If a tape was never saved.
        """
        for name, path in self._tapes:
            if path is None:
                raise TapeError(f"{name} is in memory only, so a run over it cannot be repeated; Tape.save it first")
        return {"tapes": [str(Path(path).resolve()) for _, path in self._tapes if path], **self._span}


def resolve(path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> Path:
    """A path as given if absolute, else below ``root``, else below ``$TICKWRIGHT_DATA``, whichever is there first."""
    given = Path(path).expanduser()
    if given.is_absolute():
        return given
    data = os.environ.get("TICKWRIGHT_DATA")
    places = [Path(root or ".") / given, *([Path(data) / given] if data else [])]
    for place in places:
        if place.exists():
            return place
    tried = " or ".join(str(place) for place in places)
    cure = "check the path" if data else "check the path, or set TICKWRIGHT_DATA to the folder of your data"
    raise TapeError(f"{path}: not found at {tried}; {cure}")


def _follow(days: list[Tape]) -> None:
    if not days:
        raise TapeError("TapeFeed has no tape; name at least one")
    known = [msgspec.structs.asdict(one) for one in days[0].instruments]
    for before, after in pairwise(days):
        if [msgspec.structs.asdict(one) for one in after.instruments] != known:
            raise TapeError(
                f"{_called(after)} holds {_symbols(after)}, but {_called(days[0])} holds {_symbols(days[0])}: tapes of "
                "several days need the same instruments in the same order; join others with feeds.merge first"
            )
        if len(before) and len(after) and before.rows["ts_event"][-1] >= after.rows["ts_event"][0]:
            raise TapeError(
                f"{_called(after)} does not begin after {_called(before)} ends; give the tapes in order of time"
            )


def _parts(days: list[Tape], start: int, end: int) -> Iterator[Rows]:
    panel_day = 0
    for day in days:
        # by bisection: searchsorted would first copy the times of the whole tape out of its rows
        first, last = (bisect_left(day.rows, bound, key=lambda row: row["ts_event"]) for bound in (start, end))
        part = day.rows[first:last]
        if panel_day and len(part):  # panels are joined in order, so a later tape's CLOSE rows point further
            part = part.copy()
            part["order_id"][part["kind"] == Kind.CLOSE] += panel_day
        panel_day += day.panel_days or 0
        yield part


def _meaning(days: list[Tape], start: int, end: int) -> tuple[Manifest, dict[str, NDArray]]:
    sessions = [one for day in days for one in day.sessions if one[1] > start and one[0] < end]
    actions = [one for day in days for one in day.manifest.actions if start <= one.ts_event < end]
    verdict: dict[str, int] = {}
    for day in days:
        for code, count in day.manifest.verdict.items():
            verdict[code] = verdict.get(code, 0) + count
    manifest = msgspec.structs.replace(days[0].manifest, sessions=sessions, actions=actions, verdict=verdict)
    if len(days) > 1:
        manifest.name = f"{days[0].manifest.name} .. {days[-1].manifest.name}"
        manifest.content = "+".join(day.manifest.content for day in days)
    names = days[0].panels.keys()
    if any(day.panels.keys() != names for day in days):
        raise TapeError("tapes of several days need the same panels; export them again from one source")
    panels = {name: _joined(name, days) for name in names} if len(days) > 1 else days[0].panels
    return manifest, panels


def _joined(name: str, days: list[Tape]) -> NDArray:
    parts = [day.panels[name][: None if is_axis(name) else day.panel_days] for day in days]
    if not is_axis(name):
        return np.concatenate(parts)
    for day, part in zip(days, parts, strict=True):
        if part.dtype != parts[0].dtype or part.tobytes() != parts[0].tobytes():
            raise TapeError(f"{_called(day)} has another {name} than {_called(days[0])}; export both from one source")
    return parts[0]


def _pieces(parts: list[Rows], chunks: int | Sequence[int] | Sequence[Rows] | None) -> Iterator[Rows]:
    total = sum(map(len, parts))
    if chunks is None:
        return iter(parts)
    if isinstance(chunks, int):
        if chunks < 1:
            raise ConfigError(f"chunks is {chunks}, but must be >= 1 row at a time, or None for the whole tape")
        return (part[at : at + chunks] for part in parts for at in range(0, len(part), chunks))
    pieces = [piece for piece in chunks if isinstance(piece, np.ndarray) and piece.dtype == ROW]
    if pieces:
        if sum(map(len, pieces)) != total:
            raise ConfigError(f"chunks hold {sum(map(len, pieces))} rows, but the tapes {total}; cut the tape itself")
        return (piece for piece in pieces if len(piece))
    cuts = [int(cut) for cut in chunks]  # type: ignore[arg-type]
    if cuts != sorted(cuts) or (cuts and not 0 <= cuts[0] <= cuts[-1] <= total):
        raise ConfigError(f"chunks are cut at {cuts}, but must increase and lie within the {total} rows")
    return _cut(parts, [0, *cuts, total])


def _cut(parts: list[Rows], cuts: list[int]) -> Iterator[Rows]:
    begun = 0
    for part in parts:
        edges = sorted({min(max(cut - begun, 0), len(part)) for cut in cuts})
        yield from (part[a:b] for a, b in pairwise(edges))
        begun += len(part)


def _bound(time: int | str | None, otherwise: int) -> int:
    return otherwise if time is None else as_ns(time)


def _called(tape: Tape) -> str:
    return str(tape.path or tape.manifest.name or "a tape")


def _symbols(tape: Tape) -> str:
    return ", ".join(one.symbol for one in tape.instruments)
