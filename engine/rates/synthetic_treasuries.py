"""A synthetic Treasury market: who was auctioned when, at which coupon, and what it costs on a day.

For tests, benchmarks and trying the commands: no bond in it exists, and its numbers are evidence of nothing. The
auction calendar is like the Treasury's: 2, 5 and 7-year notes at each month's end, 3-year notes on the 15th, 10 and
30-year bonds in February, May, August and November, 20-year bonds from May 2020; TIPS, FRNs, bills, STRIPS among them.

A day's prices come from a Svensson zero curve: each bond is worth its flows on it, then its yield is moved by noise of
``noise_bp``, and by what makes the newest issues dear: a liquidity premium and a special repo rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.rates.bonds import Bonds, accrued, cash_flows, measure, street_yield
from engine.rates.gc_repo import DAYS_A_YEAR, TENORS, GcRepo
from engine.rates.par_basket import PLAIN, BondUniverse, auction_rank, original_term

Floats = NDArray[np.float64]
Dates = NDArray[np.datetime64]

NOTES = {
    2: (1, 0),
    3: (1, 15),
    5: (1, 0),
    7: (1, 0),
    10: (3, 15),
    20: (3, 15),
    30: (3, 15),
}  # every n months, on; 0: end
OTHERS = {"TIPS": (6, 10, 15), "FRN": (3, 2, 0), "BILL": (1, 0, 15), "STRIPS": (12, 30, 15)}  # months, term, day
SPECIAL_BP = [60.0, 30.0, 35.0]  # below GC: on-the-runs, olds, and the 10-year of rank 3
SAMPLE_DAY = "2018-07-17"
SAMPLE_COLUMNS = ("isin", "kind", "issue", "maturity", "coupon", "clean_price", "repo_6m")
PER_360 = 360 / DAYS_A_YEAR
TWENTY_YEAR_AGAIN = np.datetime64("2020-05")


class Svensson(NamedTuple):
    """Continuous zero rates ``b0 + b1 f(t/t1) + b2 (f(t/t1) - exp(-t/t1)) + b3 (f(t/t2) - exp(-t/t2))``.

    ``f(x) = (1 - exp(-x)) / x``; b are decimals, t1 and t2 years. Source: Svensson (1994), NBER WP 4871.
    """

    b0: float = 0.0325
    b1: float = -0.0125
    b2: float = -0.006
    b3: float = 0.004
    t1: float = 2.2
    t2: float = 11.0

    def zero_rate(self, times: Floats) -> Floats:
        """Continuously compounded, for t > 0 years."""
        x, z = times / self.t1, times / self.t2
        f, g = -np.expm1(-x) / x, -np.expm1(-z) / z
        return self.b0 + self.b1 * f + self.b2 * (f - np.exp(-x)) + self.b3 * (g - np.exp(-z))

    def discount_factor(self, times: Floats) -> Floats:
        """``exp(-zero_rate t)``."""
        return np.exp(-self.zero_rate(times) * times)


def treasury_bonds(first: str, last: str, *, seed: int) -> BondUniverse:
    """All that was issued from month ``first`` to month ``last`` ("2018-07"), without prices or repo rates.

    Coupons are eighths of a percent around a level that wanders down from 7 % to 2.5 % over 30 years before ``last``,
    steeper for longer terms.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    months = np.arange(np.datetime64(first, "M"), np.datetime64(last, "M") + 1)
    age = (months[-1] - months).astype(np.int64) / 12
    level = 0.025 + 0.0015 * age + 0.004 * np.sin(age) + 0.001 * rng.standard_normal(months.size)
    rows = []
    for term, (every, day) in NOTES.items():
        issued = months[(months.astype(np.int64) - 1) % every == 0]
        if term == 20:
            issued = issued[issued >= TWENTY_YEAR_AGAIN]
        coupon = level[np.searchsorted(months, issued)] + 0.0004 * (term - 10)
        rows += [(f"NOTE-{term:02}", m, term * 12, day, c) for m, c in zip(issued, coupon, strict=True)]
    for kind, (every, term, day) in OTHERS.items():
        for m in months[(months.astype(np.int64) - 1) % every == 0]:
            rows.append((kind, m, term * 12 or 6, day, 0.0 if kind in ("BILL", "STRIPS") else 0.01))
    return _universe(rows)


def treasury_day(
    bonds: BondUniverse,
    settle: str,
    *,
    seed: int,
    curve: Svensson = Svensson(),  # noqa: B008 - frozen
    noise_bp: float = 1.0,
    premium_bp: float = 3.0,
) -> tuple[BondUniverse, GcRepo]:
    """What is outstanding on a day, priced, and the GC repo rates of the same curve (per year of 365.25 days).

    Parameters
    ----------
    bonds : BondUniverse
        From ``treasury_bonds``.
    noise_bp : float
        Standard deviation of each bond's own yield, independent.
    premium_bp : float
        How much lower the yields of the on-the-runs are; the olds' by a half, the double-olds' by a third. On-the-runs
        and olds of up to ten years, and the 10-year before the double-old, also trade special, by ``SPECIAL_BP``.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    day = np.datetime64(settle, "D")
    alive = bonds.take((bonds.maturity > day) & (bonds.issue <= day))
    repo = GcRepo(*((1 / curve.discount_factor(TENORS) - 1) / TENORS).tolist())
    plain = np.isin(alive.kind, PLAIN)
    term = original_term(alive, plain)
    rank = auction_rank(alive, day, plain, term)
    terms = Bonds(alive.maturity, alive.coupon, dated=alive.dated)
    flows = cash_flows(terms, day)
    fair = np.add.reduceat(flows.amounts * curve.discount_factor(flows.times), flows.offsets[:-1])
    dear = np.where((rank >= 0) & (rank < 3), premium_bp / np.maximum(rank + 1, 1), 0.0)
    moved = street_yield(terms, day, dirty=fair) + (noise_bp * rng.standard_normal(rank.size) - dear) / 1e4
    clean = measure(terms, day, moved).dirty - accrued(terms, day)
    special = np.select([(rank == k) & (term <= 10) for k in (0, 1)] + [(rank == 3) & (term == 10)], SPECIAL_BP, 0.0)
    repo_6m = np.where(plain, repo.six_month - special / 1e4, np.nan)
    return alive._replace(clean_price=clean, repo_6m=repo_6m), repo


def market_days(count: int, *, seed: int = 1) -> Iterator[tuple[np.datetime64, BondUniverse, GcRepo]]:
    """The last ``count`` weekdays to ``SAMPLE_DAY``, each priced on a curve that wanders by about 5 bp a day.

    Repo rates are per year of 365.25 days.
    """
    end = np.datetime64(SAMPLE_DAY)
    every = np.arange(end - 2 * count - 7, end + 1)
    weekdays = every[np.is_busday(every)][-count:]
    first = weekdays[0].astype("datetime64[M]") - 31 * 12
    bonds = treasury_bonds(str(first), SAMPLE_DAY[:7], seed=seed)
    rng = np.random.Generator(np.random.Philox(seed))
    base, away = Svensson(), np.zeros(3)
    for k, day in enumerate(weekdays):
        level, slope, bend = away
        curve = base._replace(b0=max(base.b0 + level, 0.012), b1=base.b1 + slope, b2=base.b2 + bend)
        away = 0.995 * away + rng.standard_normal(3) * (3e-4, 3e-4, 4e-4)
        universe, repo = treasury_day(bonds, str(day), seed=seed + k, curve=curve)
        yield day, universe, repo


def sample_market(count: int) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
    """``market_days`` as the columns of two files, a universe and repo rates, quoted Act/360."""
    parts, quotes = [], []
    for day, universe, repo in market_days(count):
        rounded = {"clean_price": np.round(universe.clean_price, 6), "repo_6m": np.round(universe.repo_6m * PER_360, 8)}
        columns = {**universe._asdict(), **rounded}
        parts.append({"date": np.full(universe.isin.size, day), **{k: columns[k] for k in SAMPLE_COLUMNS}})
        quotes.append((day, *(round(rate * PER_360, 8) for rate in repo)))
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    names = ("date", *GcRepo._fields)
    return joined, {name: np.array(column) for name, column in zip(names, zip(*quotes, strict=True), strict=True)}


def _universe(rows: list[tuple[str, np.datetime64, int, int, float]]) -> BondUniverse:
    names, issued, months, days, coupons = (np.array(column) for column in zip(*rows, strict=True))
    issue, maturity = _on_day(issued, days), _on_day(issued + months, days)
    kind = np.where(np.char.startswith(names, "NOTE"), np.where(months > 120, "BOND", "NOTE"), names)
    isin = np.char.add(np.char.add(names, "-"), issue.astype("U10"))
    coupon = np.maximum(np.rint(coupons * 800), 0) / 800
    nothing, never = np.full(names.size, np.nan), np.full(names.size, np.datetime64("NaT"), "datetime64[D]")
    return BondUniverse(isin, kind, issue, maturity, coupon, nothing, nothing, nothing, never, never)


def _on_day(months: Dates, days: NDArray[np.int64]) -> Dates:
    """The day of each month, its last where that is 0."""
    end = (months + 1).astype("datetime64[D]") - 1
    return np.where(days == 0, end, months.astype("datetime64[D]") + days - 1)
