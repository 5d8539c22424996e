"""The farm: who fails does not stop the rest, and who works changes no bit."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from farmed import FARMER, POINTS, bits, learn_and_die, tickers

from engine.agent_model import load_agent
from engine.errors import ConfigError
from engine.farm_workforce import WorkerProcesses
from engine.learning.farm import Done, OneByOne, joined, run_farm
from engine.learning.farm_folder import Farm, gap_closed
from engine.learning.vwap_results import load_results


def serial(*povs: float, size: int = 2) -> list[Done]:
    return list(run_farm(tickers(*povs, size=size), FARMER, OneByOne()))


class Broken(Executor):
    """Its only worker died over the first call, or a cluster cancelled it; from ``refuses`` calls on it takes none."""

    def __init__(self, *, error: BaseException | None = None, refuses: int = 99) -> None:
        self.error, self.left = error, refuses

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.left == 0:
            raise BrokenExecutor("it is broken")
        self.left -= 1
        future: Future[Any] = Future()
        if self.error:
            future.set_exception(self.error)
        else:
            future.cancel()
            future.set_running_or_notify_cancel()
        return future


def farm_in(folder: Path, identity: str = "a") -> Farm:
    return Farm(folder, name="made up", identity=identity, settings={"batch": 2}, device="cpu")


def test_a_ticker_that_cannot_be_made_is_told_with_its_reason_and_the_rest_is_trained() -> None:
    (done,) = serial(0.1, -1.0, 0.2, size=3)
    assert [run.ticker for run in done.runs] == ["T0", "T2"]
    assert done.failed == {"T1": "ValueError: its tape has no trades"}


def test_a_ticker_that_spoils_its_batch_is_found_and_the_rest_learns_what_it_would_have_without() -> None:
    (spoiled,) = serial(0.1, 1.0, 0.2, size=3)
    assert spoiled.failed == {"T1": "FloatingPointError: the loss is not finite"}
    (whole,) = serial(0.1, 0.15, 0.2, size=3)
    assert spoiled.learned is not None
    assert whole.learned is not None
    for mine, theirs in zip(spoiled.learned, whole.learned, strict=True):
        assert np.array_equal(mine, theirs[[0, 2]])


def test_a_network_that_is_not_finite_is_a_failure_and_no_agent() -> None:
    (done,) = serial(0.1, 0.9)
    assert [run.ticker for run in done.runs] == ["T0"]
    assert "not finite" in done.failed["T1"]


def test_costs_lie_between_the_optimum_and_what_anybody_can_lose() -> None:
    for done in serial(0.05, 0.1, 0.2):
        for run in done.runs:
            assert run.optimum <= run.best_rule <= run.twap
            assert run.optimum <= run.cost
            closed = [gap_closed(msgspec.structs.replace(run, cost=cost)) for cost in (run.twap, run.optimum)]
            assert closed == pytest.approx([0, 1])


@pytest.mark.slow
def test_a_pool_of_processes_gives_the_same_bits_as_one_after_the_other() -> None:
    povs = 0.05, -1.0, 0.1, 0.2, 1.0
    with WorkerProcesses(2) as pool:
        found = list(run_farm(tickers(*povs), FARMER, pool))
    assert bits(found) == bits(serial(*povs))


def test_seconds_of_a_chunk_are_shared_by_its_runs() -> None:
    readings = iter([10.0, 16.0])
    (done,) = run_farm(tickers(0.05, 0.1, 0.2, size=3), FARMER._replace(seconds=lambda: next(readings)), OneByOne())
    assert [run.seconds for run in done.runs] == [2.0, 2.0, 2.0]


@pytest.mark.slow
def test_a_worker_that_dies_takes_nobody_else_along() -> None:
    farmer = FARMER._replace(learn=learn_and_die)
    with WorkerProcesses(2) as pool:
        found = list(run_farm(tickers(0.5, 0.05, 0.1, 0.2, size=1), farmer, pool))
    by_ticker = {done.chunk.sources[0].ticker: done for done in found}
    assert [by_ticker[f"T{i}"].is_lost for i in range(4)] == [True, False, False, False]
    assert bits(found)[1:] == bits(serial(0.5, 0.05, 0.1, 0.2, size=1))[1:]


@pytest.mark.slow
def test_who_waited_in_a_pool_that_broke_is_worked_and_only_who_broke_it_fails() -> None:
    farmer = FARMER._replace(learn=learn_and_die)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = list(run_farm(tickers(0.5, 0.05, size=1), farmer, pool, again=lambda: WorkerProcesses(1)))
    killer, bystander = sorted(found, key=lambda done: done.chunk.number)
    assert killer.failed["T0"].startswith("its worker failed: BrokenProcessPool")
    assert not killer.is_lost
    assert [run.ticker for run in bystander.runs] == ["T1"]


@pytest.mark.parametrize(
    "broken",
    [lambda: Broken(), lambda: Broken(error=BrokenExecutor("it died")), lambda: Broken(refuses=1),
     lambda: Broken(error=asyncio.CancelledError()), lambda: Broken(error=KeyboardInterrupt())],
)  # fmt: skip
def test_what_was_lost_is_told_and_not_kept_or_worked_again_where_that_can_be(
    broken: Callable[[], Executor], tmp_path: Path
) -> None:
    chunks, farm = tickers(0.05, 0.1, size=1), farm_in(tmp_path / "farm")
    farm.begin()
    for done in run_farm(chunks, FARMER, broken()):
        assert done.is_lost
        assert "its worker was lost" in farm.keep(done).failed[done.chunk.sources[0].ticker]
    assert not any(farm.is_done(chunk) for chunk in chunks)
    assert farm.end(chunks, lost={"T0": "its worker was lost", "T1": "its worker was lost"}) is None
    assert len((tmp_path / "farm" / "table.csv").read_text().splitlines()) == 3
    assert bits(list(run_farm(chunks, FARMER, broken(), again=OneByOne))) == bits(serial(0.05, 0.1, size=1))


def test_a_chunk_that_breaks_an_executor_of_its_own_failed() -> None:
    (done,) = run_farm(tickers(0.1), FARMER, Broken(), again=lambda: Broken(error=BrokenExecutor("it died")))
    assert (done.failed, done.is_lost) == ({"T0": "its worker failed: BrokenExecutor: it died"}, False)


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_bits_as_one_after_the_other() -> None:
    distributed = pytest.importorskip("distributed")
    povs = 0.05, -1.0, 0.1, 0.2
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        found = list(run_farm(tickers(*povs), FARMER, client.get_executor()))
    assert bits(found) == bits(serial(*povs))


def test_a_folder_keeps_agents_results_and_a_table_of_all_that_happened(tmp_path: Path) -> None:
    chunks = tickers(0.05, -1.0, 0.1, 0.2)
    farm = farm_in(tmp_path / "farm")
    farm.begin()
    for done in run_farm(chunks, FARMER, OneByOne()):
        farm.keep(done)
    kept = farm.end(chunks)
    assert kept is not None
    loaded = load_results(tmp_path / "farm")
    assert [run.ticker for run in loaded.results.runs] == ["T0", "T2", "T3"]
    assert loaded.results.failed == {"T1": "ValueError: its tape has no trades"}
    assert np.array_equal(loaded.learned.w1, kept.learned.w1)
    table = (tmp_path / "farm" / "table.csv").read_text().splitlines()
    assert len(table) == 5
    assert table[-1].endswith("its tape has no trades")
    agent = load_agent(tmp_path / "farm" / "agents" / "T2_1000_9.agent")
    assert np.array_equal(agent.weights.w1, loaded.learned.w1[1])
    assert agent.manifest.pov == 0.1


def test_a_run_that_makes_no_agent_is_a_failure_of_its_ticker_and_the_rest_is_kept(tmp_path: Path) -> None:
    (chunk,), farm = tickers(0.05, 0.1), farm_in(tmp_path / "farm")
    farm.begin()
    (done,) = run_farm([chunk], FARMER, OneByOne())
    done.posed[0].told["lean_edge"] = 2.0
    kept = farm.keep(done)
    assert [run.ticker for run in kept.runs] == ["T1"]
    assert "no agent: its lean_edge is 2.0" in kept.failed["T0"]
    whole = farm.end([chunk])
    assert whole is not None
    assert done.learned is not None
    assert np.array_equal(whole.learned.w1, done.learned.w1[1:])
    assert list(whole.results.failed) == ["T0"]
    assert len(list((tmp_path / "farm" / "agents").iterdir())) == 1


def test_a_farm_that_was_killed_goes_on_with_the_chunks_that_are_missing(tmp_path: Path) -> None:
    chunks = tickers(0.05, 0.07, 0.1, 0.2, 0.15, 0.3)
    whole, killed = farm_in(tmp_path / "whole"), farm_in(tmp_path / "killed")
    for farm in (whole, killed):
        farm.begin()
    for done in run_farm(chunks, FARMER, OneByOne()):
        whole.keep(done)
    for done in run_farm(chunks[1:2], FARMER, OneByOne()):
        killed.keep(done)
    half_written = shutil.ignore_patterns("failed.json")  # a chunk's last file
    shutil.copytree(tmp_path / "whole/chunks/0000", tmp_path / "killed/chunks/0000", ignore=half_written)
    again = farm_in(tmp_path / "killed")
    again.begin()
    left = [chunk for chunk in chunks if not again.is_done(chunk)]
    assert [chunk.number for chunk in left] == [0, 2]
    for done in run_farm(left, FARMER, OneByOne()):
        again.keep(done)
    assert whole.end(chunks) is not None
    assert again.end(chunks) is not None
    assert load_results(tmp_path / "whole").results.content == load_results(tmp_path / "killed").results.content


def test_a_farm_of_another_config_is_not_gone_on_with(tmp_path: Path) -> None:
    farm_in(tmp_path / "farm", "a").begin()
    with pytest.raises(ConfigError, match="holds something else than the beginning of this training"):
        farm_in(tmp_path / "farm", "b").begin()


def test_runs_with_fewer_points_repeat_their_last() -> None:
    (one,) = serial(0.1, size=1)
    assert one.learned is not None
    names = "episodes", "reward", "aggressive", "completed", "placed"
    shorter = one.learned._replace(**{name: getattr(one.learned, name)[:, :1] for name in names})
    both = joined([one.learned, shorter])
    assert both.episodes.shape == (2, POINTS)
    assert (both.episodes[1] == both.episodes[1, 0]).all()
