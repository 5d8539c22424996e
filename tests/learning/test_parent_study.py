"""The study of parents: every arm works the same orders, parts add up, no held-out day is known, luck is luck."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from wandering_days import LENGTH, wandering

from engine.broker.impact import Market, NoImpact
from engine.broker.models import BrokerConfig, RiskConfig
from engine.cli import main
from engine.errors import ConfigError
from engine.learning.null_market import null_day
from engine.learning.parent_study import Arm, HeldOut, Subject, Trial, Venue, Windows, check_held_out, replays, study
from engine.learning.placer_study import foresee
from engine.learning.vwap_study_config import StockArm, load_vwap_study_config
from engine.model_file import load_model, save_model
from engine.names import import_class
from engine.shipped import shipped_folder
from engine.signals import Probe
from engine.strategy import SECOND, Strategy
from engine.tape import Tape
from engine.vwap_study_views import Part, null_verdict, versus
from feeds.replay import TapeFeed

MODEL = str(shipped_folder("configs") / "models" / "DEMO_20.model")
WINDOWS = Windows(after_open_s=30, before_close_s=5, each_s=60, pause_s=10)
MARKET = Market(daily_volume=600_000, daily_volatility=0.009)
VENUE = Venue(BrokerConfig(), RiskConfig(stale_ns=60 * SECOND), 7)
TACTICS = {"tolerance": 0.05, "finish_s": 10}
PLACEMENT = {"improve": 0.5, "deepen": 0.5, "most_ahead": 0.5, "most_behind": 0.5}


def subject(days: list[Tape], **changed: Any) -> Subject:
    return Subject(**({"symbol": "DEMO", "days": days, "shares": (100, 300), "market": MARKET} | changed))


def made(name: str, told: dict[str, Any], orders: list[dict[str, Any]], tape: Tape) -> Strategy:
    cls = import_class(name, Strategy, "test")
    return cls(msgspec.convert({"orders": orders, "tactics": TACTICS, **told}, cls.Params))


TWAP = Arm("twap", partial(made, "strategies.twap:Twap", {}))
CURVE = Arm("vwap_schedule", partial(made, "strategies.vwap_schedule:VwapSchedule", {}))


def placed(signals: str, orders: list[dict[str, Any]], tape: Tape) -> Strategy:
    cls = import_class("strategies.forest_placer:ForestPlacer", Strategy, "test")
    told = {"orders": orders, "tactics": TACTICS, "signals": signals, "placement": PLACEMENT}
    foresight = {"foresight": foresee(tape, "DEMO", load_model(MODEL).manifest)} if signals == "foresight" else {}
    placer = cls(msgspec.convert(told, cls.Params), **foresight)
    placer.probes = (Probe(symbol="DEMO", model=MODEL, clock="quote"),)
    return placer


def placer(signals: str) -> Arm:
    return Arm(signals, partial(placed, signals))


def ignore(what: str) -> None:
    """Nobody watches."""


def studied(arms: list[Arm], days: list[Tape], **changed: Any) -> list[Trial]:
    return list(study(arms, subject(days, **changed), WINDOWS, VENUE, TapeFeed, ignore))


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    return studied([TWAP, CURVE], [wandering(1)], every_size=True)


def test_each_window_is_worked_with_each_size_on_each_side_in_every_arm(trials):
    windows = range(len(WINDOWS.starts((0, LENGTH * SECOND))))
    found = sorted((t.arm, t.window, t.side, t.shares) for t in trials)
    arms = ("twap", "vwap_schedule")
    assert found == sorted((a, w, s, n) for a in arms for w in windows for s in (1, -1) for n in (100, 300))


def test_parts_add_up_to_what_was_paid_against_the_markets_vwap():
    tape = wandering(2)
    found = {(t.window, t.side): t for t in studied([TWAP], [tape], shares=(300,))}
    for one in replays([TWAP], subject([tape], shares=(300,)), tape, WINDOWS, VENUE, TapeFeed, ignore):
        for cost in one.result.parents:
            t = found[int(cost.name), cost.side]
            assert t.done == cost.done == t.shares
            assert cost.slippage_vwap_bp is not None
            assert t.vwap == cost.interval_vwap
            paid = cost.slippage_vwap_bp + 1e4 * cost.impact_charged / 1e6 / (t.vwap * cost.size)
            assert t.slippage_bp == pytest.approx(paid, abs=1e-9)
            assert t.slippage_bp == pytest.approx(t.spread_bp + t.impact_bp + t.timing_bp + t.completion_bp)
    assert sum(t.impact_bp for t in found.values()) > 0


def test_the_onlooker_changes_nothing():
    tape, orders = wandering(3), subject([wandering(3)])
    with_it, without = (
        [one.result.parents for one in replays([TWAP], orders, tape, WINDOWS, VENUE, TapeFeed, ignore, look_on=seen)]
        for seen in (True, False)
    )
    assert [[msgspec.structs.replace(p, account="") for p in parents] for parents in with_it] == [
        [msgspec.structs.replace(p, account="") for p in parents] for parents in without
    ]


class Idle(import_class("strategies.twap:Twap", Strategy, "test")):  # type: ignore[misc]
    """Accepts orders and does nothing but look."""

    def on_timer(self, timer, desk) -> None:
        for parent in self.state.parents:
            parent.look(desk.now, desk.quote("DEMO"), desk.volume("DEMO"))


def test_what_is_not_done_is_counted_at_the_other_sides_touch_when_the_parent_ended():
    idle = Arm("idle", lambda orders, tape: Idle(msgspec.convert({"orders": orders}, Idle.Params)))
    tape = wandering(4)
    quotes = tape.rows[tape.rows["kind"] == 1]
    opening = tape.sessions[0][0]
    for t in studied([idle], [tape]):
        end = opening + (WINDOWS.starts((0, LENGTH * SECOND))[t.window] + WINDOWS.each_s) * SECOND
        last = quotes[quotes["ts_event"] < end][-1]
        far = float(last["price2"] if t.side > 0 else last["price"]) / 10_000
        assert t.done == 0
        assert t.spread_bp == t.impact_bp == t.timing_bp == t.fees_bp == 0
        assert t.slippage_bp == t.completion_bp == pytest.approx(1e4 * t.side * (far / t.vwap - 1), abs=1e-6)


def test_perfect_foresight_is_found_and_it_is_timing():
    trials = studied([placer("foresight"), placer("off")], [wandering(seed, 20_600 + seed) for seed in range(4)])
    row = versus(Part("DEMO all", trials, 3), "foresight", ["foresight", "off"], seed=1, draws=400)[0]
    assert row.slippage.high < 0
    assert row.parts["timing_bp"].high < 0
    assert "shows timing against 1 of 1 arms" in null_verdict("DEMO all", "foresight", [row])


def test_a_model_finds_nothing_where_there_is_no_alpha():
    days = [null_day(wandering(seed, 20_600 + seed), np.random.default_rng(seed)) for seed in range(4)]
    trials = studied([placer("model"), placer("off")], days)
    row = versus(Part("DEMO all", trials, 3), "model", ["model", "off"], seed=1, draws=400)[0]
    assert row.slippage.low <= 0 <= row.slippage.high
    assert row.parts["timing_bp"].low <= 0 <= row.parts["timing_bp"].high


def test_who_rests_shows_no_timing_where_there_is_no_alpha_though_moves_fill_it():
    days = [null_day(wandering(seed, 20_600 + seed), np.random.default_rng(seed)) for seed in range(16)]
    patient = {"tactics": TACTICS | {"tolerance": 0.5}}
    resting = Arm("resting", partial(made, "strategies.vwap_schedule:VwapSchedule", patient))
    timing = [t.timing_bp for t in studied([resting], days)]
    of_windows = np.array([(buy + sell) / 2 for buy, sell in zip(timing[::2], timing[1::2], strict=True)])
    assert abs(of_windows.mean()) < 2 * of_windows.std() / np.sqrt(len(of_windows))


def test_a_study_without_impact_or_without_a_window_is_refused():
    venue = VENUE._replace(broker=BrokerConfig(impact=NoImpact()))
    with pytest.raises(ConfigError, match="with impact on; leave it on"):
        next(study([TWAP], subject([wandering(1)]), WINDOWS, venue, TapeFeed, ignore))
    with pytest.raises(ConfigError, match="DEMO: no window fits into a session of 260 s"):
        next(study([TWAP], subject([wandering(1)]), Windows(), VENUE, TapeFeed, ignore))


def test_a_model_may_not_know_the_day_that_it_is_judged_on():
    tape = wandering(1, day=20_600)
    opening, close = tape.sessions[0]
    day = close - opening
    early, on, late = (opening, opening + 29 * SECOND), (opening, close), (close + day, close + 2 * day)
    refused: list[tuple[list[tuple[int, int]], HeldOut, str]] = [
        ([on], "later", "was trained on 2026-05-27 or later"),
        ([late], "later", "was trained on 2026-05-27 or later"),
        ([early, on], "fold", "was trained on 2026-05-27, which it is to be judged on"),
    ]
    for spans, rule, says in refused:
        with pytest.raises(ConfigError, match=says):
            check_held_out("DEMO", tape, WINDOWS, {"m": spans}, rule)
    check_held_out("DEMO", tape, WINDOWS, {"m": [early]})  # the morning of an only day, before the first window
    check_held_out("DEMO", tape, WINDOWS, {"m": [late, early]}, "fold")


STUDY = """
seed = 1
venue = "forest_placer"
judged = "placer"
draws = 200
windows = {{ after_open_s = 30, before_close_s = 5, each_s = 60, pause_s = 10 }}
[[arms]]
name = "twap"
run = "twap_demo"
[[arms]]
name = "placer"
run = "forest_placer"
sets = ["params.curve.tapes=[]", "params.tactics.finish_s=10", "probes.0.model={{forest}}"]
[[stocks]]
symbol = "DEMO"
shares = [100, 300]
market = {{ daily_volume = 600_000, daily_volatility = 0.009 }}
models = {{ forest = "{model}" }}
tapes = ["{tape}"]
"""


@pytest.fixture
def told(tmp_path: Path) -> str:
    wandering(3).save(tmp_path / "tape")
    return STUDY.format(model=MODEL, tape=tmp_path / "tape")


@pytest.mark.parametrize("null", [False, True])
def test_the_command_prints_every_arm_and_writes_every_parent(tmp_path: Path, told: str, null: bool, capsys):
    (tmp_path / "mine.toml").write_text(told)
    flags = ["--null"] if null else []
    assert main(["vwap", "study", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "parents.csv"), *flags]) == 0
    text = capsys.readouterr().out
    for words in ("one held-out day, 2026-05-27", "twap", "placer less each other arm", "DEMO 100", "DEMO sell"):
        assert words in text
    assert ("no alpha" if null else "the best baseline, twap") in text
    windows = len(WINDOWS.starts((0, LENGTH * SECOND)))
    assert len((tmp_path / "parents.csv").read_text().splitlines()) == 1 + 2 * 2 * windows


def test_the_command_answers_in_json(tmp_path: Path, told: str, capsys):
    (tmp_path / "mine.toml").write_text(told)
    assert main(["vwap", "study", str(tmp_path / "mine.toml"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["versus"][0]["slippage"].keys() == {"mean", "error", "low", "high"}
    assert len(answer["verdicts"]) == 1
    assert {parent["arm"] for parent in answer["parents"]} == {"twap", "placer"}


def test_the_command_refuses_a_model_of_the_held_out_day_wherever_an_arm_hides_it(tmp_path: Path, told: str, capsys):
    model, tape = load_model(MODEL), wandering(3)
    saw = msgspec.structs.replace(model.manifest, trained=[tape.sessions[0]])
    save_model(tmp_path / "saw.model", saw, model.trees)
    (tmp_path / "mine.toml").write_text(told.replace(MODEL, str(tmp_path / "saw.model")))
    assert main(["vwap", "study", str(tmp_path / "mine.toml")]) == 1
    assert "saw.model was trained on 2026-05-27 or later" in capsys.readouterr().err


def test_each_day_has_the_model_that_was_trained_without_it(tmp_path: Path, told: str):
    days = [wandering(seed, 20_600 + seed) for seed in range(2)]
    for name in ("2026-05-27", "2026-05-28"):
        shutil.copytree(MODEL, tmp_path / f"without_{name}.model")
    (tmp_path / "mine.toml").write_text(told.replace(MODEL, "without_{day}.model"))
    config = load_vwap_study_config(tmp_path / "mine.toml")
    arm = StockArm(config.arms[1], config.stocks[0], tmp_path / "mine.toml")
    used = [Path(folder).name for day in days for folder in arm.trained(day)]
    assert used == ["without_2026-05-27.model", "without_2026-05-28.model"]
    with pytest.raises(ConfigError, match=r"no folder without_2026-05-29.model, here or beside the config"):
        arm.trained(wandering(2, 20_602))


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ('judged = "placer"', 'judged = "placr"', "is no arm; did you mean 'placer'?"),
        ("{forest}", "{forst}", "DEMO has no {forst}; did you mean 'forest'?"),
        ('name = "twap"', 'name = "placer"', "names an arm twice"),
        ('run = "twap_demo"', 'run = "short_gamma"', ""),
        ("shares = [100, 300]", "shares = []", "shares"),
        ("draws = 200", "drawss = 200", "unknown field 'drawss'"),
        ("seed = 1", "seed = -1", "expected int >= 0 at $.seed"),
    ],
)
def test_a_study_that_makes_no_sense_says_where(tmp_path: Path, told: str, right, wrong, says, capsys):
    assert right in told
    (tmp_path / "mine.toml").write_text(told.replace(right, wrong))
    assert main(["vwap", "study", str(tmp_path / "mine.toml")]) == 1
    assert says in capsys.readouterr().err


def test_studies_that_ship_are_valid(monkeypatch, recorded_data: Path):
    monkeypatch.setenv("TICKWRIGHT_DATA", str(recorded_data))
    for file in sorted((shipped_folder("configs") / "studies").glob("vwap_study*.toml")):
        assert len(load_vwap_study_config(file).arms) >= 4
