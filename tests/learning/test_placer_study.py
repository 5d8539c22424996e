"""The study of the placer: same parents in every arm, differences with errors that hold, no day that was trained on."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wandering_days import LENGTH, wandering

from engine.broker.impact import Market, NoImpact
from engine.cli import main
from engine.config import load
from engine.errors import ConfigError
from engine.learning.paired_effects import Effect
from engine.learning.parent_study import Windows
from engine.learning.placer_study import Subject, Trial, effect, foresee, study
from engine.model_file import load_model, save_model
from engine.placer_command import verdict
from engine.shipped import shipped_configs, shipped_folder
from engine.strategy import SECOND
from engine.tape import Kind
from feeds.replay import TapeFeed

MODEL = str(shipped_folder("configs") / "models" / "DEMO_20.model")
WINDOWS = Windows(after_open_s=30, before_close_s=5, each_s=60, pause_s=10)
MARKET = Market(daily_volume=600_000, daily_volatility=0.009)


def subject(**changed) -> Subject:
    terms = {"symbol": "DEMO", "days": [wandering(1)], "model": MODEL, "shares": (100, 300), "market": MARKET}
    return Subject(**(terms | changed))


def placer_run(**changed):
    config = load(shipped_configs()["forest_placer"], sets=["params.curve.tapes=[]", "params.tactics.finish_s=10"])
    return msgspec.structs.replace(config, **changed)


def ignore(what: str) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    return list(study(placer_run(), subject(), WINDOWS, TapeFeed, ignore))


def test_each_parent_is_worked_in_every_arm_and_on_both_sides(trials):
    windows = range(len(WINDOWS.starts((0, LENGTH * SECOND))))
    found = [(t.arm, t.window, t.side) for t in trials]
    assert sorted(found) == sorted((a, w, s) for a in ("off", "model", "foresight") for w in windows for s in (1, -1))
    assert all(t.shares == (100, 300)[t.window % 2] and 0 < t.done <= t.shares for t in trials)


def test_what_is_forecast_changes_what_parents_cost(trials):
    costs = {arm: [t.cost_bp for t in trials if t.arm == arm] for arm in ("off", "model", "foresight")}
    assert costs["off"] != costs["foresight"] != costs["model"]


def test_foresight_is_what_came():
    tape, facts = wandering(2), load_model(MODEL).manifest
    times, directions = foresee(tape, "DEMO", facts).moves["DEMO"]
    assert len(times) == len(directions)
    assert set(directions) == {-1, 0, 1}
    quotes = tape.rows[tape.rows["kind"] == Kind.QUOTE]
    mids = dict(zip(quotes["ts_event"].tolist(), (quotes["price"] + quotes["price2"]).tolist(), strict=True))
    k = directions.index(1)
    assert max(mids[t] for t in times[k + 1 : k + 40]) > mids[times[k]]


def test_a_day_that_the_model_was_trained_on_is_refused(tmp_path):
    model = load_model(MODEL)
    tape = wandering(1)
    saw = msgspec.structs.replace(model.manifest, trained=[tape.sessions[0]])
    save_model(tmp_path / "saw.model", saw, model.trees)
    with pytest.raises(ConfigError, match=r"was trained on 2026-05-27 or later; hold out days after its training"):
        next(study(placer_run(), subject(model=str(tmp_path / "saw.model")), WINDOWS, TapeFeed, ignore))


def test_a_study_without_impact_is_refused():
    broker = msgspec.structs.replace(placer_run().broker, impact=NoImpact())
    with pytest.raises(ConfigError, match="with impact on; leave it on"):
        next(study(placer_run(broker=broker), subject(), WINDOWS, TapeFeed, ignore))


def made_up(off: np.ndarray, model: np.ndarray) -> list[Trial]:
    costs: dict[Any, np.ndarray] = {"off": off, "model": model}
    return [
        Trial(symbol="X", day="2026-01-05", window=w, side=side, shares=1, arm=arm, done=1, cost_bp=float(cost[w]),
              slippage_bp=0.0, market_volume=1)
        for arm, cost in costs.items() for w in range(len(off)) for side in (1, -1)
    ]  # fmt: skip


def measured(trials: list[Trial], seed: int = 1) -> Effect:
    return effect(trials, "model", block=3, rng=np.random.default_rng(seed), draws=400)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(100):
        market, own = rng.normal(0, 20, 90), rng.normal(0, 1, 90)
        found = measured(made_up(market, market + 0.3 + own))
        held += found.low <= 0.3 <= found.high
    assert 86 <= held <= 99


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1_000), shift=st.floats(-5, 5))
def test_what_is_added_to_an_arm_is_found_and_the_markets_own_moves_cancel(seed, shift):
    market = np.random.default_rng(seed).normal(0, 50, 12)
    found = measured(made_up(market, market + shift))
    assert found.mean == pytest.approx(shift, abs=1e-9)
    assert found.error == pytest.approx(0, abs=1e-9)


def test_the_verdict_says_plainly_whether_signals_off_is_beaten():
    ceiling = Effect(-1.0, 0.1, -1.2, -0.8)
    assert "cost 0.50 bp less than with signals off, 50% of what" in verdict(
        "X", Effect(-0.5, 0.1, -0.7, -0.3), ceiling
    )
    assert "does NOT beat signals off: -0.10 bp, and 0 is in" in verdict("X", Effect(-0.1, 0.1, -0.3, 0.1), ceiling)
    assert "does NOT beat signals off: parents cost 0.50 bp MORE" in verdict("X", Effect(0.5, 0.1, 0.3, 0.7), ceiling)
    assert "a true difference of 0.28 bp would be seen" in verdict("X", Effect(0.5, 0.1, 0.3, 0.7), ceiling)


STUDY = """
seed = 1
run = "forest_placer"
sets = ["params.curve.tapes=[]", "params.tactics.finish_s=10"]
draws = 200
windows = {{ after_open_s = 30, before_close_s = 5, each_s = 60, pause_s = 10 }}
[[stocks]]
symbol = "DEMO"
model = "{model}"
shares = [100, 300]
market = {{ daily_volume = 600_000, daily_volatility = 0.009 }}
tapes = ["{tape}"]
"""


def test_the_command_prints_every_arm_and_writes_every_parent(tmp_path: Path, capsys):
    wandering(3).save(tmp_path / "tape")
    (tmp_path / "mine.toml").write_text(STUDY.format(model=MODEL, tape=tmp_path / "tape"))
    assert main(["forest", "placer", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "parents.csv")]) == 0
    text = capsys.readouterr().out
    assert "one held-out day, 2026-05-27" in text
    for label in ("DEMO all", "DEMO 100", "DEMO 300", "DEMO buy", "DEMO sell", "a true difference of"):
        assert label in text
    assert len((tmp_path / "parents.csv").read_text().splitlines()) == 1 + 3 * 2 * len(
        WINDOWS.starts((0, LENGTH * SECOND))
    )


@pytest.mark.parametrize(
    ("wrong", "says"),
    [('shares = "many"', "shares"), ("shares = []", "shares"), ('models = "x"', "unknown field 'models'")],
)
def test_a_study_that_makes_no_sense_says_where(tmp_path: Path, capsys, wrong, says):
    text = STUDY.format(model=MODEL, tape="demo_day").replace("shares = [100, 300]", wrong)
    (tmp_path / "mine.toml").write_text(text)
    assert main(["forest", "placer", str(tmp_path / "mine.toml")]) == 1
    assert says in capsys.readouterr().err
