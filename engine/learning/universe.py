"""Hundreds of synthetic tickers, drawn from one joint distribution; nothing here was measured on any market.

A ticker is drawn from six correlated normal variables (a Gaussian copula, ``CORRELATION``); medians and spreads are in
``MEDIANS`` and ``WIDTHS``. They are our choice, of the size that liquid US stocks have:

============  =======================================================================================================
tick          which regime the tick makes: the lowest ``PARTS["small"]`` have a small tick, the highest a large one
volume        shares a day, lognormal
depth         shares at a touch over shares a day, lognormal
volatility    of a day's return, lognormal
opening       how much the volume curve rises to the open, and
closing       to the close: 1 + opening (1 - x)^8 + closing x^16, x the place in the session, lognormal
============  =======================================================================================================

Signs of the correlations: a coarse tick gathers depth (Dayri and Rosenbaum 2015); volatile stocks show less of it, and
so do stocks that trade more, relative to their volume; volatility falls with volume, as large companies move less.

The spread is not drawn: in the market that makes the tape (docs/synthetic.md) depth over volume is a number of events a
day, events and volatility fix the price in ticks, and with the regime's spread in ticks that is a spread in bp. So it
is proportional to the volatility of an event, as Wyart et al. (2008) find.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.broker.impact import Impact, Market
from engine.errors import ConfigError
from engine.learning.calibrate import Calibrated, Hours, ParentTerms, calibrate
from engine.learning.ticker_days import Measuring, ticker_days
from engine.tape import Tape

Floats = NDArray[np.float64]
Regime = Literal["small", "mid", "large"]

FACTORS = ("tick", "volume", "depth", "volatility", "opening", "closing")
CORRELATION = np.array(
    [
        #  tick  volume  depth  volatility  opening  closing
        [1.00, 0.20, 0.50, -0.10, 0.00, 0.00],
        [0.20, 1.00, -0.30, -0.30, -0.10, 0.20],
        [0.50, -0.30, 1.00, -0.30, 0.00, 0.10],
        [-0.10, -0.30, -0.30, 1.00, 0.30, -0.10],
        [0.00, -0.10, 0.00, 0.30, 1.00, 0.20],
        [0.00, 0.20, 0.10, -0.10, 0.20, 1.00],
    ]
)
MEDIANS = {"volume": 2e6, "depth": 4e-4, "volatility": 0.016, "opening": 4.0, "closing": 5.0}
WIDTHS = {"volume": 1.0, "depth": 0.5, "volatility": 0.35, "opening": 0.3, "closing": 0.3}  # of the logarithms
PARTS = {"small": 0.35, "mid": 0.35, "large": 0.30}
HALF_HOURS = 13


class Regimes(NamedTuple):
    """What a market's regimes are in events and ticks; see ``Ticker``. Measured on its tapes, by regime."""

    touch_lots: dict[Regime, float]  # mean size of a touch
    lots_per_event: dict[Regime, float]  # traded
    ticks_per_event: dict[Regime, float]  # of the mid's change, over sqrt(events)


# of feeds.synthetic: the last two are its own; touches are means over quote rows of an hour at 10:30, one tape a regime
SYNTHETIC = Regimes(
    touch_lots={"small": 10.8, "mid": 8.6, "large": 10.1},
    lots_per_event={"small": 0.27, "mid": 0.156, "large": 0.22},
    ticks_per_event={"small": 0.27, "mid": 0.13, "large": 0.079},
)
EVENTS = (20_000.0, 1_000_000.0)  # a day: what its tape can be made of in a fraction of a second; depth is cut to it
PRICES = (1.0, 3_000.0)  # dollars; volatility is cut to it
TICK = 0.01


class Ticker(msgspec.Struct, frozen=True, kw_only=True):
    """One synthetic stock, and the half-hour of the session in which its parents are worked."""

    symbol: str
    regime: Regime
    price: float  # dollars
    daily_volatility: float  # a fraction
    daily_volume: int  # shares
    depth: float  # shares at a touch over ``daily_volume``
    opening: float
    closing: float
    half_hour: int  # 0 ... 12
    seed: int  # of its tape

    def volume_shares(self, steps: int) -> Floats:
        """Parts of the half-hour's volume by step, summing to 1."""
        edges = self._traded(np.linspace(self.half_hour, self.half_hour + 1, steps + 1) / HALF_HOURS)
        return np.diff(edges) / (edges[-1] - edges[0])

    @property
    def half_hour_volume(self) -> float:
        """Shares that trade in the half-hour, on average."""
        left, right = self._traded(np.array([self.half_hour, self.half_hour + 1]) / HALF_HOURS)
        return self.daily_volume * float(right - left) / float(self._traded(np.ones(1))[0])

    def _traded(self, x: Floats) -> Floats:
        """Volume from the open to ``x``, the mean rate of a curve without peaks being 1."""
        return x + self.opening * (1 - (1 - x) ** 9) / 9 + self.closing * x**17 / 17


def draw_universe(count: int, *, seed: int, regimes: Regimes = SYNTHETIC) -> list[Ticker]:
    """Draw tickers; the first so many of a larger universe of the same seed are the same.

    Parameters
    ----------
    count : int
    seed : int
        0 <= seed < 2**63.
    regimes : Regimes
        Of the market that will make the tapes.

    Raises
    ------
    ConfigError
        If ``count`` is not positive or the seed is out of range.
    """
    if not 0 < count <= 100_000 or not 0 <= seed < 1 << 63:
        raise ConfigError(f"a universe of {count} tickers with seed {seed}; it needs 1 to 100000, and a seed >= 0")
    root = np.linalg.cholesky(CORRELATION)
    return [_ticker(i, root, seed, regimes) for i in range(count)]


def _ticker(i: int, root: Floats, seed: int, regimes: Regimes) -> Ticker:
    rng = np.random.Generator(np.random.Philox(key=[seed, i]))
    drawn: dict[str, float] = dict(zip(FACTORS, root @ rng.standard_normal(len(FACTORS)), strict=True))
    value = {name: MEDIANS[name] * float(np.exp(WIDTHS[name] * drawn[name])) for name in MEDIANS}
    regime = _regime(drawn["tick"])
    lots = regimes.touch_lots[regime] / regimes.lots_per_event[regime]
    events = float(np.clip(lots / value["depth"], *EVENTS))
    ticks = regimes.ticks_per_event[regime] * np.sqrt(events)  # a day's volatility
    price = round(float(np.clip(ticks * TICK / value["volatility"], *PRICES)), 2)
    return Ticker(
        symbol=f"SYN{i:04d}",
        regime=regime,
        price=price,
        daily_volatility=float(ticks * TICK / price),
        daily_volume=max(1_000, round(value["volume"])),
        depth=lots / events,
        opening=value["opening"],
        closing=value["closing"],
        half_hour=int(rng.integers(HALF_HOURS)),
        seed=int(rng.integers(1 << 62)),
    )


def _regime(tick: float) -> Regime:
    from scipy.special import ndtr

    place = float(ndtr(tick))
    if place < PARTS["small"]:
        return "small"
    return "mid" if place < PARTS["small"] + PARTS["mid"] else "large"


def universe_problem(
    ticker: Ticker, tape: Tape, *, terms: ParentTerms, measuring: Measuring, impact: Impact
) -> Calibrated:
    """The problem of a ticker, calibrated to its tape as a recorded one is to its days.

    Spread, depth, forecasts, marks and fill probabilities are those of the tape. The parent trades in the ticker's own
    half-hour: its volume by step is the curve's, and a step lasts as long as the tape needs to trade as much.
    """
    market = Market(daily_volume=ticker.daily_volume, daily_volatility=ticker.daily_volatility)
    volume = ticker.half_hour_volume * ticker.volume_shares(terms.steps)
    days = ticker_days(
        [tape], ticker.symbol, terms=terms, povs=[terms.pov], measuring=measuring, market=market,
        period_volume=float(volume.sum()),
    )  # fmt: skip
    rate = float(np.concatenate([one.volume for one in days.steps]).mean()) / days.step_s
    return calibrate(days, terms, impact=impact, hours=Hours(volume, volume / rate))
