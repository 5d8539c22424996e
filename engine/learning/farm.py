"""Many tickers trained in chunks, on whatever executor: processes of this machine, a cluster, or one after the other.

A chunk is a few sources of problems that are trained as one batch. Which chunks there are is decided before any is
handed out, and all chance comes from a source's own seed; so the executor, the number of workers and the order in which
chunks end change nothing but the time it takes.

1. ``work_chunk`` runs wherever the executor puts it: it makes each source's problems, trains them together, and grades
   every network exactly. A source that cannot be made, or whose network is not finite, is left out with its reason; a
   batch that fails as a whole is trained again one source at a time, which finds the one that spoils it.
2. ``run_farm`` hands chunks out and tells of each as it ends. ``farm_folder`` keeps what it tells, so that a farm that
   was killed goes on with the chunks that are missing. A chunk whose worker died is worked once more with nothing
   beside it, where that can be had; else it is lost, which is not kept: another run works it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, as_completed, wait
from typing import Any, NamedTuple, ParamSpec, TypeVar

import msgspec
import numpy as np

from engine.errors import TickwrightError
from engine.learning.exact_policy import exact_cost, fixed_rules, greedy, solve
from engine.learning.placement_problem import VWAP, Problem, stack
from engine.learning.policy_surfaces import network_values
from engine.learning.vwap_results import Learned, Run
from engine.q_network import Weights

P = ParamSpec("P")
T = TypeVar("T")


class Source(NamedTuple):
    """Where a ticker's problems come from; what ``terms`` are is between those who made the source and ``prepare``."""

    ticker: str
    seed: int  # of their training
    terms: Any  # small, and picklable


class Posed(NamedTuple):
    """A problem, and what its agent's manifest should say of it: at least ``step_s`` and ``is_synthetic``."""

    problem: Problem
    told: dict[str, Any]


class Chunk(NamedTuple):
    """What is trained as one batch."""

    number: int
    sources: tuple[Source, ...]


class Done(NamedTuple):
    """What became of a chunk: n runs, and the tickers that failed."""

    chunk: Chunk
    runs: list[Run]
    posed: list[Posed]  # [n]
    learned: Learned | None  # None where no run is left
    failed: dict[str, str]
    is_lost: bool = False  # nobody ended it: ``failed`` says why, and nothing was found out about its tickers


class Farmer(NamedTuple):
    """How every chunk is worked; all of it picklable."""

    prepare: Callable[[Any], list[Posed]]  # of a source's terms: the problems of one ticker
    learn: Callable[[Problem, Sequence[int], str], Learned]  # of a batch: a row for each problem by its seed
    seconds: Callable[[], float]  # processor time; a clock is a parameter


class OneByOne(Executor):
    """Runs what it is given at once, here."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """A future that is done."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def chunks_of(sources: Sequence[Source], *, size: int) -> list[Chunk]:
    """Cut sources into chunks of ``size``; the last may be smaller."""
    starts = range(0, len(sources), size)
    return [Chunk(number, tuple(sources[start : start + size])) for number, start in enumerate(starts)]


def run_farm(
    chunks: Sequence[Chunk], farmer: Farmer, executor: Executor, again: Callable[[], Executor] | None = None
) -> Iterator[Done]:
    """Work every chunk; they come back as they end.

    Parameters
    ----------
    chunks, farmer : what is worked, and how.
    executor : Executor
    again : makes an executor of one worker. A worker that dies may take chunks of others with it, so each of those is
        worked in one of these, alone; who breaks that, too, failed. Without it they come back as lost.
    """
    if isinstance(executor, OneByOne):  # hear of each before the next begins
        yield from (work_chunk(chunk, farmer) for chunk in chunks)
        return
    futures = {_handed_out(chunk, farmer, executor): chunk for chunk in chunks}
    lost: list[Chunk] = []
    for future in as_completed(futures):
        done = _outcome(futures[future], future, is_alone=False)
        if done.is_lost and again:
            lost.append(done.chunk)
        else:
            yield done
    if again:
        yield from (_alone(chunk, farmer, again) for chunk in lost)


def work_chunk(chunk: Chunk, farmer: Farmer) -> Done:
    """Make, train and grade; what fails is told, not raised."""
    began = farmer.seconds()
    failed: dict[str, str] = {}
    ready: list[tuple[Source, Posed]] = []
    made: dict[str, list[Posed]] = {}  # a ticker may come with several seeds
    for source in chunk.sources:
        try:
            if source.ticker not in made and source.ticker not in failed:
                made[source.ticker] = farmer.prepare(source.terms)
            ready += [(source, one) for one in made.get(source.ticker, [])]
        except Exception as error:
            failed[source.ticker] = _reason(error)
    trained = _trained(ready, f"{chunk.number:04d}", farmer, failed)
    runs = [_graded(source, posed.problem, learned) for source, posed, learned in trained]
    if not runs:
        return Done(chunk, [], [], None, failed)
    share = (farmer.seconds() - began) / len(runs)
    return Done(
        chunk=chunk,
        runs=[msgspec.structs.replace(run, seconds=share) for run in runs],
        posed=[posed for _, posed, _ in trained],
        learned=joined([learned for _, _, learned in trained]),
        failed=failed,
    )


def _handed_out(chunk: Chunk, farmer: Farmer, executor: Executor) -> Future[Done]:
    try:
        return executor.submit(work_chunk, chunk, farmer)
    except BrokenExecutor as error:  # by a chunk that was handed out before
        future: Future[Done] = Future()
        future.set_exception(error)
        return future


def _alone(chunk: Chunk, farmer: Farmer, again: Callable[[], Executor]) -> Done:
    with again() as executor:
        future = _handed_out(chunk, farmer, executor)
        wait([future])
        return _outcome(chunk, future, is_alone=True)


def _outcome(chunk: Chunk, future: Future[Done], *, is_alone: bool) -> Done:
    """What a future that is done says of its chunk."""
    try:
        error = future.exception()
    except CancelledError as cancelled:
        error = cancelled
    if error is None:
        return future.result()
    was_stopped = isinstance(error, CancelledError) or not isinstance(error, Exception)  # as by Ctrl-C
    is_lost = was_stopped or (isinstance(error, BrokenExecutor) and not is_alone)
    why = f"its worker {'was lost' if is_lost else 'failed'}: {_reason(error)}"
    return Done(chunk, [], [], None, {source.ticker: why for source in chunk.sources}, is_lost)


def joined(parts: Sequence[Learned]) -> Learned:
    """Runs of several trainings as one; those with fewer points repeat their last, as one that stopped does."""
    columns: list[Any] = [np.concatenate(_as_long(column)) for column in zip(*parts, strict=True)]
    return Learned(*columns)


def _as_long(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Arrays [n, k, …] with k that of the longest; what has no k, or the same, stays."""
    longest = max(array.shape[1] for array in arrays)
    return [
        np.concatenate([array, np.repeat(array[:, -1:], longest - array.shape[1], axis=1)], axis=1) for array in arrays
    ]


def _trained(
    ready: Sequence[tuple[Source, Posed]], name: str, farmer: Farmer, failed: dict[str, str]
) -> list[tuple[Source, Posed, Learned]]:
    """Each problem with its own row of what was learned."""
    if not ready:
        return []
    try:
        learned = farmer.learn(stack([posed.problem for _, posed in ready]), [source.seed for source, _ in ready], name)
    except Exception as error:
        tickers = sorted({source.ticker for source, _ in ready})
        if len(tickers) == 1:
            failed[tickers[0]] = _reason(error)
            return []
        alone = [[one for one in ready if one[0].ticker == ticker] for ticker in tickers]
        return [found for some in alone for found in _trained(some, f"{name}-{some[0][0].ticker}", farmer, failed)]
    rows = [_row(learned, i) for i in range(len(ready))]
    for (source, _), row in zip(ready, rows, strict=True):
        if not all(np.isfinite(getattr(row, name)).all() for name in Weights._fields):
            failed[source.ticker] = "training left numbers that are not finite; a smaller rate may help"
    return [(*one, row) for one, row in zip(ready, rows, strict=True) if one[0].ticker not in failed]


def _row(learned: Learned, i: int) -> Learned:
    columns: list[Any] = [column[i : i + 1] for column in learned]
    return Learned(*columns)


def _graded(source: Source, problem: Problem, learned: Learned) -> Run:
    """The network of a row, held against the optimum and the fixed rules."""
    weights = Weights(learned.w1[0], learned.b1[0], learned.z[0], learned.b2[0])
    rules = {name: exact_cost(problem, action) for name, action in fixed_rules(problem).items()}
    best = min(rules, key=lambda name: rules[name])
    return Run(
        ticker=source.ticker,
        pov=problem.pov,
        objective="vwap" if problem.objective == VWAP else "arrival",
        seed=source.seed,
        episodes=int(learned.episodes[0, -1]),
        seconds=0.0,
        cost=exact_cost(problem, greedy(network_values(problem, weights))),
        optimum=solve(problem).cost,
        twap=rules["twap"],
        best_rule=rules[best],
        best_rule_name=best,
    )


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, TickwrightError) else f"{type(error).__name__}: {error}"
