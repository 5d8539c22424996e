"""Stylised facts of a market, measured from its order-by-order rows: what a synthetic tape must show.

A *trade* is one market order with all its executions, an *event* one group of rows. Lags of signs, returns and
responses count trades; lags of the imbalance, the variance ratios and the Fano factors count events. Prices are in
ticks. ``python -m feeds.synthetic_facts`` measures the shipped parameters and prints the table of docs/synthetic.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.tape import Flag, Kind, Tape
from feeds.synthetic import MarketParams, Stock, market_days
from feeds.synthetic_views import apply_row, open_touch, settle

Floats = NDArray[np.float64]

_EXECUTE, _LAST = int(Kind.EXECUTE), int(Flag.LAST)
SEEDS = range(101, 106)  # of docs/synthetic.md and its tests; no choice of a parameter has seen them
SECOND_NS = 1_000_000_000
HALF_HOUR_S = 1800

# Stocks whose facts are measured, one for each tick regime.
STOCKS = {
    "large": Stock(symbol="SYNL", regime="large", price="20.00", daily_volatility=0.02, daily_volume=20_000_000),
    "mid": Stock(symbol="SYNM", regime="mid", price="80.00", daily_volatility=0.015, daily_volume=4_000_000),
    "small": Stock(symbol="SYNS", regime="small", price="150.00", daily_volatility=0.015, daily_volume=3_000_000),
}

ONE_TICK_SPREAD = {"large": (0.9, 1.0), "mid": (0.4, 0.6), "small": (0.0, 0.05)}
ACCEPT = {
    "sign acf, lag 10": (0.08, 0.25),
    "sign acf, least of lags 1-100": (0.0, np.inf),
    "sign acf, decay exponent": (0.3, 0.8),
    "return acf, lag 1": (-0.05, 0.05),
    "variance ratio 1000 / 100": (0.85, 1.10),
    "variance ratio 1000 / 1": (0.5, 1.1),
    "P(spread = 1 tick)": (0.0, 1.0),  # by regime
    "P(up), lowest fifth of imbalance": (0.05, 0.40),
    "P(up), least step to the next fifth": (0.0, np.inf),
    "P(up), highest fifth of imbalance": (0.60, 0.95),
    "imbalance acf, lag 10": (0.2, 0.5),
    "imbalance acf, lag 100": (-0.1, 0.1),
    "Fano factor, 1 s": (3.0, np.inf),
    "Fano factor, 10 s": (10.0, np.inf),
    "Fano factor, 60 s": (30.0, np.inf),
    "response R(1), ticks": (0.0, np.inf),
    "response R(10) / R(1)": (1.0, np.inf),
    "response R(100) / R(10)": (0.75, 1.25),  # our reading of "then flat"
    "impact ~ size^x, x": (0.0, 0.5),
    "aggregate impact, slope large / small": (0.0, 0.85),
    "kurtosis of 1-minute returns": (4.0, 15.0),
    "acf(1) of their size": (0.10, 0.40),
    "volume, first half-hour": (1.5, np.inf),
    "volume, middle half-hour": (0.0, 0.8),
    "volume, last half-hour": (1.5, np.inf),
}


class Session(NamedTuple):
    """The best prices after each event of one session, and the trade that the event was."""

    ts: NDArray[np.int64]  # ns
    bid: NDArray[np.int64]  # ticks
    ask: NDArray[np.int64]
    bid_size: NDArray[np.int64]
    ask_size: NDArray[np.int64]
    sign: NDArray[np.int64]  # of the market order: +1 bought, -1 sold; 0: not a trade
    volume: NDArray[np.int64]  # traded
    span: tuple[int, int]  # [open, close) in ns

    @property
    def mid(self) -> Floats:
        return (self.bid + self.ask) / 2

    @property
    def trades(self) -> NDArray[np.intp]:
        """Indices of the events that are trades and have an event before them."""
        return np.flatnonzero(self.sign[1:]) + 1


def session(tape: Tape, instrument: int = 0) -> Session:
    """The session of an L3 tape of one day, as its touch after each event."""
    rows = tape.rows[tape.rows["instrument"] == instrument]
    rows = rows[(rows["kind"] >= Kind.ADD) & (rows["kind"] <= Kind.EXECUTE)]
    tick = tape.instruments[instrument].tick
    columns = np.zeros((7, int(np.count_nonzero(rows["flags"] & Flag.LAST))), np.int64)
    _touches(rows, tick, np.zeros(int(rows["price"].max()) // tick + 2, np.int64), columns)
    return Session(*columns, span=tape.sessions[0])


def facts(sessions: Sequence[Session]) -> dict[str, float]:
    """Every fact of ``ACCEPT`` over several sessions of one stock: means of sessions, or pooled where it says so."""
    signs = np.mean([_acf(s.sign[s.trades], np.arange(1, 101)) for s in sessions], axis=0)
    returns = np.mean([_acf(np.diff(s.mid[s.trades - 1]), np.array([1])) for s in sessions])
    spread: list[float] = []
    imbalance: list[Floats] = []
    for s in sessions:
        width = np.diff(s.ts)
        spread.append(float(np.sum(width[(s.ask - s.bid)[:-1] == 1]) / np.sum(width)))
        imbalance.append(_acf(_imbalance(s), np.array([10, 100])))
    up = _up_by_fifth(sessions)
    response = _mean([_response(s, (1, 10, 100)) for s in sessions])
    minutes = [_minute_returns(s) for s in sessions]
    volume = _mean([_volume_by_half_hour(s) for s in sessions])
    fano = _mean([_fano(s, (1, 10, 60)) for s in sessions])
    imbalance_acf = _mean(imbalance)
    values = [
        signs[9],
        signs.min(),
        _decay(signs),
        returns,
        _variance(sessions, 1000) / _variance(sessions, 100) / 10,
        _variance(sessions, 1000) / _variance(sessions, 1) / 1000,
        np.mean(spread),
        up[0],
        np.diff(up).min(),
        up[4],
        *imbalance_acf,
        *fano,
        response[0],
        response[1] / response[0],
        response[2] / response[1],
        _impact_exponent(sessions),
        _aggregate_slopes(sessions),
        _kurtosis(np.concatenate(minutes)),
        _size_acf(minutes),
        volume[0],
        volume[len(volume) // 2],
        volume[-1],
    ]
    return dict(zip(ACCEPT, map(float, values), strict=True))


def accept(regime: str) -> dict[str, tuple[float, float]]:
    """The accepted range of each fact in a tick regime."""
    return ACCEPT | {"P(spread = 1 tick)": ONE_TICK_SPREAD[regime]}


def measure(regime: str, seeds: Iterable[int], days: int) -> list[dict[str, float]]:
    """The facts of the shipped parameters of a tick regime, one dict a seed, each over ``days`` days."""
    params = MarketParams(stocks=(STOCKS[regime],))
    return [
        facts([session(tape) for tape in market_days(params, seed=seed, date="2026-03-02", days=days, view="L3")])
        for seed in seeds
    ]


# One function a fact


def _acf(values: NDArray[Any], lags: NDArray[np.int64]) -> Floats:
    x = values - values.mean()
    variance = np.mean(x * x)
    return np.array([np.mean(x[lag:] * x[:-lag]) for lag in lags]) / variance


def _decay(acf: Floats) -> float:
    """Slope of log acf on log lag, through means over bins of equal width in log lag."""
    edges = np.unique(np.round(np.geomspace(1, len(acf) + 1, 12)).astype(int)) - 1
    lags = [np.mean(np.log(np.arange(a, b) + 1.0)) for a, b in pairwise(edges)]
    means = [np.log(max(np.mean(acf[a:b]), 1e-6)) for a, b in pairwise(edges)]
    return -float(np.polyfit(lags, means, 1)[0])


def _variance(sessions: Sequence[Session], lag: int) -> float:
    return float(np.mean([np.mean((s.mid[lag:] - s.mid[:-lag]) ** 2) for s in sessions]))


def _imbalance(s: Session) -> Floats:
    return (s.bid_size - s.ask_size) / (s.bid_size + s.ask_size)


def _up_by_fifth(sessions: Sequence[Session]) -> Floats:
    """P(the next change of the mid is up), by fifth of [-1, 1] that the imbalance is in, over all events."""
    ups, counts = np.zeros(5), np.zeros(5)
    for s in sessions:
        mid = s.mid
        moves = np.flatnonzero(np.diff(mid)) + 1
        after = np.searchsorted(moves, np.arange(len(mid)), side="right")
        known = after < len(moves)
        fifth = np.minimum((_imbalance(s)[known] + 1) * 2.5, 4).astype(int)
        up = mid[moves[after[known]]] > mid[known]
        ups += np.bincount(fifth, weights=up, minlength=5)
        counts += np.bincount(fifth, minlength=5)
    return ups / counts


def _response(s: Session, lags: Sequence[int]) -> Floats:
    """R(l) = E[sign (mid before the l-th next trade - mid before this one)], in ticks."""
    sign, mid = s.sign[s.trades], s.mid[s.trades - 1]
    return np.asarray(np.array([np.mean((mid[lag:] - mid[:-lag]) * sign[:-lag]) for lag in lags]), dtype=np.float64)


def _fano(s: Session, seconds: Sequence[int]) -> Floats:
    """Variance over mean of event counts, without the first and last half-hour, where the U shape would add to it."""
    times = (s.ts - s.span[0]) / SECOND_NS
    start, end = HALF_HOUR_S, (s.span[1] - s.span[0]) // SECOND_NS - HALF_HOUR_S
    counts = [np.histogram(times, np.arange(start, end + 1, width))[0] for width in seconds]
    return np.array([count.var() / count.mean() for count in counts])


def _minute_returns(s: Session) -> Floats:
    edges = np.arange(s.span[0] + 60 * SECOND_NS, s.span[1] + 1, 60 * SECOND_NS)
    last = np.maximum(np.searchsorted(s.ts, edges, side="left") - 1, 0)
    return np.diff(np.log(s.mid[np.append(0, last)]))


def _kurtosis(x: Floats) -> float:
    x = x - x.mean()
    return float(np.mean(x**4) / np.mean(x**2) ** 2)


def _size_acf(minutes: Sequence[Floats]) -> float:
    """acf(1) of absolute returns, pooled over sessions, no pair across a night."""
    sizes = [np.abs(x) for x in minutes]
    everything = np.concatenate(sizes)
    pairs = np.concatenate([(x[1:] - everything.mean()) * (x[:-1] - everything.mean()) for x in sizes])
    return float(pairs.mean() / everything.var())


def _impact_exponent(sessions: Sequence[Session]) -> float:
    """x of E[sign (mid before the next trade - mid before this one) | size] ~ size^x, over tenths of trades by size."""
    sizes = np.concatenate([s.volume[s.trades][:-1] for s in sessions]).astype(float)
    impact = np.concatenate([s.sign[s.trades][:-1] * np.diff(s.mid[s.trades - 1]) for s in sessions])
    edges = np.unique(np.quantile(sizes, np.linspace(0, 1, 11)))
    tenth = np.clip(np.searchsorted(edges, sizes, side="right") - 1, 0, len(edges) - 2)
    count = np.bincount(tenth)
    mean_size = np.bincount(tenth, weights=sizes) / count
    mean_impact = np.bincount(tenth, weights=impact) / count
    return float(np.polyfit(np.log(mean_size), np.log(np.maximum(mean_impact, 1e-6)), 1)[0])


def _aggregate_slopes(sessions: Sequence[Session], trades: int = 20) -> float:
    """Price change per share of net flow of ``trades`` trades: where flow is in its top tenth, over its lower half."""
    flow, change = [], []
    for s in sessions:
        at = np.arange(0, len(s.trades) - trades, trades // 5)
        total = np.append(0, np.cumsum(s.sign[s.trades] * s.volume[s.trades])).astype(float)
        mid = s.mid[s.trades - 1]
        flow.append(total[at + trades] - total[at])
        change.append(mid[at + trades] - mid[at])
    net, moved = np.concatenate(flow), np.concatenate(change)
    size, moved = np.abs(net), moved * np.sign(net)
    small, large = size <= np.quantile(size, 0.5), size >= np.quantile(size, 0.9)
    return float((moved[large].sum() / size[large].sum()) / (moved[small].sum() / size[small].sum()))


def _volume_by_half_hour(s: Session) -> Floats:
    half_hour = HALF_HOUR_S * SECOND_NS
    bins = (s.ts - s.span[0]) // half_hour
    volume = np.bincount(bins, weights=s.volume, minlength=(s.span[1] - s.span[0]) // half_hour)
    return volume / volume.mean()


def _mean(parts: Sequence[Floats]) -> Floats:
    return np.asarray(np.mean(parts, axis=0), dtype=np.float64)


@compiled
def _touches(rows, tick, size_at, out):
    touch = open_touch(size_at)
    sign = volume = k = 0
    for row in rows:
        apply_row(row, row.price // tick, size_at, touch)
        if row.kind == _EXECUTE:
            sign = -row.side
            volume += row.size
        if row.flags & _LAST:
            settle(size_at, touch)
            out[0, k] = row.ts_event
            for i in range(4):
                out[1 + i, k] = touch[i]
            out[5, k] = sign
            out[6, k] = volume
            sign = volume = 0
            k += 1


def main() -> None:
    """Print the table of docs/synthetic.md: mean, and least to greatest, over ``SEEDS`` of 3 days each."""
    found = {regime: measure(regime, SEEDS, days=3) for regime in STOCKS}
    print(f"| fact | accept | {' | '.join(found)} |")
    print("|---" * (2 + len(found)) + "|")
    for fact in ACCEPT:
        ranges = {regime: accept(regime)[fact] for regime in found}
        texts = [f"> {low:g}" if high == np.inf else f"{low:g} to {high:g}" for low, high in ranges.values()]
        cells = [_cell([seed[fact] for seed in found[regime]], *ranges[regime]) for regime in found]
        print(f"| {fact} | {' / '.join(dict.fromkeys(texts))} | {' | '.join(cells)} |")


def _cell(values: Sequence[float], low: float, high: float) -> str:
    mean = float(np.mean(values))
    text = f"{mean:.3g} ({min(values):.3g} to {max(values):.3g})"
    return text if low <= mean <= high else f"**{text}: outside**"


if __name__ == "__main__":
    main()
