"""``tickwright train vwap`` and ``tickwright vwap gap``: what they leave, say and refuse."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from random_agent import random_agent

from engine import farm_workforce, vwap_command
from engine.agent_model import load_agent
from engine.cli import main
from engine.clock import cpu_seconds
from engine.learning.agent_export import problem_of
from engine.learning.exact_policy import exact_cost
from engine.learning.placement_env import network_policy
from engine.learning.vwap_config import load_vwap_config
from engine.learning.vwap_results import load_results
from engine.shipped import shipped_folder

torch = pytest.importorskip("torch", reason="the extra `learn` is not installed")

SMALL = """
povs = [0.1, 0.2]
seeds = [1]
batch = 2

[train]
episodes = 200
rounds = 4
settle = 1
steps = 10
batch = 64
refresh = 5
snapshots = 2
"""
SOLVABLE = "solvable = true" + SMALL
MARKETS = (
    SMALL
    + """
[parent]
steps = 40

[measuring]
every_s = 15.0

[measuring.periods]
after_open_s = 300
before_close_s = 0
each_s = 600

[[tickers]]
symbol = "LOST"
tapes = ["no_such_tape"]

[[tickers]]
symbol = "SYN"

[tickers.synthetic]
seed = 5
date = "2026-03-02"
days = 2
view = "L1"

[tickers.synthetic.params]
window_minutes = [60, 150]
stocks = [{ symbol = "SYN", regime = "large", price = "20.00", daily_volatility = 0.02 }]
"""
)


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "mine.toml").write_text(SOLVABLE)
    assert main(["train", "vwap", str(folder / "mine.toml"), "--out", str(folder / "agents"), "--quiet"]) == 0
    return folder / "agents"


def test_an_agent_that_is_left_costs_what_the_results_say(trained: Path) -> None:
    kept = load_results(trained)
    assert [(run.ticker, run.pov, run.seed) for run in kept.results.runs] == [("TEST", 0.1, 1), ("TEST", 0.2, 1)]
    agents = [load_agent(path) for path in sorted((trained / "agents").iterdir())]
    assert [agent.manifest.pov for agent in agents] == [0.1, 0.2]
    for agent, run in zip(agents, kept.results.runs, strict=True):
        problem = problem_of(agent)
        assert exact_cost(problem, network_policy(problem, agent.weights)) == pytest.approx(run.cost, abs=1e-9)
        assert run.optimum <= run.cost
    assert len((trained / "table.csv").read_text().splitlines()) == 3
    assert not {"seed", "device"} & {*kept.results.settings}  # the run's stand elsewhere


def test_networks_that_a_fixed_rule_beats_are_named(trained: Path) -> None:
    runs = load_results(trained).results.runs
    better = [msgspec.structs.replace(run, cost=run.optimum) for run in runs]
    spoilt = msgspec.structs.replace(runs[0], cost=runs[0].best_rule + 1)
    worst, rules = vwap_command._worst_lines([spoilt, better[1]])
    assert worst.startswith("worst     TEST at 10 %, seed 1: ")
    assert "1 of 2 networks cost more than a fixed rule; do not trade them: TEST at 10 %, seed 1 (" in rules
    assert "all 2 networks are cheaper than every fixed rule" in vwap_command._worst_lines(better)[1]


def test_a_training_that_is_done_is_not_done_again_unless_told_and_then_gives_the_same(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, tmp_path / "agents")
    words = ["train", "vwap", str(trained.parent / "mine.toml"), "--out", str(tmp_path / "agents")]
    assert main([*words, "--quiet"]) == 0
    assert "some were trained before" in capsys.readouterr().out
    assert main([*words, "--overwrite", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert ([run["pov"] for run in answer["runs"]], answer["failed"]) == ([0.1, 0.2], {})
    for ours, theirs in zip(load_results(tmp_path / "agents").learned, load_results(trained).learned, strict=True):
        assert np.array_equal(ours, theirs)


def test_what_was_trained_can_be_reported(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vwap", "report", str(trained)]) == 0
    shown = capsys.readouterr().out
    for words in ("TEST, POV 10%, arrival", "TEST, POV 20%, arrival", "Expected cost of a parent"):
        assert words in shown


def test_a_ticker_without_a_tape_is_told_and_the_rest_is_trained_on_its_market(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text(MARKETS)
    assert main(["train", "vwap", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "agents")]) == 0
    told = capsys.readouterr()
    log = [line for line in told.err.splitlines() if line.startswith("2 of 2")]
    assert len(log) == 3, told.err
    assert all(line.endswith("core s") or "LOST failed: " in line for line in log)
    shown = told.out
    assert "failed    1" in shown
    assert "LOST: " in shown
    assert "SYNTHETIC: no recorded market" in shown
    (small, large) = (load_agent(path).manifest for path in sorted((tmp_path / "agents" / "agents").iterdir()))
    assert (small.pov, large.pov) == (0.1, 0.2)
    assert 2 * small.lot_size == pytest.approx(large.lot_size)
    assert small.half_spread == large.half_spread > 0
    assert small.trained == large.trained != []


def test_a_training_of_which_nothing_is_left_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost, _, _ = MARKETS.partition('[[tickers]]\nsymbol = "SYN"')
    (tmp_path / "mine.toml").write_text(lost)
    assert main(["train", "vwap", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "agents"), "--quiet"]) == 1
    assert "wrote     0 agents" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "complaint_"),
    [
        ("seeds = [1]", "sedes = [1]", "unknown field 'sedes' at $; did you mean 'seeds'?"),
        ("seeds = [1]", "seeds = [1, 1]", "$.seeds has a value twice"),
        ("seeds = [1]", "seeds = [-1]", "$.seeds has -1, but seeds are >= 0"),
        ("povs = [0.1, 0.2]", "povs = [0.0]", "$.povs"),
        ("solvable = true", "solvable = false", "give exactly one of solvable = true, [[tickers]] and [universe]"),
        ("episodes = 200", "episodes = 3", "episodes is 3, but must be >= rounds (4)"),
        ("[train]", "[trian]", "unknown field 'trian'"),
        ("steps = 10", 'device = "cuda"', "$.train.device is 'cuda', but is told by --device"),
        ("steps = 10", "hidden = 32", "$.train.hidden is 32, but agents have 50; leave it out"),
        ("[train]", "[parent]\nrisk_aversion = 0.1\n[train]", "$.parent.risk_aversion is 0.1, but solvable = true has"),
        ("steps = 10", "seed = 5", "$.train.seed is 5, but is told by $.seeds"),
        ("[train]", "[parent]\npov = 0.3\n[train]", "$.parent.pov is 0.3, but is told by $.povs"),
    ],
)
def test_a_config_that_cannot_be_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, complaint_: str
) -> None:
    assert old in SOLVABLE
    (tmp_path / "mine.toml").write_text(SOLVABLE.replace(old, new))
    told = complaint(capsys, "train", "vwap", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "agents"), "--quiet")
    assert complaint_ in told


def test_what_cannot_be_asked_for_is_refused(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(trained.parent / "mine.toml")
    assert "did you mean 'vwap_test'?" in complaint(capsys, "train", "vwap", "vwap_tset")
    told = complaint(capsys, "train", "vwap", config, "--out", str(trained.parent), "--overwrite")
    assert "holds no training, so it is not overwritten" in told
    told = complaint(capsys, "train", "vwap", config, "--out", str(tmp_path / "new"), "--workers", "0")
    assert "--workers is 0, but must be >= 1" in told
    (tmp_path / "other.toml").write_text(SOLVABLE.replace("seeds = [1]", "seeds = [2]"))
    told = complaint(capsys, "train", "vwap", str(tmp_path / "other.toml"), "--out", str(trained))
    assert "holds something else than the beginning of this training" in told


def test_what_cannot_train_is_refused_before_anything_is_begun_or_removed(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained, tmp_path / "agents")
    words = ["train", "vwap", str(trained.parent / "mine.toml"), "--overwrite", "--out"]
    assert "--workers is 0" in complaint(capsys, *words, str(tmp_path / "agents"), "--workers", "0")
    if not torch.cuda.is_available():
        told = complaint(capsys, *words, str(tmp_path / "agents"), "--device", "cuda")
        assert "device 'cuda' cannot be used" in told
    assert len(load_results(tmp_path / "agents").results.runs) == 2
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "training needs the extra `learn`" in complaint(capsys, *words, str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_training_whose_workers_were_lost_says_how_it_goes_on(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dying(Executor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            raise BrokenExecutor("it died")

    monkeypatch.setattr(farm_workforce, "OneByOne", Dying)
    words = ["train", "vwap", str(trained.parent / "mine.toml"), "--out", str(tmp_path / "agents"), "--quiet"]
    assert main(words) == 1
    shown = capsys.readouterr().out
    assert "TEST: its worker was lost: BrokenExecutor: it died" in shown
    assert "lost      1 of them; the same command, without --overwrite, goes on with them" in shown
    assert list((tmp_path / "agents").glob("chunks/*")) == []


@pytest.mark.slow
def test_who_stops_a_training_waits_for_no_chunk_that_was_not_begun() -> None:
    calls: list[Future[float]] = []

    def stop() -> None:
        with farm_workforce.workforce(2, dask="", device="cpu") as force:
            calls.extend(force.executor.submit(cpu_seconds) for _ in range(50))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert sum(call.cancelled() for call in calls) >= 40


@pytest.mark.slow
def test_a_cluster_trains_what_this_process_does_and_writes_nothing_where_its_workers_are(
    trained: Path, tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed")
    words = ["train", "vwap", str(trained.parent / "mine.toml"), "--out", str(tmp_path / "agents"), "--quiet"]
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        assert main([*words, "--dask", cluster.scheduler_address]) == 0
    assert not (tmp_path / "agents" / "partly").exists()
    for ours, theirs in zip(load_results(tmp_path / "agents").learned, load_results(trained).learned, strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("file", sorted((shipped_folder("configs") / "training").glob("vwap_[dtu]*.toml")))
def test_trainings_that_ship_are_valid(file: Path) -> None:
    assert load_vwap_config(file).seeds


GAP = """
seed = 3
run = "{run}"
symbol = "XYZ"
tapes = ["{tape}"]
after_open_s = 60
before_close_s = 60
block = 1
draws = 200
"""
RUN = """
strategy = "strategies.vwap_agent:VwapAgent"
seed = 3
[feed_params]
tapes = ["{tape}"]
[params]
agent_folder = "mine.agent"
[[params.orders]]
symbol = "XYZ"
side = "buy"
shares = 2_000
[params.market.XYZ]
daily_volume = 1_000_000
daily_volatility = 0.02
[risk]
preset = "replay"
[broker.impact]
type = "none"
"""


@pytest.fixture
def gap_config(tmp_path: Path, small_tape: Path) -> Path:
    (tmp_path / "run.toml").write_text(RUN.format(tape=small_tape))
    (tmp_path / "gap.toml").write_text(GAP.format(tape=small_tape, run=tmp_path / "run.toml"))
    return tmp_path / "gap.toml"


@pytest.mark.slow
def test_the_gap_is_told_for_the_agent_the_optimum_and_two_rules(
    gap_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random_agent(gap_config.with_name("mine.agent"), 2, lot_size=20.0, half_spread=100.0, forecast="imbalance")
    assert main(["vwap", "gap", str(gap_config), "--quiet"]) == 0
    shown = capsys.readouterr().out
    for words in ("Calibrated problem and full replay", "Orders by level", "always near 1", "replayed - predicted"):
        assert words in shown
    assert main(["vwap", "gap", str(gap_config), "--json"]) == 0
    gaps = {one["policy"]: one for one in json.loads(capsys.readouterr().out)["gaps"]}
    assert list(gaps) == ["agent", "optimum", "twap", "always near 1"]
    assert {one["episodes"] for one in gaps.values()} == {2 * 12}  # eight minutes of parents of 40 s, bought and sold
    for one in gaps.values():
        parts = sum(one[name]["mean"] for name in ("fills", "prices", "moves"))
        assert one["difference"]["mean"] == pytest.approx(parts)
        assert one["replayed"]["mean"] == pytest.approx(one["predicted"] + one["difference"]["mean"])
    assert gaps["optimum"]["predicted"] < gaps["agent"]["predicted"]
    assert 0.95 < gaps["twap"]["done"]["mean"] <= 1


def test_a_gap_needs_an_agent_of_a_market(gap_config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random_agent(gap_config.with_name("mine.agent"), 2)
    assert "was trained on a problem of no market" in complaint(capsys, "vwap", "gap", str(gap_config))
    gap_config.write_text(gap_config.read_text().replace("block", "blocks"))
    assert "unknown field 'blocks'" in complaint(capsys, "vwap", "gap", str(gap_config))
    assert "did you mean 'vwap_gap_demo'?" in complaint(capsys, "vwap", "gap", "vwap_gap_dmo")
