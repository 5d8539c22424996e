"""From strategies, feed and models to a result: what the command line and a notebook both call.

``run`` takes objects and leaves a run folder where it is told to; ``run_config`` takes a config and always leaves one.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import clock, run_folder
from engine.average_day import with_average_days
from engine.broker.models import Account, BrokerConfig, RiskConfig
from engine.config import Config, Setup, build, load
from engine.errors import ConfigError, StrategyError, TickwrightError
from engine.events import Event, Started
from engine.feed import Feed
from engine.journal import RECORD, Journal, read_journal
from engine.names import source_digest
from engine.outcome import outcome
from engine.receive_times import check_receive_times
from engine.recipe import recipe
from engine.result import Result
from engine.strategy import Strategy
from engine.tape import ROW, Kind

if TYPE_CHECKING:
    from engine.broker.simulated import SimulatedBroker
    from engine.desk import Desk

INTERRUPTED = "interrupted"
Watch = Callable[[int, int], None]  # (market time, rows handed over): called at each wake


class KeptJournal(Journal):
    """A journal in memory: ``run(..., journal=kept)``, then look at ``kept.records``."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[NDArray[np.void]] = []

    def append(self, records: NDArray[np.void]) -> None:
        super().append(records)
        self._parts.append(records.copy())

    @property
    def records(self) -> NDArray[np.void]:
        """RECORD[n] so far."""
        return np.concatenate(self._parts) if self._parts else np.zeros(0, RECORD)


class CountedFeed:
    """A feed that counts the rows it hands over and remembers the time of the last."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.tape = feed.tape
        self.rows = 0
        self.ts_first = 0
        self.ts_last = 0

    def read(self, *, until: int) -> NDArray[np.void] | None:
        rows = self._feed.read(until=until)
        if rows is not None and len(rows):
            self.ts_first = self.ts_first or int(rows[0]["ts_event"])
            self.ts_last = int(rows[-1]["ts_event"])
            self.rows += len(rows)
        return rows


def run(
    strategies: Strategy | Sequence[Strategy],
    feed: Feed,
    *,
    accounts: Sequence[Account] = (),
    broker: BrokerConfig | None = None,
    risk: RiskConfig | None = None,
    seed: int = 0,
    name: str = "run",
    journal: Journal | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    watch: Watch | None = None,
) -> Result:
    """Run strategies over a feed, once.

    Parameters
    ----------
    strategies : Strategy or sequence of them
        Fresh ones: a strategy, like a feed, is used up by a run.
    feed : Feed
    accounts : sequence of Account
        One for each strategy; by default "main", or "main-1", "main-2", …, with 10 M USD each.
    broker, risk : BrokerConfig, RiskConfig
        Models and limits; by default the pessimistic ones of ``engine.broker.models``. What the impact model needs to
        know of an average day, and is not told, is measured from the feed's tape.
    seed : int
        Of every draw.
    name : str
    journal : Journal, optional
        Where the records go; in memory by default.
    out : path, optional
        A run folder to leave, which ``tickwright verify`` and reports read; ``result.folder`` says where. Tapes must
        have been saved, and strategies be defined in a file (or, to be verified in the same notebook, in a cell).
    overwrite : bool
        Replace the run folder; by default, where it exists, ``-2``, ``-3``, … is added.
    watch : callable, optional
        Called with (market time, rows handed over) at each wake.

    Returns
    -------
    Result
        With ``partial`` set if Ctrl-C ended it.

    Raises
    ------
    StrategyError
        If a strategy raised. Its ``__cause__`` is the exception, its notes the event that woke the strategy and the
        last row before, its ``result`` what was done until then.
    ConfigError, TapeError, RunError
        If models or limits make no sense; with ``out``, if the run could not be repeated or the folder not be made.
    """
    many = [strategies] if isinstance(strategies, Strategy) else list(strategies)
    owners = list(accounts) or [Account(name="main" if len(many) == 1 else f"main-{n + 1}") for n in range(len(many))]
    if not many:
        raise ConfigError("no strategy to replay; a config with [[live.clients]] alone is for `tickwright paper`")
    if len(owners) != len(many):
        raise ConfigError(f"{len(many)} strategies and {len(owners)} accounts; give each strategy its own account")
    broker = with_average_days(broker or BrokerConfig(), feed)
    check_receive_times(broker, feed)
    if out is not None:
        if journal is not None:
            raise ConfigError("out= and journal= are two places for one journal; give one of them")
        terms = {"broker": broker, "risk": risk or RiskConfig(), "seed": seed, "name": name}
        config = recipe(many, feed, accounts=owners, **terms)
        setup = Setup(config=config, feed=feed, strategies=many)
        return run_into(run_folder.create(Path(out), overwrite=overwrite), setup, watch=watch)
    kept = journal or KeptJournal()
    counted = CountedFeed(feed)
    venue = _venue(many, feed, owners, broker, risk, seed, kept)
    desks: list[Desk] = []
    partial, failure = "", None
    try:
        with _interruptible() as is_interrupted:
            for event, desk in _wakeups(many, counted, venue):
                if type(event) is Started:
                    desks.append(desk)
                if watch is not None:
                    watch(desk.now, counted.rows)
                if is_interrupted():
                    partial = INTERRUPTED
                    break
    except KeyboardInterrupt:
        partial = INTERRUPTED
    except StrategyError as error:
        partial, failure = str(error), error
    finally:
        venue.close()  # its last records are written however the run ends
    result = _result(name, seed, partial, counted, feed, owners, desks, kept, broker)
    if failure is not None:
        failure.result = result  # type: ignore[attr-defined]
        raise failure
    return result


def run_config(
    config: Config | str | os.PathLike[str],
    *,
    sets: Sequence[str] = (),
    seed: int | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    chunks: int | None = None,
    watch: Watch | None = None,
) -> Result:
    """Run a config and leave a run folder.

    Parameters
    ----------
    config : Config or path of a TOML file
    sets, seed
        As ``engine.config.load`` takes them; only with a path.
    out : path, optional
        The run folder; ``runs/<name>`` by default. Where it exists, ``-2``, ``-3``, … is added.
    overwrite : bool
        Replace the run folder instead.
    chunks : int, optional
        Rows that the feed hands over at a time; changes nothing but the speed.
    watch
        As in ``run``.

    Raises
    ------
    ConfigError, TapeError, StrategyError, RunError
        As ``load``, ``build``, ``run`` and ``run_folder``; the folder of a run that a strategy ended is kept.
    """
    if not isinstance(config, Config):
        config = load(config, sets=sets, seed=seed)
    setup = build(config, feed_overrides={} if chunks is None else {"chunks": chunks})
    folder = run_folder.create(Path(out) if out is not None else Path("runs") / config.name, overwrite=overwrite)
    return run_into(folder, setup, watch=watch)


def run_into(folder: Path, setup: Setup, *, watch: Watch | None = None) -> Result:
    """Run what was built and leave everything in ``folder``, which ``run_folder.create`` made."""
    config, start = setup.config, clock.seconds()
    tape = setup.feed.tape.manifest
    manifest = run_folder.begin(
        folder,
        config,
        [run_folder.TapeSource(name=tape.name, content=tape.content)],
        [
            run_folder.StrategySource(name=entry.strategy, source=source_digest(type(strategy)))
            for entry, strategy in zip(config.strategies, setup.strategies, strict=True)
        ],
    )
    failure = None
    with Journal(folder / "journal.bin") as journal:
        try:
            result = run(
                setup.strategies,
                setup.feed,
                accounts=setup.accounts,
                broker=config.broker,
                risk=config.risk,
                seed=config.seed,
                name=config.name,
                journal=journal,
                watch=watch,
            )
        except StrategyError as error:
            failure = error
            result = error.result  # type: ignore[attr-defined]
        except TickwrightError as error:
            run_folder.abandon(folder, manifest, str(error))
            raise
    result = msgspec.structs.replace(result, folder=str(folder))
    run_folder.end(folder, manifest, result, clock.seconds() - start)
    if failure is not None:
        failure.result = result  # type: ignore[attr-defined]
        raise failure
    return result


def _venue(
    strategies: list[Strategy],
    feed: Feed,
    accounts: list[Account],
    broker: BrokerConfig,
    risk: RiskConfig | None,
    seed: int,
    journal: Journal,
) -> SimulatedBroker:
    from engine.broker.simulated import SimulatedBroker  # kernels: half a second that `import engine` need not pay
    from engine.loop import wants

    return SimulatedBroker(
        feed.tape.instruments,
        sessions=feed.tape.sessions,
        actions=feed.tape.manifest.actions,
        config=broker,
        risk=risk,
        seed=seed,
        accounts=accounts,
        wakes=[strategy.wake for strategy in strategies],
        wants=[wants(strategy) for strategy in strategies],
        probes=[strategy.probes for strategy in strategies],
        journal=journal,
        panels=feed.tape.panels,
    )


def _wakeups(strategies: list[Strategy], feed: Feed, venue: SimulatedBroker) -> Iterator[tuple[Event, Desk]]:
    """The loop; what a strategy raises says where."""
    from engine.loop import wakeups

    try:
        yield from wakeups(strategies, feed, venue)
    except Exception as error:
        handler, event = _handler_that_raised(error, strategies)
        if not handler:
            raise
        failure = StrategyError(f"{handler} raised {type(error).__name__}: {error}")
        failure.add_note(f"woken by {event}" if event else "before any event")
        failure.add_note(_last_row(feed, *venue.cause))
        raise failure from error


def _handler_that_raised(error: Exception, strategies: list[Strategy]) -> tuple[str, Event | None]:
    """``Twap.on_timer`` and its event if a strategy's code was being run, else "": then it is not for its author."""
    if isinstance(error, TickwrightError) and not isinstance(error, StrategyError):
        return "", None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        strategy = frame.f_locals.get("self")
        if any(strategy is one for one in strategies):
            event = next((value for value in frame.f_locals.values() if isinstance(value, Event)), None)
            return f"{type(strategy).__name__}.{frame.f_code.co_name}", event
    return "", None


def _last_row(feed: Feed, source: int, number: int) -> str:
    if number < 0:
        return "no row had been seen"
    text = f"the last row was number {number:,} of source {source}"
    rows = feed.tape.rows
    if {instrument.source for instrument in feed.tape.instruments} != {source} or number >= len(rows):
        return text  # numbers count within a source
    row = rows[number]
    fields = ", ".join(f"{name}={row[name]}" for name in ROW.names or () if name not in ("instrument", "kind"))
    return f"{text}: {Kind(int(row['kind'])).name} {feed.tape.instruments[row['instrument']].symbol} {fields}"


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C asks the run to end after the current wake, a second one ends it at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _result(
    name: str,
    seed: int,
    partial: str,
    counted: CountedFeed,
    feed: Feed,
    accounts: list[Account],
    desks: list[Desk],
    journal: Journal,
    broker: BrokerConfig,
) -> Result:
    return outcome(
        journal.records if isinstance(journal, KeptJournal) else _written(journal),
        name=name,
        seed=seed,
        partial=partial,
        fingerprint=journal.fingerprint,
        rows=counted.rows,
        span=(counted.ts_first, counted.ts_last),
        manifest=feed.tape.manifest,
        pieces=getattr(feed, "parts", [feed.tape.rows]),
        accounts=accounts,
        parents=[desk.parents for desk in desks],
        declined=sum((desk.declined for desk in desks), Counter()),
        broker=broker,
    )


def _written(journal: Journal) -> NDArray[np.void]:
    return read_journal(journal.path) if journal.path is not None else np.zeros(0, RECORD)
