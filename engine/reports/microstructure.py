"""The microstructure of a tape, instrument by instrument, each statistic with its error.

1. cut the sessions into cells, blocks and bins (``microstructure_cells``);
2. read the rows once, a chunk at a time; walk along those of each instrument (``microstructure_walk``, ``_ages``) and
   add what comes of it to sums by block (``microstructure_sums``, ``_lags``);
3. make statistics of the sums, and errors of what blocks disagree on (``microstructure_errors``, ``_order_flow``,
   ``_prices``).

docs/stats.md defines every statistic and names its source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from engine.errors import TapeError
from engine.reports import microstructure_order_flow as flow
from engine.reports import microstructure_prices as prices
from engine.reports.microstructure_cells import cells_of
from engine.reports.microstructure_result import Microstructure, Section
from engine.reports.microstructure_sums import Sums
from engine.tape import Kind, Tape

CHUNK = 1 << 18  # rows, 16 MiB
SAID = tuple(int(kind) for kind in Kind if kind not in (Kind.CLOSE, Kind.CLOCK))
SECTIONS: dict[str, Callable[[Sums], Section]] = {  # in reading order
    "trade_signs": flow.trade_signs,
    "limit_flow": flow.limit_flow,
    "clustering": flow.clustering,
    "cancellations": flow.cancellations,
    "passive_bias": flow.passive_bias,
    "spread": prices.spread,
    "depth": prices.depth,
    "volume_curve": prices.volume_curve,
    "response": prices.response,
    "impact": prices.impact,
    "signature": prices.signature,
}


def microstructure(
    tape: Tape, symbol: str = "", *, progress: Callable[[int], None] = lambda rows: None, chunk: int = CHUNK
) -> list[Microstructure]:
    """The statistics of every instrument of a tape, or of one.

    Parameters
    ----------
    tape : Tape
        Quotes, depth, orders, trades or bars; memory-mapped rows are read once.
    symbol : str
        Only this one.
    progress : function of int
        Called with the number of rows read so far.
    chunk : int
        Rows looked at together; changes memory and speed only.

    Returns
    -------
    list of Microstructure
        In the manifest's order, without instruments that have no rows.

    Raises
    ------
    TapeError
        If there is nothing to measure, or the tape does not hold ``symbol``.
    """
    where = str(tape.path or tape.manifest.name or "the tape")
    names = [instrument.symbol for instrument in tape.instruments]
    if symbol and symbol not in names:
        raise TapeError(f"{where}: no instrument {symbol!r}; it holds {', '.join(names[:10])}")
    if len(tape) == 0:
        raise TapeError(f"{where}: no rows to measure; import it again, or name another tape")
    cells = cells_of(tape)
    if len(cells.start) == 0:
        raise TapeError(f"{where}: no row lies in a session of its manifest; import it with the hours of its venue")
    found: dict[int, Sums] = {}
    for start, rows in _chunks(tape.rows, chunk):
        for number, part in _by_instrument(rows):
            if symbol and names[number] != symbol:
                continue
            if number not in found:
                found[number] = Sums(tape.instruments[number], cells, min(chunk, len(tape)))
            found[number].add(part)
        progress(start + len(rows))
    if not found:
        raise TapeError(f"{where}: it holds panels, but no quotes, trades, orders or bars to measure")
    return [_answer(sums, len(tape.sessions)) for _, sums in sorted(found.items())]


def _answer(sums: Sums, sessions: int) -> Microstructure:
    sums.finish()
    instrument, cells = sums.instrument, sums.cells
    return Microstructure(
        symbol=instrument.symbol,
        book=instrument.book,
        levels=instrument.levels,
        tick=instrument.quoted(instrument.tick),
        sessions=sessions,
        seconds=float((cells.end - cells.start).sum() / 1e9),
        rows=sums.rows,
        transactions=sums.transactions,
        signed_here=sums.signed_here,
        unsigned=sums.transactions - sums.trades.count,
        sections={name: make(sums) for name, make in SECTIONS.items()},
    )


def _chunks(rows: NDArray[np.void], size: int) -> Iterator[tuple[int, NDArray[np.void]]]:
    """Copies of the rows in turn, none ending inside a time; with the index of their first row."""
    times = rows["ts_event"]
    start = 0
    while start < len(rows):
        end = min(start + size, len(rows))
        end = int(np.searchsorted(times, times[end - 1], side="right"))
        yield start, np.array(rows[start:end])
        start = end


def _by_instrument(rows: NDArray[np.void]) -> Iterator[tuple[int, NDArray[np.void]]]:
    rows = rows[np.isin(rows["kind"], SAID)]
    if len(rows) == 0:
        return
    numbers = rows["instrument"]
    if numbers[0] == numbers[-1] and (numbers == numbers[0]).all():
        yield int(numbers[0]), rows
        return
    rows = rows[np.argsort(numbers, kind="stable")]
    edges = np.flatnonzero(np.diff(rows["instrument"])) + 1
    for part in np.split(rows, edges):
        yield int(part["instrument"][0]), part
