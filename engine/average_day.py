"""What a day of each instrument is like on average, measured from the tape where a config does not say it.

An impact model needs the volume and the volatility of an average day. They are parameters of the simulated market,
fixed and printed before the first row, and saved with the run; measured from the tape that is replayed they know of its
later rows. Where that matters, give those of the days before as ``[broker.impact.market.SYMBOL]``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.broker.impact import Market, NoImpact, prepare
from engine.broker.models import BrokerConfig
from engine.errors import ConfigError
from engine.feed import Feed
from engine.instruments import Instrument
from engine.spelling import did_you_mean
from engine.tape import Kind

SECOND = 1_000_000_000
DAY_NS = 13 * 1800 * SECOND  # a day has 13 half-hours
STEPS_NS = (300 * SECOND, 60 * SECOND, 10 * SECOND, SECOND)  # of returns: the next where a tape is too short for one
LEAST_RETURNS = 9
AT_ONCE = 1_000_000  # rows looked at together


def with_average_days(broker: BrokerConfig, feed: Feed) -> BrokerConfig:
    """The same models, with ``impact.market`` complete for every instrument that has a book or trades.

    Raises
    ------
    ConfigError
        If ``market`` names an instrument that the feed does not have, a day cannot be measured, or the model cannot be
        prepared (``engine.broker.impact.prepare``): a run without the footprint that it asks for does not start.
    """
    impact = broker.impact
    if isinstance(impact, NoImpact):
        return broker
    instruments = feed.tape.instruments
    symbols = [instrument.symbol for instrument in instruments]
    for symbol in impact.market:
        if symbol not in symbols:
            raise ConfigError(
                f"$.broker.impact.market: the tape has no instrument '{symbol}'{did_you_mean(symbol, symbols)}"
            )
    told = getattr(feed, "average_days", {})  # of a feed on a socket, whose rows are still to come
    known = {**impact.market, **{symbol: told[symbol] for symbol in symbols if symbol in told.keys() - impact.market}}
    missing = [n for n, symbol in enumerate(symbols) if symbol not in known]
    parts = getattr(feed, "parts", [feed.tape.rows])
    if any(instruments[n].book == "NONE" for n in missing):
        printed = _printed(parts)
        missing = [n for n in missing if instruments[n].book != "NONE" or n in printed]
    found = measure(parts, instruments, feed.tape.sessions, missing) if missing else {}
    impact = msgspec.structs.replace(impact, market={**known, **found})
    prepare(impact, list(impact.market))
    return msgspec.structs.replace(broker, impact=impact)


def measure(
    parts: Sequence[NDArray[np.void]],
    instruments: Sequence[Instrument],
    sessions: Sequence[tuple[int, int]],
    wanted: Sequence[int],
) -> dict[str, Market]:
    """The average day of some instruments, by symbol, scaled from the time that the rows cover to 13 half-hours.

    Volume is all that the market traded in session. Volatility is that of the last trade of each five minutes within a
    session (where that gives fewer than nine returns: of each minute, ten seconds, second); the bounce between bid and
    ask is in it, the more the shorter the step.

    Parameters
    ----------
    parts : sequence of ROW[n]
        In order of time.
    wanted : sequence of int
        Numbers of the instruments to measure.

    Raises
    ------
    ConfigError
        If an instrument has too few trades to say.
    """
    times, prices, sizes = _trades(parts, wanted)
    spans = _covered(parts, sessions)
    covered = sum(end - start for start, end in spans)
    found = {}
    for n in wanted:
        symbol = instruments[n].symbol
        inside = np.zeros(len(times[n]), bool)
        for start, end in spans:
            inside |= (times[n] >= start) & (times[n] <= end)
        volume = int(sizes[n][inside].sum())
        variance = _variance(times[n], prices[n], spans)
        if not volume or not variance:
            raise ConfigError(
                f"impact: this tape's trades do not say what an average day of {symbol} is like ({int(inside.sum())} "
                f"trades in {covered / 60 / SECOND:.3g} minutes of sessions); give market.{symbol} = "
                '{ daily_volume = ..., daily_volatility = ... } in [broker.impact], or type = "none"'
            )
        found[symbol] = Market(
            daily_volume=max(1, round(volume * DAY_NS / covered)),
            daily_volatility=float(f"{math.sqrt(variance * DAY_NS):.6g}"),
        )
    return found


def _trades(parts: Sequence[NDArray[np.void]], wanted: Sequence[int]) -> tuple[dict[int, NDArray[np.int64]], ...]:
    """Times, prices and sizes of each instrument's trades."""
    columns: tuple[dict[int, list[NDArray[np.int64]]], ...] = tuple({n: [] for n in wanted} for _ in range(3))
    for rows in _pieces(parts):
        trades = rows[(rows["kind"] == Kind.TRADE) | (rows["kind"] == Kind.EXECUTE)]
        for n in wanted:
            mine = trades[trades["instrument"] == n]
            for column, name in zip(columns, ("ts_event", "price", "size"), strict=True):
                column[n].append(mine[name])
    empty = np.zeros(0, np.int64)
    return tuple({n: np.concatenate([empty, *found]) for n, found in column.items()} for column in columns)


def _printed(parts: Sequence[NDArray[np.void]]) -> set[int]:
    """Which instruments have trades."""
    found: set[int] = set()
    for rows in _pieces(parts):
        traded = (rows["kind"] == Kind.TRADE) | (rows["kind"] == Kind.EXECUTE)
        found.update(np.unique(rows["instrument"][traded]).tolist())
    return found


def _pieces(parts: Sequence[NDArray[np.void]]) -> Iterator[NDArray[np.void]]:
    for rows in parts:
        for start in range(0, len(rows), AT_ONCE):
            yield rows[start : start + AT_ONCE]


def _covered(parts: Sequence[NDArray[np.void]], sessions: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The parts of sessions that lie between the first and the last row; all of it where there are no sessions."""
    filled = [rows for rows in parts if len(rows)]
    if not filled:
        return []
    first, last = int(filled[0]["ts_event"][0]), int(filled[-1]["ts_event"][-1])
    bounds = [(max(first, start), min(last, end)) for start, end in sessions] or [(first, last)]
    return [(start, end) for start, end in bounds if end > start]


def _variance(times: NDArray[np.int64], prices: NDArray[np.int64], spans: Sequence[tuple[int, int]]) -> float:
    """Of log returns a ns; 0 where there is too little to say."""
    if len(prices) < 2:
        return 0.0  # at once: a grid of seconds over years of closes would fill the memory
    for step in STEPS_NS:
        total, counted, lasted = 0.0, 0, 0
        for start, end in spans:
            here = prices[(times >= start) & (times <= end)]
            at = times[(times >= start) & (times <= end)]
            grid = np.arange(start + step, end + 1, step)
            last = np.searchsorted(at, grid, side="right") - 1
            seen = here[last[last >= 0]]
            if len(seen) < 2 or (seen <= 0).any():
                continue
            total += float((np.diff(np.log(seen)) ** 2).sum())
            counted += len(seen) - 1
            lasted += (len(seen) - 1) * step
        if counted >= LEAST_RETURNS and total > 0:
            return total / lasted
    return 0.0
