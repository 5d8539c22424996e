"""Who trains a farm: this process, processes beside it, or a Dask cluster; and whether they can at all."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from queue import SimpleQueue
from typing import Any, NamedTuple, ParamSpec, TypeVar

from engine.errors import ConfigError
from engine.learning.farm import OneByOne

P = ParamSpec("P")
T = TypeVar("T")


class Workforce(NamedTuple):
    """What ``run_farm`` hands its chunks to."""

    executor: Executor
    again: Callable[[], Executor] | None = None  # makes one worker, for a chunk alone
    is_here: bool = True  # on this machine, with its folders


@contextmanager
def workforce(workers: int, *, dask: str, device: str) -> Iterator[Workforce]:
    """Workers that can train. Who leaves early waits for the chunks that were begun, and for no other.

    Parameters
    ----------
    workers : int
        Processes; 1 is this one.
    dask : str
        A scheduler's address, instead of them; "" for none.
    device : str

    Raises
    ------
    ConfigError
        If these do not go together, the cluster does not answer, or somebody lacks what training needs.
    """
    if workers < 1:
        raise ConfigError(f"--workers is {workers}, but must be >= 1")
    if device != "cpu" and (dask or workers > 1):
        raise ConfigError(f"--device {device} trains every ticker on one device; leave --dask and --workers out")
    if dask:
        with _client(dask) as client:
            client.run(check_learning, device)  # on every worker that is there
            yield Workforce(client.get_executor(), is_here=False)
        return
    check_learning(device)
    if workers == 1:
        yield Workforce(OneByOne())
        return
    pool = WorkerProcesses(workers)
    try:
        yield Workforce(pool, partial(WorkerProcesses, 1))
    finally:
        pool.shutdown(cancel_futures=True)


class WorkerProcesses(Executor):
    """``count`` pools of one process each.

    A process that dies breaks its pool, and with one pool for all it would take along whatever waits there. Here its
    own future ends in ``BrokenExecutor``, a fresh process takes its place, and nobody else hears of it.
    """

    def __init__(self, count: int) -> None:
        self._threads = ThreadPoolExecutor(count)  # each waits for the process that it took
        self._free: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
        for _ in range(count):
            self._free.put(_one_process())

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """A future that ends as the call does in whichever process is free first."""
        return self._threads.submit(self._in_process, fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As of any executor; processes end when the last call has."""
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
        while wait and not self._free.empty():
            self._free.get().shutdown()

    def _in_process(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        pool = self._free.get()
        try:
            return pool.submit(fn, *args, **kwargs).result()
        except BrokenExecutor:
            pool.shutdown()
            pool = _one_process()
            raise
        finally:
            self._free.put(pool)


def _one_process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def check_learning(device: str) -> None:
    """Refuse to begin where every ticker would fail.

    Raises
    ------
    ConfigError
        If torch is not there, or the device cannot be used.
    """
    try:
        importlib.import_module("torch")
    except ImportError as error:
        raise ConfigError(f"training needs the extra `learn` ({error}): pip install tickwright[learn]") from None
    from engine.learning.deep_q_learner import torch_device

    torch_device(device)


def _client(address: str) -> Any:
    try:
        distributed = importlib.import_module("distributed")
    except ImportError:
        raise ConfigError("--dask needs the extra `sweep`: pip install tickwright[sweep]") from None
    try:
        return distributed.Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no Dask scheduler answers at {address} ({error}); start one with `dask scheduler`"
        ) from None
