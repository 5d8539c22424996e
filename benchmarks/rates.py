"""What the base of the rates room costs: ``python -m benchmarks.rates``.

10,000 bonds with semi-annual coupons, 1 to 30 years to run (about 31 flows each); 4,000 days of eight par swap rates.
One row a function: add yours to ``ROWS``. Wall time of one thread, best and median of five rounds, checks included
unless the row says kernel. QuantLib, where it is installed, is asked for the same yields and z-spreads of 200 of the
bonds, one by one from Python, which is how its users do it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np

from engine.rates.bonds import Bonds, accrued, cash_flows, street_yield
from engine.rates.swap_curve import bootstrap_days, spot_swaps, swap_rates
from engine.rates.z_spread import price_on_curve, z_spread
from engine.rates.z_spread_kernels import fill_z_spreads
from engine.rates.z_spread_proxies import PROXIES

ROUNDS = 5
BONDS, DAYS = 10_000, 4_000
SETTLE = np.datetime64("2018-04-19")
TENORS = np.array([1, 2, 3, 4, 5, 7, 10, 30])

Row = tuple[str, Callable[[], object], str]


def main() -> None:
    """Print best and median of every row."""
    for rows in ROWS:
        for name, work, goal in rows():
            work()  # compiles, and warms the caches
            taken = [milliseconds(work) for _ in range(ROUNDS)]
            print(f"{name:44s} {min(taken):8.1f} ms   median {statistics.median(taken):8.1f}   {goal}")


def milliseconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def bond_rows() -> Iterator[Row]:
    """Flows, accrued interest and street yields."""
    bonds = many_bonds()
    clean = price_on_curve(cash_flows(bonds, SETTLE), PROXIES["Italy"].curve()) - accrued(bonds, SETTLE)
    yield "cash flows of 10,000 bonds", lambda: cash_flows(bonds, SETTLE), ""
    yield "street yields of 10,000 bonds, flows included", lambda: street_yield(bonds, SETTLE, clean=clean), ""


def z_spread_rows() -> Iterator[Row]:
    """z-spreads over the paper's swap curve of bonds priced on its Italian one, with 2 % of noise in the price."""
    flows, curve = cash_flows(many_bonds(), SETTLE), PROXIES["EUR swap"].curve()
    noise = np.random.Generator(np.random.Philox(2)).normal(1, 0.02, BONDS)
    dirty = price_on_curve(flows, PROXIES["Italy"].curve()) * noise
    factors = curve.discount_factor(flows.times)
    zeros, out = curve.zero_rate(flows.times), np.empty(BONDS)
    arrays = flows.offsets, flows.times, flows.amounts, factors, zeros, dirty, out
    yield "z-spreads of 10,000 bonds, kernel", lambda: fill_z_spreads(*arrays), "goal 50"
    yield "z-spreads of 10,000 bonds", lambda: z_spread(flows, dirty, curve), ""


def swap_rows() -> Iterator[Row]:
    """Bootstrap of a history, and forward swap rates on one day."""
    days = np.datetime64("2001-01-02") + np.arange(DAYS)
    rng = np.random.Generator(np.random.Philox(3))
    rates = 0.02 + 0.01 * np.log(TENORS) / np.log(30) + rng.normal(0, 1e-4, (DAYS, TENORS.size))
    curve = bootstrap_days(days[:1], TENORS, rates[:1])[0]
    legs = spot_swaps(days[0] + np.arange(1_000), 120)
    yield "4,000 curves from eight par rates each", lambda: bootstrap_days(days, TENORS, rates), ""
    yield "1,000 forward 10-year swap rates", lambda: swap_rates(curve, days[0], legs), ""


def quantlib_rows() -> Iterator[Row]:
    """The peer: its objects are made beforehand, only its solvers are timed."""
    try:
        import QuantLib as ql
    except ImportError:
        return
    bonds = many_bonds()[:200]
    clean = price_on_curve(cash_flows(bonds, SETTLE), PROXIES["Italy"].curve()) - accrued(bonds, SETTLE)
    epoch, clock = ql.Date(1, 1, 1970).serialNumber(), ql.Actual36525()
    today = ql.Date(int(SETTLE.astype(int)) + epoch)
    ql.Settings.instance().evaluationDate = today
    times = np.arange(1, 31)
    dates = [today, *(today + ql.Period(int(year), ql.Years) for year in times)]
    curve = ql.DiscountCurve(dates, [1.0, *map(float, PROXIES["EUR swap"].curve().discount_factor(times))], clock)
    curve.enableExtrapolation()
    made = []
    for maturity, coupon, price in zip(bonds.maturity, bonds.coupon, clean, strict=True):
        end = ql.Date(int(maturity.astype(int)) + epoch)
        schedule = ql.Schedule(
            *(today - ql.Period(1, ql.Years), end, ql.Period(6, ql.Months), ql.NullCalendar()),
            *(ql.Unadjusted, ql.Unadjusted, ql.DateGeneration.Backward, False),
        )
        count = ql.ActualActual(ql.ActualActual.ISMA, schedule)
        bond = ql.FixedRateBond(0, 100.0, schedule, [float(coupon)], count)
        made.append((bond, ql.BondPrice(float(price), ql.BondPrice.Clean), count))
    known = ql.BondFunctions

    def yields() -> list[float]:
        return [
            known.bondYield(bond, price, count, ql.Compounded, ql.Semiannual, today, 1e-12)
            for bond, price, count in made
        ]

    def z_spreads() -> list[float]:
        return [
            known.zSpread(bond, price, curve, clock, ql.Compounded, ql.Annual, today, 1e-12) for bond, price, _ in made
        ]

    yield "QuantLib: yields of 200 bonds", yields, ""
    yield "QuantLib: z-spreads of 200 bonds", z_spreads, ""


def many_bonds() -> Bonds:
    """Bonds with maturities and coupons at random."""
    rng = np.random.Generator(np.random.Philox(1))
    return Bonds(SETTLE + rng.integers(365, 10_957, BONDS), rng.integers(0, 60, BONDS) / 800)


ROWS: tuple[Callable[[], Iterator[Row]], ...] = (bond_rows, z_spread_rows, swap_rows, quantlib_rows)


if __name__ == "__main__":
    main()
