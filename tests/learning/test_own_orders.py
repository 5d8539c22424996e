"""Signals against our own orders, and who is filled: planted effects are found, and none where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from planted_market import JUMP, MILLISECOND, SECOND, leading_tape, queue_model

from engine.cli import main
from engine.config import load, parse
from engine.errors import ConfigError
from engine.learning.block_draws import draw_counts
from engine.learning.own_orders import OwnOrders, study_own_orders
from engine.learning.placements import URGENCIES, PlacementStudy, StudyMarket, study_market
from engine.learning.queue_fills import QueueStudy, compare_fills, study_queue
from engine.learning.survival import FillTable, Lives, Survival, survival
from engine.shipped import find_config

AT = 980 * MILLISECOND  # so that the queue leans when orders are placed
MARKET = {"daily_volume": 20_000, "daily_volatility": 0.02}


def terms(tape: str, model: str, *, impact: bool = False, **params: Any) -> dict[str, Any]:
    moved = {"type": "propagator", "market": {"XYZ": MARKET}} if impact else {"type": "none"}
    return {
        "name": "study",
        "seed": 3,
        "strategy": "engine.learning.placements:PlacementStudy",
        "feed_params": {"tapes": [tape]},
        "params": {"symbol": "XYZ", "every_s": 2.0, "life_s": 0.9, "cross_after_s": 0.5, **params},
        "probes": [{"symbol": "XYZ", "model": model, "clock": "quote"}] if model else [],
        "broker": {"impact": moved},
        "risk": {"stale_ns": 10 * SECOND},
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return queue_model(tmp_path_factory.mktemp("models") / "queue.model")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    return leading_tape(tmp_path_factory.mktemp("told") / "day", at_ns=AT)


@pytest.fixture(scope="module")
def untold(tmp_path_factory: pytest.TempPathFactory) -> str:
    return leading_tape(tmp_path_factory.mktemp("untold") / "day", at_ns=AT, told=False)


def market(tape: str, model: str, **changes: Any) -> StudyMarket:
    return study_market(parse(terms(tape, model, **changes)))


# --- moves by probability


def test_orders_that_move_nothing_change_nothing_and_the_planted_move_is_found(told: str, model: str) -> None:
    found = study_own_orders(market(told, model))
    assert found.lean == pytest.approx([-0.7, 0.7])
    assert [one.value for one in found.unconditional] == pytest.approx([-JUMP, JUMP])
    assert list(found.profiles) == list(URGENCIES.values())
    for one in found.profiles.values():
        assert [part.value for part in one.change] == [0, 0]
        assert one.overall.error == 0
        assert one.survival is None or one.survival.displaced.value == 0


def test_orders_that_cross_move_the_price_against_themselves_and_those_that_wait_less(told: str, model: str) -> None:
    found = study_own_orders(market(told, model, impact=True))
    cross, level = found.profiles["5 cross"], found.profiles["1 second level"]
    assert cross.overall.is_told()
    assert cross.overall.value > max(0.1, level.overall.value)
    assert cross.filled == 1
    assert cross.rested == 0
    assert cross.paid.value == pytest.approx(1)  # half of a spread of two ticks
    assert [one.value for one in found.unconditional] == pytest.approx([-JUMP, JUMP])


def test_a_signal_without_content_foretells_no_move(untold: str, model: str) -> None:
    found = study_own_orders(market(untold, model))
    for one in found.unconditional:
        assert abs(one.value) < 4 * one.error


# --- survival


def lives(n: int, *, follows: bool, seed: int = 1) -> Lives:
    """Orders a tick below walks of the mid; the signal follows past moves, or nothing."""
    rng = np.random.Generator(np.random.Philox(seed))
    ages = 30
    step = 0.5 * rng.choice([-1, 1], (n, ages))
    step[:, 0] = 0
    gone = np.cumsum(step, axis=1)
    past = np.cumsum(step, axis=1) - np.pad(np.cumsum(step, axis=1), ((0, 0), (5, 0)))[:, :ages]
    away = 0.1 * rng.normal(size=(n, ages)) + (0.2 * past if follows else 0.0)
    is_met = (gone[:, 1:] <= -1) & (rng.random((n, ages - 1)) < 0.5)
    before = np.cumsum(is_met, axis=1)
    is_open = np.column_stack([np.ones(n, np.bool_), before == 0])
    filled = np.column_stack([is_met & is_open[:, :-1], np.zeros(n, np.bool_)])
    return Lives(away, away, gone, np.ones((n, ages), np.bool_), is_open, filled)


def judged(one: Lives, table: FillTable) -> Survival:
    found = survival(one, table, draw_counts(len(one.away), 10, 300, 1))
    assert found is not None
    return found


def test_survivors_show_a_signal_that_runs_away_and_calibrated_fills_take_that_off() -> None:
    found = judged(lives(2_000, follows=True), FillTable.calibrate(lives(2_000, follows=True, seed=2)))
    assert found.bias.is_told(10)
    assert found.bias.value > 0
    assert abs(found.all_orders.value) < 4 * found.all_orders.error
    assert abs(found.left.value) < found.bias.value / 5
    assert found.foretold.is_told(10)


def test_a_signal_that_has_nothing_to_do_with_fills_survives_as_it_was() -> None:
    found = judged(lives(2_000, follows=False), FillTable.calibrate(lives(2_000, follows=False, seed=2)))
    assert not found.bias.is_told(4)
    assert not found.left.is_told(4)


def test_fills_calibrated_on_the_wrong_orders_leave_the_bias() -> None:
    """Planted: a table of orders that were never filled, and one of the other side."""
    right = lives(2_000, follows=True, seed=2)
    one = lives(2_000, follows=True)
    never = right._replace(filled=np.zeros_like(right.filled), is_open=np.ones_like(right.is_open))
    turned = right._replace(gone=-right.gone, away=-right.away)
    for wrong in (never, turned):
        found = judged(one, FillTable.calibrate(wrong))
        assert found.left.value > found.bias.value * 0.9


def test_orders_that_do_not_live_have_no_survivors() -> None:
    one = lives(100, follows=True)
    ended = np.zeros_like(one.is_open)
    ended[:, 0] = True
    table = FillTable.calibrate(one)
    assert survival(one._replace(is_open=ended), table, draw_counts(100, 10, 10, 1)) is None


# --- queues


def test_orders_that_the_price_is_foretold_to_reach_fill_more(told: str, model: str) -> None:
    found = study_queue(market(told, model))
    for one in found.levels.values():
        assert one.is_told
        assert (one.a.mean, one.b.mean) == (0, 100)
        assert one.difference == 100
        assert one.p_value <= 2e-4
        assert sum(one.a.samples) == sum(one.b.samples) == sum(one.everything.samples) == 10_000
        assert one.a.count + one.b.count == one.everything.count > 150


def test_where_nothing_is_foretold_the_classes_are_not_told_apart(untold: str, model: str) -> None:
    found = study_queue(market(untold, model))
    for one in found.levels.values():
        assert 20 < one.everything.mean < 80
        assert not one.is_told
        assert one.p_value > 0.02


def test_the_test_of_difference_is_wrong_as_rarely_as_it_says_and_finds_what_is_planted() -> None:
    rng = np.random.Generator(np.random.Philox(9))
    wrong = 0
    for _ in range(60):
        comes = rng.random(300) < 0.4
        # neighbours are alike: a slow factor that has nothing to do with the class
        slow = np.repeat(rng.uniform(0.2, 0.8, 30), 10)
        quantity = np.where(rng.random(300) < slow, 100.0, 0.0)
        wrong += compare_fills(quantity, comes, 1, samples=500).is_told
        assert compare_fills(quantity + np.where(comes, 40.0, 0.0), comes, 1, samples=500).is_told
    assert wrong <= 9  # 5 % of 60 is 3


# --- what is refused


def test_studies_say_what_is_missing(told: str, model: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"give a probe of XYZ a model"):
        study_market(parse({**terms(told, model), "probes": [{"symbol": "XYZ", "clock": "quote"}]}))
    with pytest.raises(ConfigError, match="this study needs strategy"):
        study_market(parse({**terms(told, model), "strategy": "strategies.touch_quoter:TouchQuoter",
                            "params": {"symbol": "XYZ"}}))  # fmt: skip
    with pytest.raises(ConfigError, match="cross_after_s < life_s < every_s"):
        PlacementStudy(symbol="XYZ", every_s=5.0)
    with pytest.raises(ConfigError, match="placements with a forecast, but 100 are needed"):
        study_own_orders(market(leading_tape(tmp_path / "short", seconds=150), model))
    with pytest.raises(ConfigError, match="class B has 0 placements"):
        compare_fills(np.ones(200), np.zeros(200, np.bool_), 1)
    with pytest.raises(ConfigError, match="take more of them"):
        draw_counts(10, 10, 5, 1)


# --- commands


def test_the_commands_print_tables_verdicts_and_a_page(
    told: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("plotly", reason="the extra `report` is not installed")
    file = tmp_path / "mine.toml"
    file.write_text(
        f'seed = 3\nstrategy = "engine.learning.placements:PlacementStudy"\nfeed_params.tapes = ["{told}"]\n'
        'broker.impact.type = "none"\nrisk.stale_ns = 10_000_000_000\n'
        f'[[probes]]\nsymbol = "XYZ"\nmodel = "{model}"\nclock = "quote"\n'
        '[params]\nsymbol = "XYZ"\nevery_s = 2.0\nlife_s = 0.9\ncross_after_s = 0.5\n'
    )
    page = tmp_path / "x.html"
    assert main(["forest", "own-orders", str(file), "--quiet", "--html", str(page)]) == 0
    out = capsys.readouterr().out
    for words in ("SYNTHETIC", "Mean move by probability", "at no urgency told from 0", "survival bias", "shortfall"):
        assert words in out
    assert "what our orders changed" in page.read_text()
    assert main(["forest", "queue", str(file), "--quiet", "--html", str(page)]) == 0
    out = capsys.readouterr().out
    for words in ("class A", "first level: B fills more than A", "10,000 bootstrap means", "p < 0.0002"):
        assert words in out
    assert "overlay" in page.read_text()
    assert main(["forest", "queue", str(file), "--json"]) == 0
    assert msgspec.convert(json.loads(capsys.readouterr().out)["study"], QueueStudy).symbol == "XYZ"
    assert main(["forest", "own-orders", str(file), "--json"]) == 0
    assert msgspec.convert(json.loads(capsys.readouterr().out)["study"], OwnOrders).symbol == "XYZ"


def test_the_study_that_ships_is_valid() -> None:
    config = load(find_config("placement_study"))
    assert config.strategies[0].params["life_s"] < config.strategies[0].params["every_s"]
