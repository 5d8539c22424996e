"""What ``strategies.bond_rv`` does: ``python -m benchmarks.bond_rv`` prints the tables of docs/bond_rv.md.

Each pair of lines is one run of ``configs/bond_rv.toml`` over ten years and its shadow: by each signal on
``rates_world``, then on the same world with mispricings that never revert, the switch by which relative value earns.
Standard errors are of the mean day, by block bootstrap of 42 days, the same blocks for a book and its shadow.
"""

from __future__ import annotations

import time

import msgspec
import numpy as np

from engine.config import build, load
from engine.feed import Feed
from engine.rates.block_bootstrap import block_bootstrap
from engine.run import run
from engine.shipped import shipped_configs, shipped_tapes
from engine.tape import Tape
from feeds.replay import TapeFeed
from feeds.synthetic_rates import SEED, WORLD, synthetic_rates
from strategies.as_if import Tally
from strategies.bond_packages import Book
from strategies.bond_rv import State

DAYS_A_YEAR, MILLION = 252, 1e6
LASTING = msgspec.structs.replace(WORLD, mispricing_half_life_days=0.0)
SIGNALS = ("par_curve", "z_spread_adjusted", "both")
COLUMNS = ("run", "packages", "price", "interest", "funding", "costs", "P/L a year", "±", "day's sd", "coupon gap")


def main() -> None:
    """Run and print."""
    recorded, lasting = Tape.load(shipped_tapes()["rates_world"]), synthetic_rates(LASTING, seed=SEED)
    print("USD m but for packages and the coupon gap (mean coupon of what was bought less that of what was sold, %)\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for signal in SIGNALS:
        study(f"rates_world, {signal}", recorded, f"params.signal={signal}")
    for signal in SIGNALS[:2]:
        study(f"errors last, {signal}", lasting, f"params.signal={signal}")
    study("errors last, par_curve, past not asked", lasting, "params.rules.entry_z=0.0")


def study(name: str, tape: Tape, change: str) -> None:
    """Run the shipped config with a change, and print what it and its shadow earned."""
    began = time.process_time()
    state = run_once(TapeFeed(tape), change)
    spent = time.process_time() - began
    coupons = dict(zip(tape.panels["axis_bond"]["isin"].astype(str), tape.panels["axis_bond"]["coupon"], strict=True))
    daily = np.column_stack((state.tally.daily, state.shadow_tally.daily)) / MILLION
    drawn = block_bootstrap(daily, np.random.default_rng(1), draws=500)
    errors = drawn.mean_errors * DAYS_A_YEAR
    books = ((name, state.book, state.tally), ("its shadow", state.shadow, state.shadow_tally))
    for i, (label, book, tally) in enumerate(books):
        print(line(label, book, tally, daily[:, i], float(errors[i]), coupons))
    gap = (drawn.mean_draws[:, 1] - drawn.mean_draws[:, 0]).std(ddof=1) * DAYS_A_YEAR
    less = (daily[:, 1] - daily[:, 0]).mean() * DAYS_A_YEAR
    print(f"\nshadow less book {less:.3f} ± {gap:.3f} a year; {shared(state)}; {spent:.0f} CPU s\n", flush=True)


def run_once(feed: Feed, change: str) -> State:
    """The state at the end of a run."""
    setup = build(load(shipped_configs()["bond_rv"], sets=[change]))
    [strategy] = setup.strategies
    config = setup.config
    run(strategy, feed, accounts=setup.accounts, broker=config.broker, risk=config.risk, seed=config.seed)
    return strategy.state


def line(label: str, book: Book, tally: Tally, daily: np.ndarray, error: float, coupons: dict[str, float]) -> str:
    """A row of the table."""
    sides = [100 * np.mean([coupons[isin] for _, isin, side in book.opened if side == s] or [np.nan]) for s in (1, -1)]
    money = [tally.price, tally.interest, tally.funding, -tally.cost]
    cells = [label, f"{len(book.opened):,}", *(f"{value / MILLION:.2f}" for value in money)]
    cells += [
        f"{daily.mean() * DAYS_A_YEAR:.3f}",
        f"{error:.3f}",
        f"{daily.std(ddof=1):.3f}",
        f"{sides[0] - sides[1]:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def shared(state: State) -> str:
    """How many of the shadow's packages the book opened as well, on the same day and side."""
    both = set(state.book.opened) & set(state.shadow.opened)
    return f"{len(both):,} of the shadow's {len(state.shadow.opened):,} packages are the book's, to the day"


if __name__ == "__main__":
    main()
