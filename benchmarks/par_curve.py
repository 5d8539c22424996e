"""What the par curve costs: ``python -m benchmarks.par_curve``, with ``--json FILE`` for the numbers.

On the synthetic market of ``engine.rates.synthetic_treasuries``, one core:

1. ms for a full fit of 257 bonds from clean prices: basket, flows, accrued, yields, durations, both objectives;
2. ms for the design and the solution of one objective alone, and for a refit at new prices on the cached design;
3. s for ten years of days, each with its own basket (2,520 full fits);
4. s for QuantLib's FittedBondDiscountCurve with cubic B-splines on the same knots, the same bonds and clean prices,
   once. Its optimiser is non-linear (by default a simplex, at most 10,000 steps, every bond priced anew in each), while
   ours solves the same kind of problem as a linear one: the ratio compares methods, not code. QuantLib knows no repo
   before half a year. It is left out where it is not installed, or with ``--no-peer``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engine.rates.bonds import cash_flows
from engine.rates.gc_repo import GcRepo
from engine.rates.par_basket import BondUniverse
from engine.rates.par_day import DayFit, fit_day
from engine.rates.par_fit import ParDesign, fit_par_curve
from engine.rates.par_history import Quote, fit_history
from engine.rates.synthetic_treasuries import SAMPLE_DAY, market_days, treasury_bonds, treasury_day

BONDS, DAYS, ROUNDS = 257, 2_520, 5
CALLS = 50  # of a fit in a round; the round's figure is their mean


def main() -> None:
    """Measure, print, and write the numbers where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.par_curve", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--no-peer", action="store_true", help="without QuantLib")
    parser.add_argument("--no-history", action="store_true", help="without the ten years")
    asked = parser.parse_args()
    universe, repo = market_of(BONDS)
    settle = np.datetime64(SAMPLE_DAY)
    day = fit_day(universe, settle, repo)  # compiles
    found: dict[str, Any] = {"machine": machine(), "bonds": int(day.rows.size), "load": round(os.getloadavg()[0], 2)}
    found |= fits(universe, settle, repo, day)
    report(found)
    if not asked.no_history:
        found["history"] = history()
        print(
            f"{found['history']['days']:,} days                {found['history']['best_s']:9.2f} s   "
            f"median {found['history']['median_s']:.2f}   goal 30   ({found['history']['bonds']} bonds a day)"
        )
    if not asked.no_peer:
        found["quantlib"] = peer(day)
        if "seconds" in found["quantlib"]:
            ratio = found["quantlib"]["seconds"] * 1e3 / found["full fit"]["best_ms"]
            found["ratio"] = round(ratio)
            print(f"QuantLib, once            {found['quantlib']['seconds']:9.2f} s   {ratio:,.0f} times the full fit")
            print(
                f"  largest difference of zero rates, 1 to 29 years: {found['quantlib']['zero_difference_bp']:.3f} bp"
            )
        else:
            print(f"QuantLib                  {found['quantlib']['missing']}")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


def market_of(bonds: int) -> tuple[BondUniverse, GcRepo]:
    """A day whose basket has exactly so many bonds: the oldest auctions are dropped."""
    universe, repo = treasury_day(treasury_bonds("1988-01", SAMPLE_DAY[:7], seed=1), SAMPLE_DAY, seed=1)
    rows = fit_day(universe, np.datetime64(SAMPLE_DAY), repo).rows
    surplus = rows[np.argsort(universe.issue[rows], kind="stable")][: rows.size - bonds]
    return universe.take(np.setdiff1d(np.arange(universe.isin.size), surplus)), repo


def fits(universe: BondUniverse, settle: np.datetime64, repo: GcRepo, day: DayFit) -> dict[str, Any]:
    """The three timings of one day."""
    flows, priced, fit = cash_flows(day.priced.bonds, settle), day.priced, day.enhanced

    def solve() -> None:
        design = ParDesign.of(flows.offsets, flows.times, flows.amounts)
        fit_par_curve(design, priced.dirty, priced.duration, repo, objective="yield")

    return {
        "full fit": timed(lambda: fit_day(universe, settle, repo)),
        "design and solution": timed(solve),
        "refit": timed(lambda: fit.refit(priced.dirty)),
    }


def timed(call: Callable[[], Any]) -> dict[str, float]:
    """ms a call: best and median of the rounds."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        rounds.append((time.perf_counter() - start) / CALLS * 1e3)
    return {"best_ms": round(min(rounds), 4), "median_ms": round(statistics.median(rounds), 4)}


def history() -> dict[str, Any]:
    """Ten years of full fits, the market made before the clock starts."""
    quotes = [Quote(day, universe, repo) for day, universe, repo in market_days(DAYS)]
    taken, rows = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        rows = fit_history(quotes)
        taken.append(time.perf_counter() - start)
    assert not any(row.refused for row in rows)
    return {
        "days": len(rows),
        "bonds": f"{min(row.bonds for row in rows)} to {max(row.bonds for row in rows)}",
        "best_s": round(min(taken), 2),
        "median_s": round(statistics.median(taken), 2),
    }


def peer(day: DayFit) -> dict[str, Any]:
    """QuantLib's spline fit of the same bonds, and how far its zero rates are from our legacy fit's."""
    try:
        import QuantLib as ql
    except ImportError:
        return {"missing": "not installed; pip install QuantLib"}
    curve = day.enhanced.curve
    settle = ql.DateParser.parseISO(str(day.settle))
    ql.Settings.instance().evaluationDate = settle
    helpers = [
        bond_helper(ql, settle, str(issue), str(maturity), float(coupon), float(price))
        for issue, maturity, coupon, price in zip(
            day.universe.issue[day.rows],
            day.universe.maturity[day.rows],
            day.universe.coupon[day.rows],
            day.universe.clean_price[day.rows],
            strict=True,
        )
    ]
    outside = np.arange(1, 4) * 5.0
    knots = [*(-outside[::-1]), 0.0, *curve.knots, curve.last + 1, *(curve.last + 1 + outside)]
    method = ql.CubicBSplinesFitting([float(knot) for knot in knots], True)
    start = time.perf_counter()
    fitted = ql.FittedBondDiscountCurve(settle, helpers, ql.Actual36525(), method, 1e-10, 10_000)
    fitted.discount(1.0)  # it fits when it is first asked
    seconds = time.perf_counter() - start
    years = np.linspace(1.0, 29.0, 100)
    theirs = np.array([-np.log(fitted.discount(float(t))) / t for t in years])
    missed = np.abs(theirs - day.enhanced.curve.zero_rate(years, per_year=0)).max() * 1e4
    return {
        "version": ql.__version__,
        "seconds": round(seconds, 2),
        "iterations": fitted.fitResults().numberOfIterations(),
        "zero_difference_bp": round(float(missed), 4),
    }


def bond_helper(ql: Any, settle: Any, issue: str, maturity: str, coupon: float, clean: float) -> Any:
    """One of the basket's bonds, its price in a handle."""
    schedule = ql.Schedule(
        ql.DateParser.parseISO(issue),
        ql.DateParser.parseISO(maturity),
        ql.Period(ql.Semiannual),
        ql.NullCalendar(),
        ql.Unadjusted,
        ql.Unadjusted,
        ql.DateGeneration.Backward,
        True,
    )
    day_count = ql.ActualActual(ql.ActualActual.ISMA, schedule)
    bond = ql.FixedRateBond(0, 100.0, schedule, [coupon], day_count)
    return ql.BondHelper(ql.QuoteHandle(ql.SimpleQuote(clean)), bond)


def report(found: dict[str, Any]) -> None:
    """The first lines; the others follow as they are measured."""
    print(f"{found['machine']}, load {found['load']}")
    print(f"{found['bonds']} bonds, best and median of {ROUNDS} rounds of {CALLS}")
    for name, goal in (("full fit", 10), ("design and solution", ""), ("refit", 0.5)):
        one = found[name]
        wanted = f"   goal {goal}" if goal else ""
        print(f"{name:<25} {one['best_ms']:9.3f} ms  median {one['median_ms']:.3f}{wanted}")


def machine() -> str:
    """Processor, and versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}"


if __name__ == "__main__":
    main()
