"""Latency of each leg in money, and how late a signal may come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from planted_market import MILLISECOND, SECOND, leading_tape, queue_model

from engine import Strategy, Wake
from engine.broker.impact import NoImpact
from engine.broker.models import BrokerConfig
from engine.cli import main
from engine.config import Config, parse
from engine.errors import ConfigError
from engine.held_signals import hold_signals
from engine.latency_study import LatencyStudy, break_even, study_latency
from engine.learning.signal_decay import signal_decays
from engine.parent import ParentOrder
from engine.run import KeptJournal, run
from engine.signals import Probe
from engine.strategy import MINUTE
from feeds.replay import TapeFeed

GRID = (MILLISECOND, 10 * MILLISECOND, 100 * MILLISECOND)
RISK = {"stale_ns": 10 * SECOND}


class Taker(Strategy):
    """Takes the side that a signal foretells as soon as it is told, and goes home 300 ms later."""

    wake = Wake(signal="move", above=0.6)

    def on_signal(self, signal, desk):
        down, _, up = signal.probabilities
        desk.trade("XYZ", 1 if up > down else -1, shares=100)
        desk.wake_at(desk.now + 300 * MILLISECOND)

    def on_timer(self, timer, desk):
        if held := desk.position("XYZ"):
            desk.trade("XYZ", -1 if held > 0 else 1, shares=abs(held))


class Looker(Strategy):
    """Looks at the clock, and takes what the newest signal says."""

    wake = Wake(every_ns=200 * MILLISECOND)

    def on_timer(self, timer, desk):
        signal = desk.signal("XYZ")
        if signal is not None and max(signal.probabilities) != signal.probabilities[1]:
            desk.trade("XYZ", 1 if signal.probabilities[2] > 0.6 else -1, shares=100)
        desk.wake_at(desk.now + 30 * MILLISECOND)


class Blind(Strategy):
    """Buys by parent orders, without any signal."""

    class Params(msgspec.Struct, frozen=True):
        parents: int = 10

    wake = Wake(every_ns=SECOND)

    def on_timer(self, timer, desk):
        if len(desk.parents) < self.params.parents:
            order = ParentOrder(symbol="XYZ", side=1, size=100, start=desk.now, end=desk.now + SECOND)
            parent = desk.parent(order)
            parent.look(desk.now, desk.quote("XYZ"), 0)
            parent.sent(desk.trade("XYZ", 1, shares=100), 100, price=None, is_passive=False)

    def on_fill(self, fill, desk):
        for parent in desk.parents:
            parent.observe(fill)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return queue_model(tmp_path_factory.mktemp("models") / "queue.model")


def config(tape: str, model: str, strategy: type[Strategy] = Taker) -> Config:
    return parse(
        {
            "name": "study",
            "strategy": f"{__file__}:{strategy.__name__}",
            "feed_params": {"tapes": [tape]},
            "probes": [{"symbol": "XYZ", "model": model, "clock": "quote"}] if model else [],
            "broker": {"impact": {"type": "none"}, "fees": {"taker_per_unit": 0.0, "maker_per_unit": 0.0}},
            "risk": RISK,
        }
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, model: str) -> LatencyStudy:
    tape = leading_tape(tmp_path_factory.mktemp("told") / "day")
    return study_latency([config(tape, model)], GRID, block_ns=MINUTE)


def curves(found: LatencyStudy) -> dict[str, Any]:
    return {curve.leg: curve for curve in found.curves}


def test_a_signal_earns_its_move_until_the_move_has_come_and_then_costs_the_spread(told: LatencyStudy) -> None:
    order = curves(told)["order"]
    assert order.latency_ns == [200_000, *GRID]
    (worth,) = order.worths
    trades = worth.worth[0] / 3  # a hundred shares earn five ticks less the spread of two
    assert 350 < trades < 405
    assert worth.worth == pytest.approx(
        [3 * trades, 3 * trades, 3 * trades, -2 * trades], abs=10
    )  # the last stays open
    assert order.change[0] == 0


def test_its_break_even_lies_where_the_market_has_moved(told: LatencyStudy) -> None:
    for curve in told.curves:
        found = curve.worths[0].break_even
        assert found.told
        assert found.ns is not None
        assert found.low_ns is not None
        assert 10 * MILLISECOND < found.low_ns <= found.ns < 100 * MILLISECOND
        assert curve.worths[0].to_come[0] == 1
        assert curve.worths[0].to_come[-1] == 0


def test_a_late_forecast_meets_new_prices_where_a_late_order_has_old_ones(told: LatencyStudy) -> None:
    """Both arrive after the jump and pay the spread; the decision leg leaves the view of prices as it was."""
    legs = curves(told)
    assert list(legs) == ["feed", "decision", "order"]
    assert legs["decision"].latency_ns == [0, *GRID]
    assert legs["decision"].money[0] == told.money
    assert legs["decision"].worths[0].worth[-1] == pytest.approx(legs["order"].worths[0].worth[-1])


def test_a_signal_that_tells_nothing_has_no_break_even(tmp_path: Path, model: str) -> None:
    tape = leading_tape(tmp_path / "day", told=False)
    found = study_latency([config(tape, model)], GRID, block_ns=MINUTE)
    for curve in found.curves:
        assert not curve.worths[0].break_even.told


@pytest.mark.parametrize("strategy", [Taker, Looker])
def test_signals_held_by_nothing_change_no_record(tmp_path: Path, model: str, strategy: type[Strategy]) -> None:
    tape = leading_tape(tmp_path / "day", seconds=250)

    def fingerprint(held: int | None, *, wrapped: bool = True) -> tuple[str, int]:
        one: Strategy = strategy()
        one.probes = (Probe(symbol="XYZ", model=model, clock="quote"),)
        journal = KeptJournal()
        inner = hold_signals(one, {"XYZ": held}) if wrapped else one
        result = run(inner, TapeFeed(tape), broker=BrokerConfig(impact=NoImpact()), journal=journal)
        return result.fingerprint, result.orders.sent

    plain = fingerprint(0, wrapped=False)
    assert plain[1] > 100
    assert fingerprint(0) == plain
    assert fingerprint(40 * MILLISECOND) != plain  # planted: what is held must make a difference
    assert fingerprint(None)[1] == 0


def test_parents_are_paired_and_a_strategy_without_signals_has_no_decision_leg(tmp_path: Path) -> None:
    tape = leading_tape(tmp_path / "day", seconds=60)
    found = study_latency([config(tape, "", Blind)], GRID, block_ns=MINUTE)
    assert (found.unit, found.units, found.signals) == ("parent orders", 10, [])
    assert [curve.leg for curve in found.curves] == ["feed", "order"]
    assert found.money == pytest.approx(-10.0)  # half a spread of a cent, ten times a hundred shares


def test_what_is_left_of_a_signal_is_its_move_until_the_market_has_moved(tmp_path: Path, model: str) -> None:
    tapes = [leading_tape(tmp_path / name, told=told) for name, told in (("told", True), ("untold", False))]
    told, untold = (signal_decays([config(tape, model)], GRID)[0] for tape in tapes)
    assert told.latency_ns == [0, *GRID]
    assert told.left == pytest.approx([5, 5, 5, 0])
    assert told.half_ns is not None
    assert untold.half_ns is None
    assert told.cost == 1  # half of a spread of two ticks, no fee
    assert told.break_even.told
    assert told.break_even.ns is not None
    assert 10 * MILLISECOND < told.break_even.ns < 100 * MILLISECOND
    assert abs(untold.left[0]) < 4 * untold.error[0]
    assert not untold.break_even.told


def test_units_of_several_markets_are_taken_together(tmp_path: Path) -> None:
    days = [config(leading_tape(tmp_path / name, seconds=60), "", Blind) for name in ("one", "two")]
    together = study_latency(days, GRID, block_ns=MINUTE)
    alone = study_latency(days[:1], GRID, block_ns=MINUTE)
    assert (together.units, len(together.markets)) == (20, 2)
    assert together.money == pytest.approx(2 * alone.money)
    assert together.curves[0].change == pytest.approx([2 * change for change in alone.curves[0].change])


def test_the_crossing_is_straight_in_the_logarithm_and_its_interval_that_of_the_units() -> None:
    latency = np.array([1, 100, 10_000])
    again = np.random.Generator(np.random.Philox(1)).integers(0, 40, (500, 40))
    worth = np.array([np.full(40, 1.0), np.full(40, 1.0), np.full(40, -1.0)])
    found = break_even(latency, worth, again)
    assert (found.ns, found.low_ns, found.high_ns) == pytest.approx((1_000.0, 1_000.0, 1_000.0))
    noisy = worth + 10 * np.random.Generator(np.random.Philox(2)).normal(size=worth.shape)
    assert not break_even(latency, noisy, again).told
    assert break_even(latency, np.ones((3, 40)), again).ns is None


def test_the_command_prints_curves_and_break_evens(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = leading_tape(tmp_path / "day", seconds=300)
    file = tmp_path / "mine.toml"
    file.write_text(
        f'strategy = "{__file__}:Taker"\nfeed_params.tapes = ["{tape}"]\nbroker.impact.type = "none"\n'
        f'risk.stale_ns = 10_000_000_000\n[[probes]]\nsymbol = "XYZ"\nmodel = "{model}"\nclock = "quote"\n'
    )
    words = [
        "latency",
        str(file),
        "--ms",
        "1",
        "--ms",
        "100",
        "--block-minutes",
        "1",
        "--market",
        f'feed_params.tapes=["{tape}"]',
    ]
    assert main([*words, "--html", str(tmp_path / "x.html")]) == 0
    out = capsys.readouterr().out
    for told in ("SYNTHETIC", "blocks of 1 minutes", "order: desk to venue", "break-even of XYZ (1 ticks), feed leg"):
        assert told in out
    assert "worth of XYZ" in (tmp_path / "x.html").read_text()
    assert main([*words, "--json"]) == 0
    found = msgspec.convert(json.loads(capsys.readouterr().out)["study"], LatencyStudy)
    assert len(found.curves) == 3
    assert main(["latency", str(file), "--ms", "-1"]) == 1
    assert "--ms is from 0" in capsys.readouterr().err


def test_what_makes_no_sense_is_refused(tmp_path: Path, model: str) -> None:
    one = config(leading_tape(tmp_path / "day", seconds=5), model)
    for grid, block in (((), MINUTE), ((-1,), MINUTE), (GRID, SECOND)):
        with pytest.raises(ConfigError, match="whole minutes"):
            study_latency([one], grid, block_ns=block)
    with pytest.raises(ConfigError, match="no mid was seen"):
        study_latency([one], GRID, block_ns=MINUTE)
