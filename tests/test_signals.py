"""Probes as strategies and configs declare them: what is shown, weighed, written down and refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine import Strategy, Wake
from engine.broker.impact import NoImpact
from engine.broker.models import BrokerConfig
from engine.broker.trees import NODE, Trees
from engine.config import dump, load, make_strategies, parse
from engine.errors import ConfigError, StrategyError
from engine.events import Signal
from engine.model_file import InstrumentFacts, Manifest, save_model
from engine.reports.banner import banner
from engine.run import run
from engine.signals import NAMES, Probe, check_probes, part_to_come
from engine.tape import Tape
from feeds.replay import TapeFeed

XYZ = InstrumentFacts(symbol="XYZ", price_unit="1/10000", tick=100, size_unit="1", lot=1)
SECOND = 1_000_000_000


def made(folder: Path, **facts) -> str:
    """A model that always says down 0.1, flat 0.2, up 0.7."""
    nodes = np.array([(np.inf, 0, 0, 0)], NODE)
    trees = Trees.of(nodes, np.array([0, 1]), np.array([[0.1, 0.2, 0.7]]), n_features=len(NAMES))
    terms = {"horizon": 10, "features": list(NAMES), "stale_ns": SECOND, "horizon_cdf": [(SECOND, 1.0)]} | facts
    save_model(folder, Manifest(instrument=XYZ, **terms), trees)
    return str(folder)


class Looker(Strategy):
    """Looks at each signal that calls it, and at each second of the clock."""

    wake = Wake(signal="up", above=0.6, every_ns=SECOND)

    def on_start(self, desk):
        self.woken: list[Signal] = []
        self.shown: list[tuple[int, Signal | None, float]] = []

    def on_signal(self, signal, desk):
        self.woken.append(signal)

    def on_timer(self, timer, desk):
        signal = desk.signal("XYZ")
        self.shown.append((timer.ts_event, signal, desk.weight(signal) if signal else 0.0))


def looked(tape: Path, model: str, wake: Wake = Looker.wake) -> Looker:
    looker = Looker()
    looker.probes, looker.wake = (Probe(symbol="XYZ", model=model),), wake
    run(looker, TapeFeed(tape), broker=BrokerConfig(impact=NoImpact()))
    return looker


def test_a_class_above_its_threshold_wakes_and_one_below_does_not(small_tape: Path, tmp_path: Path) -> None:
    model = made(tmp_path / "up.model")
    woken = looked(small_tape, model).woken
    assert len(woken) > 500
    assert {signal.probabilities for signal in woken} == {(0.1, 0.2, 0.7)}
    for wake, n in (
        (Wake(signal="up", above=0.7, every_ns=SECOND), 0),
        (Wake(signal="down", above=0.05, every_ns=SECOND), len(woken)),
        (Wake(signal="flat", above=0.2, every_ns=SECOND), 0),
        (Wake(signal="move", above=0.6, every_ns=SECOND), len(woken)),
        (Wake(signal="any", every_ns=SECOND), len(woken)),
    ):
        assert len(looked(small_tape, model, wake).woken) == n


def test_a_signal_weighs_what_is_still_to_come_and_a_stale_one_is_not_shown(small_tape: Path, tmp_path: Path) -> None:
    looker = looked(small_tape, made(tmp_path / "quick.model", stale_ns=SECOND // 4))
    aged = [(signal, weight, signal.age(ts)) for ts, signal, weight in looker.shown if signal is not None]
    assert 0 < len(aged) < len(looker.shown)
    assert all(age <= SECOND // 4 for *_, age in aged)
    assert [weight for _, weight, _ in aged] == pytest.approx([1 - age / SECOND for *_, age in aged])


@pytest.mark.parametrize(("age", "part"), [(-5, 1.0), (0, 1.0), (50, 0.75), (100, 0.5), (150, 0.25), (10**9, 0.0)])
def test_what_is_to_come_is_one_less_the_part_that_has_passed(age: int, part: float) -> None:
    assert part_to_come([(100, 0.5), (200, 1.0)], age) == pytest.approx(part)


def test_without_points_everything_is_always_to_come() -> None:
    assert part_to_come([], 10**15) == 1.0


# --- in configs


def probed(tape: Path, **probe: str) -> dict:
    return {
        "strategy": f"{__file__}:Looker",
        "feed_params": {"tapes": [str(tape)]},
        "probes": [{"symbol": "XYZ", **probe}],
    }


def test_a_config_names_its_models_beside_itself_and_is_written_down_with_their_hash(
    small_tape: Path, tmp_path: Path
) -> None:
    made(tmp_path / "up.model")
    config = parse(probed(small_tape, model="up.model"), folder=tmp_path)
    strategies, entries = make_strategies(config)
    (probe,) = entries[0].probes
    assert probe.model == str(tmp_path / "up.model")
    assert len(probe.content) == 64
    assert strategies[0].probes == (probe,)
    told = banner(msgspec.structs.replace(config, strategies=entries), Tape.load(small_tape).manifest, 0)
    assert f"probe       signals of XYZ by trade ticks, model {probe.model} ({probe.content[:16]})" in told
    again = tmp_path / "again.toml"
    again.write_text(dump(msgspec.structs.replace(config, strategies=entries)))
    assert load(again).strategies[0].probes == [probe]
    made(tmp_path / "other.model", horizon=20)
    with pytest.raises(ConfigError, match="was asked for"):
        make_strategies(parse(probed(small_tape, model="other.model", content=probe.content), folder=tmp_path))


def test_a_model_of_another_clock_or_of_other_signals_is_refused(small_tape: Path, tmp_path: Path) -> None:
    made(tmp_path / "trades.model")
    with pytest.raises(ConfigError, match=r'counts trade ticks, the probe of XYZ quote ticks; write clock = "trade"'):
        make_strategies(parse(probed(small_tape, model="trades.model", clock="quote"), folder=tmp_path))
    made(tmp_path / "mixed.model", features=list(reversed(NAMES)))
    with pytest.raises(ConfigError, match="but a probe gives ofi_10, ofi_50"):
        make_strategies(parse(probed(small_tape, model="mixed.model"), folder=tmp_path))


# --- what is refused


def test_a_wake_by_signal_must_make_sense() -> None:
    with pytest.raises(ConfigError, match="signal is 'upp', but must be one of any, down, flat, up, move"):
        Wake(signal="upp")
    with pytest.raises(ConfigError, match=r"above is 1\.5, but is a probability"):
        Wake(signal="up", above=1.5)
    with pytest.raises(ConfigError, match="there is none; declare probes"):
        check_probes((), signal="any", who="main")
    with pytest.raises(ConfigError, match="needs a model's probabilities"):
        check_probes((Probe(symbol="XYZ"),), signal="up", who="main")
    with pytest.raises(ConfigError, match="main has 2 probes of XYZ"):
        check_probes((Probe(symbol="XYZ"), Probe(symbol="XYZ", clock="quote")), signal="", who="main")


def test_a_handler_without_its_wish_and_a_look_without_a_probe_are_refused(small_tape: Path) -> None:
    class Deaf(Looker):
        wake = Wake(every_ns=SECOND)

    with pytest.raises(ConfigError, match=r"set wake = Wake\(signal='any', ...\)"):
        run(Deaf(), TapeFeed(small_tape))

    class Blind(Strategy):
        wake = Wake(every_ns=SECOND)

        def on_timer(self, timer, desk):
            desk.signal("XYZ")

    with pytest.raises(StrategyError, match=r"no probe measures XYZ; declare probes = \(Probe\(symbol='XYZ'\), ...\)"):
        run(Blind(), TapeFeed(small_tape))


def test_a_probe_of_what_the_run_has_not_is_refused(small_tape: Path) -> None:
    blind = Looker()
    blind.probes, blind.wake = (Probe(symbol="ABC"),), Wake(signal="any")
    with pytest.raises(ConfigError, match=r"a probe names 'ABC', but this run has \['XYZ'\]"):
        run(blind, TapeFeed(Tape.load(small_tape)))
