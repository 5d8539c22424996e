"""What swaptions and the short-gamma backtest cost: ``python -m benchmarks.short_gamma``.

CPU seconds of one thread, so that a busy machine says the same as a quiet one where it can. An option-day is one leg,
one rule and one close after the sale.

1. Prices with delta, gamma, vega and theta through the public face, checks included, on arrays of a million and of
30,000. 2. The backtest of 20,000 sales of 21 closes: one rule at a time, the paper's programme at once, with
restriking, and with
   every daily mark kept.
3. Contract marks: forward, annuity, smile of 20 contracts from one close's curve and surface.
4. The event path: five years of the shipped world through strategy, dealer, journal and ledger, straddles hedged daily.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable

import numpy as np

from engine.broker.impact import NoImpact
from engine.broker.models import BrokerConfig, Otc
from engine.rates.option_panel import OptionPanel
from engine.rates.seller_programme import Programme
from engine.rates.short_gamma import Rule, Structure, backtest, trace
from engine.rates.swap_curve import bootstrap
from engine.rates.swaption_contract import contract_market, underlyings
from engine.rates.swaptions import price_swaption
from engine.rates.vol_surface import VolSurface
from engine.run import run
from engine.shipped import shipped_tapes
from engine.tape import Tape, is_axis
from feeds.replay import TapeFeed
from strategies.swaption_seller import SwaptionSeller

ROUNDS = 5
SALES, CLOSES = 20_000, 21
EVENT_CLOSES = 1_260  # five years
RULES = [Rule(hedge_beyond=x) for x in (0.0, 0.1, 0.25, 0.5, math.inf)]
STRADDLE, STRANGLE = Structure(), Structure(delta=0.25)


def main() -> None:
    """Measure and print medians and the best of several rounds."""
    rng = np.random.Generator(np.random.Philox(1))
    for n in (1_000_000, 30_000):
        forward, vol, years = rng.normal(0.02, 0.003, n), rng.uniform(0.006, 0.01, n), rng.uniform(0.003, 0.09, n)
        report(f"prices with greeks, {n:,} at once", n, lambda f=forward, v=vol, t=years: price_swaption(f, 0.02, v, t))
    for skew in (1, 5):
        panel = normal_panel(skew)
        report_backtests(panel, f"{skew} offset{'s' if skew > 1 else ''}")
    report_marks()
    report_event_path()


def report_backtests(panel: OptionPanel, smile: str) -> None:
    """Print option-days a second of several programmes."""
    restruck = [Rule(hedge_beyond=x.hedge_beyond, restrike_below=y) for x in RULES for y in (0.0, 0.1, 0.2)]
    programmes = {
        "straddle, daily hedge": ([STRADDLE], RULES[:1]),
        "straddle, beyond 25 %": ([STRADDLE], RULES[2:3]),
        "strangle, beyond 50 %": ([STRANGLE], RULES[3:4]),
        "both, five rules": ([STRADDLE, STRANGLE], RULES),
        "both, five rules, three restrikes": ([STRADDLE, STRANGLE], restruck),
    }
    for name, (structures, rules) in programmes.items():
        legs = sum(len(structure.legs) for structure in structures)
        days = SALES * CLOSES * legs * len(rules)
        report(f"{name}, {smile}", days, lambda s=structures, r=rules: backtest(panel, s, r))
    report(f"straddle, daily hedge and marks, {smile}", SALES * CLOSES, lambda: trace(panel, STRADDLE, RULES[0]))


def report_marks() -> None:
    """Print contract marks a second."""
    date = np.datetime64("2016-05-02")
    curve = bootstrap(date, [1, 2, 5, 10, 30], [0.008, 0.01, 0.013, 0.018, 0.022])
    surface = VolSurface([date], [1 / 12, 0.25], [10.0], [-0.01, 0.0, 0.01], np.full((1, 2, 1, 3), 0.008))
    contracts = underlyings(date + np.arange(20), 120)
    report("contract marks, 20 at once", 20, lambda: contract_market(curve, surface, date, contracts), repeat=500)


def report_event_path() -> None:
    """Print CPU seconds of five years of closes."""
    tape = Tape.load(shipped_tapes()["rates_world"])
    rows = tape.rows[:EVENT_CLOSES]
    years = Tape(rows, tape.manifest, {k: v if is_axis(k) else v[:EVENT_CLOSES] for k, v in tape.panels.items()})
    programme = Programme(calendar="US government bond", option_half_spread_bp=0.5)
    broker = BrokerConfig(impact=NoImpact(), otc=Otc(swaption_vol_bp=0.5))
    taken, orders = [], 0
    for _ in range(ROUNDS + 1):
        start = time.process_time()
        seller = SwaptionSeller(symbol="USD.RATES", programme=programme)
        orders = run(seller, TapeFeed(years), broker=broker).orders.sent
        taken.append(time.process_time() - start)
    del taken[0]  # compiles
    name = f"event path, {EVENT_CLOSES:,} closes, {orders:,} deals"
    print(f"{name:58} {statistics.median(taken):8.2f} s     best {min(taken):8.2f}")


def report(name: str, count: int, work: Callable[[], object], *, repeat: int = 1) -> None:
    """Print millions a second: the median and the best of the rounds, after one that compiles."""
    work()
    taken = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(repeat):
            work()
        taken.append((time.process_time() - start) / repeat)
    print(f"{name:58} {count / statistics.median(taken) / 1e6:8.2f} M/s   best {count / min(taken) / 1e6:8.2f}")


def normal_panel(offsets: int) -> OptionPanel:
    """Sales with independent normal moves."""
    rng = np.random.Generator(np.random.Philox(2))
    forward = 0.02 + np.cumsum(rng.normal(0, 5e-4, (SALES, CLOSES + 1)), axis=1)
    shape = forward.shape
    nodes = np.linspace(-0.01, 0.01, offsets) if offsets > 1 else np.zeros(1)
    return OptionPanel(
        np.datetime64("2000-01-01") + np.arange(SALES + CLOSES),
        np.arange(SALES),
        np.full(SALES, CLOSES),
        forward,
        np.full(shape, 9.0),
        np.tile(np.arange(CLOSES, -1, -1) / 252, (SALES, 1)),
        0.008 + 0.03 * np.abs(np.broadcast_to(nodes, (*shape, offsets))),
        offsets=nodes,
    )


if __name__ == "__main__":
    main()
