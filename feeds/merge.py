"""Many instruments recorded apart become one tape, in the total order (ts_event, source, seq), and come apart again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import TapeError
from engine.tape import ROW, Manifest, Tape

Sessions = list[tuple[int, int]]


def merge(tapes: Sequence[Tape]) -> Tape:
    """One tape of all rows, by time; at equal time in the order of the tapes.

    A group of rows has one time and one source, so groups stay together, each ended by its LAST. Instruments, sources
    and rows are renumbered in the order of the tapes; sessions are their union. ``merge`` is associative.

    Parameters
    ----------
    tapes : sequence of Tape
        Each in order; no symbol twice.

    Raises
    ------
    TapeError
        No tape; a symbol in two of them; panels in more than one.
    """
    if not tapes:
        raise TapeError("merge has no tape; give at least one")
    symbols = Counter(one.symbol for tape in tapes for one in tape.instruments)
    twice = [symbol for symbol, count in symbols.items() if count > 1]
    if twice:
        raise TapeError(
            f"merge: {', '.join(twice)} in more than one tape; days of one instrument are a list of tapes for TapeFeed"
        )
    paneled = [tape for tape in tapes if tape.panels]
    if len(paneled) > 1:
        raise TapeError("merge: panels in more than one tape; put all close-of-day panels into one")
    rows = np.concatenate([tape.rows for tape in tapes])
    instruments, begun, sources = [], 0, 0
    for tape in tapes:
        instruments += [msgspec.structs.replace(one, source=one.source + sources) for one in tape.instruments]
        rows["instrument"][begun : begun + len(tape)] += len(instruments) - len(tape.instruments)
        begun += len(tape)
        sources = 1 + max((one.source for one in instruments), default=-1)
    if len(tapes) > 1:
        rows = rows[np.argsort(rows["ts_event"], kind="stable")]
    verdict: Counter[str] = Counter()
    for tape in tapes:
        verdict.update(tape.manifest.verdict)
    manifest = Manifest(
        name=" + ".join(tape.manifest.name for tape in tapes),
        instruments=instruments,
        sessions=union(session for tape in tapes for session in tape.sessions),
        actions=sorted((action for tape in tapes for action in tape.manifest.actions), key=lambda one: one.ts_event),
        source="; ".join(dict.fromkeys(tape.manifest.source for tape in tapes)),
        licence="; ".join(dict.fromkeys(tape.manifest.licence for tape in tapes)),
        recipe="; ".join(dict.fromkeys(tape.manifest.recipe for tape in tapes)),
        synthetic=any(tape.manifest.synthetic for tape in tapes),
        verdict=dict(verdict),
    )
    return Tape(rows, manifest, paneled[0].panels if paneled else None)


def split(tape: Tape) -> list[Tape]:
    """One tape for each instrument, its rows in their order: the inverse of ``merge`` on tapes of one instrument."""
    return [_alone(tape, index) for index in range(len(tape.instruments))]


def union(sessions: Iterable[tuple[int, int]]) -> Sessions:
    """Intervals in order, those that overlap joined; the same one twice is once, a touch is no overlap."""
    joined: Sessions = []
    for opened, closed in sorted(sessions):
        if joined and opened < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(closed, joined[-1][1]))
        else:
            joined.append((opened, closed))
    return joined


def _alone(tape: Tape, index: int) -> Tape:
    instrument = msgspec.structs.replace(tape.instruments[index], source=0)
    rows: NDArray[np.void] = tape.rows[tape.rows["instrument"] == index]
    rows["instrument"] = 0
    manifest = msgspec.structs.replace(
        tape.manifest,
        name=instrument.symbol,
        instruments=[instrument],
        actions=[one for one in tape.manifest.actions if one.symbol == instrument.symbol],
    )
    return Tape(rows.astype(ROW, copy=False), manifest, tape.panels)
