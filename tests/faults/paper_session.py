"""A paper session of real processes, for the procedures to disturb: feed, broker and runners, encrypted, over loopback.

The engine is imported and its kernels are warm before the roles are forked, so that one starts in milliseconds and can
be killed a thousand times; what a role then does is what `tickwright publish`, `broker` or `attach` does. A role that
is killed, or ends with a code that a supervisor would answer so, is started again at once. ``Reference.of`` replays
the same tape without any of this: the session must leave the same fingerprint.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from procedure import Trial

from engine import run_folder
from engine.cli import main
from engine.live import attach_command, broker_command, feed_command  # noqa: F401  (before the fork)
from engine.live.keys import new_keys
from engine.live.shell import SUPERVISOR
from engine.live.supervisor import AGAIN, GOODBYE_NS
from engine.run import run_config
from engine.run_folder import SavedRun
from engine.verify import verify

ROOT = Path(__file__).resolve().parents[2]
FORK = get_context("fork")
PATIENCE_S = 180.0  # without any sign of life on the broker's disk
ROUND_S = 0.002
_SHARED = Path("/dev/shm")
MEMORY = _SHARED if _SHARED.is_dir() else None  # what a killed process wrote stays there as it does on a disk
LINKS = ("feed", "recovery", "orders", "admin")
STRATEGY = '''"""Quotes both touches once a second, which leaves thousands of orders and fills in a day."""

import time
from pathlib import Path

from engine import SECOND, Strategy, Wake

STUCK = Path(__file__).with_name("stuck")  # while it is there, the next wake sleeps for ten seconds


class Quoter(Strategy):
    wake = Wake(every_ns=SECOND)

    def on_timer(self, timer, desk):
        if STUCK.exists():
            STUCK.unlink()
            time.sleep(10)
        quote = desk.quote("DEMO")
        desk.cancel_all("DEMO")
        if quote.is_two_sided:
            desk.buy("DEMO", shares=100, limit=quote.bid - 100 * 100)  # a dollar below: works, and never trades
            position = desk.position("DEMO")
            if position < 1_000:
                desk.buy("DEMO", shares=100, limit=quote.bid)
            if position > -1_000:
                desk.sell("DEMO", shares=100, limit=quote.ask)
'''
CONFIG = """seed = 5
feed = "feeds.replay:TapeFeed"

[feed_params]
tapes = ["demo_day"]
end = "{end}"

[risk]
preset = "replay"
stale_ns = 3_600_000_000_000  # the CLOCK rows of a paced feed count as life, and a file has none: the gate would differ

[broker.latency]
feed = 200_000
entry = 200_000
response = 200_000

[broker.impact]
type = "none"

[live]
{live}
{strategies}"""


@dataclass(frozen=True)
class Reference:
    """A config, and what its plain replay came to."""

    folder: Path
    accounts: tuple[str, ...]
    ports: dict[str, int]  # of the four links
    fingerprint: str
    fills: int

    @classmethod
    def of(
        cls,
        folder: Path,
        *,
        end: str = "2026-03-02T15:30",
        accounts: int = 1,
        speed: str = "max",
        hold: str = "forever",
        least_fills: int = 10,
        host: str = "127.0.0.1",
    ) -> Reference:
        """Make it in an empty folder; ``end`` (ISO, UTC) cuts the demo day, from 14:00 on, with its open at 14:30."""
        names = tuple(f"a{n}" for n in range(accounts))
        (folder / "quoter.py").write_text(STRATEGY)
        entries = "".join(
            f'\n[[strategies]]\nstrategy = "quoter.py:Quoter"\naccount = {{ name = "{n}" }}\n' for n in names
        )
        ports: dict[str, int] = dict(zip(LINKS, free_ports(len(LINKS)), strict=True))
        live = [f'{link} = "tcp://{host}:{port}"' for link, port in ports.items()]
        live += [f'keys_folder = "{new_keys(folder / "keys").folder}"']
        live += [
            f"{key} = {value if value.isdigit() else repr(value)}" for key, value in (("speed", speed), ("hold", hold))
        ]
        (folder / "mine.toml").write_text(CONFIG.format(end=end, live="\n".join(live), strategies=entries))
        result = run_config(folder / "mine.toml", out=folder / "replay")
        assert result.orders.fills >= least_fills, f"only {result.orders.fills} fills: nothing is tried"
        return cls(folder, names, ports, result.fingerprint, result.orders.fills)


@dataclass
class Role:
    """A process that is started again and again."""

    name: str
    words: list[str]
    environment: dict[str, str] = field(default_factory=dict)  # with any, it is started as a program of its own,
    prefix: list[str] = field(default_factory=list)  # and with any of this, by that
    process: ForkProcess | None = None
    started: float = 0.0
    starts: int = 0
    codes: list[int] = field(default_factory=list)

    @property
    def pid(self) -> int:
        assert self.process is not None
        assert self.process.pid is not None
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.is_alive()

    @property
    def is_done(self) -> bool:
        return bool(self.codes) and self.codes[-1] == 0 and not self.is_alive

    def start(self, said: Path) -> None:
        self.process = FORK.Process(target=_run, args=(self.words, said, self.environment, self.prefix), daemon=True)
        self.process.start()
        self.started = time.monotonic()
        self.starts += 1

    def signal(self, number: int) -> None:
        if self.is_alive:
            os.kill(self.pid, number)


class Session:
    """One session of a reference's config, in ``folder`` (empty).

    Parameters
    ----------
    through : mapping of "broker" or "runner" to addresses by link
        Where that role looks for others, if not where they are.
    environment : mapping of "feed", "broker" or "runner" to variables
        For roles whose C library must see them from the start.
    prefixes : mapping of the same to words
        A command that starts the role.
    """

    def __init__(
        self,
        reference: Reference,
        folder: Path,
        *,
        through: dict[str, dict[str, str]] | None = None,
        environment: dict[str, dict[str, str]] | None = None,
        prefixes: dict[str, list[str]] | None = None,
    ) -> None:
        self.reference, self.folder = reference, folder
        self.run_folder = folder / "run"
        config, sets = str(reference.folder / "mine.toml"), through or {}

        def said(role: str) -> list[str]:
            around = sets.get(role, {})
            connects = {"broker": ("feed", "recovery"), "runner": ("feed", "recovery", "orders")}[role]
            return [word for key in connects if key in around for word in ("--set", f"live.{key}={around[key]}")]

        self.feed = Role("feed", ["publish", "--session", config, "--out", str(folder / "feed")])
        self.broker = Role("broker", ["broker", config, "--out", str(self.run_folder), "--quiet", *said("broker")])
        self.runners = [
            Role(f"runner {name}", ["attach", config, "--account", name, "--out", str(folder / name), *said("runner")])
            for name in reference.accounts
        ]
        for role in self.roles:
            kind = role.name.split()[0]
            role.environment, role.prefix = (environment or {}).get(kind, {}), (prefixes or {}).get(kind, [])
        self.begun, self._sealed_at = time.time(), 0.0
        self._alive_at, self._seen = time.monotonic(), 0

    @property
    def roles(self) -> list[Role]:
        return [self.feed, self.broker, *self.runners]

    @property
    def is_over(self) -> bool:
        return all(role.is_done for role in (self.broker, *self.runners))

    def log(self, role: Role) -> Path:
        """What a role said."""
        return self.folder / f"{role.name}.log"

    def tend(self) -> None:
        """Start what has died; an assertion fails if it may not be started again, or nothing goes on."""
        for role in self.roles:
            if role.process is None or (not role.is_alive and not role.is_done):
                self._restart(role)
        if self.broker.is_done:
            self._sealed_at = self._sealed_at or time.monotonic()
            if time.monotonic() - self._sealed_at > GOODBYE_NS / 1e9:  # as the supervisor does
                for role in self.runners:
                    role.signal(signal.SIGTERM)
        if (trace := self.trace()) != self._seen:
            self._seen, self._alive_at = trace, time.monotonic()
        quiet = time.monotonic() - self._alive_at
        assert quiet < PATIENCE_S, f"hangs: nothing has gone on for {quiet:.0f} s; {self.last_words()}"

    def until(self, reached: Callable[[], bool]) -> bool:
        """Tend until something is so; False if the session is over before."""
        while not reached():
            self.tend()
            if self.is_over:
                return reached()
            time.sleep(ROUND_S)
        return True

    def sleep(self, seconds: float) -> bool:
        """Tend for a while; False if the session is over before."""
        end = time.monotonic() + seconds
        return self.until(lambda: time.monotonic() >= end)

    def trace(self) -> int:
        """Changes whenever the broker has put something on disk: when that was, in ns."""
        return newest([self.run_folder / "log.sqlite-wal", self.run_folder / "manifest.json"])

    def goes_on(self, since: float) -> bool:
        """Whether runners have put an answer on disk, and the broker something, since then (wall clock, s)."""
        return self.answered() > since * 1e9 and self.trace() > since * 1e9

    def answered(self) -> int:
        """When a runner last put an answer on disk, wall clock in ns; 0: never."""
        return newest([self.folder / name / f"outbox-{name}.sqlite-wal" for name in self.reference.accounts])

    def kill(self, role: Role) -> None:
        """kill -9, and start it again."""
        role.signal(signal.SIGKILL)
        if role.process is not None:
            role.process.join()

    def start(self, role: Role) -> None:
        """Start one that has ended, whatever its exit code."""
        if role.process is not None:
            assert role.process.exitcode is not None
            role.codes.append(role.process.exitcode)
        role.start(self.log(role))

    def finish(self) -> None:
        """Let it come to its end, and hold it to the replay."""
        self.until(lambda: self.is_over)
        self.equal()

    def sealed(self) -> SavedRun:
        """What it left, which is whole."""
        left = run_folder.read(self.run_folder)
        assert not left.manifest.partial, f"the run is partial: {left.manifest.partial}"
        return left

    def equal(self) -> None:
        """The fingerprint is the replay's, and the run verifies."""
        left = self.sealed()
        assert left.manifest.fingerprint == self.reference.fingerprint, (
            f"NOT equal: fingerprint {left.manifest.fingerprint}, the replay has {self.reference.fingerprint}; "
            f"{self.last_words()}"
        )
        found = verify(self.run_folder)
        assert found.matches, f"does not verify: {found}"

    def last_words(self) -> str:
        lines = []
        for role in self.roles:
            text = self.log(role).read_text(errors="replace") if self.log(role).exists() else ""
            lines.append(f"[{role.name}, exit codes {role.codes[-5:]}] {text[-300:]}")
        return " ".join(lines)

    def end(self) -> None:
        """Whatever still runs."""
        for role in self.roles:
            role.signal(signal.SIGCONT)
            self.kill(role)

    def _restart(self, role: Role) -> None:
        if role.process is not None:
            code = role.process.exitcode
            assert code is not None
            if code == 0:
                role.codes.append(code)
                return
            assert code < 0 or code in AGAIN, f"{role.name} ended with code {code}: {self.last_words()}"
        self.start(role)


@contextmanager
def session(reference: Reference, folder: Path, **how: Any) -> Iterator[Session]:
    """A session whose processes are gone afterwards."""
    one = Session(reference, folder, **how)
    try:
        yield one
    finally:
        one.end()


def kill_loop(trial: Trial, kills: int, choose: Callable[[Session], Sequence[Role]], *, speed: str = "max") -> str:
    """Sessions, killed again and again, until there were so many kills; what came of it.

    Long sessions and short ones in turn, so that beginnings and ends get their part. Half of the kills come up to 300
    ms after the one before, so within opening, repeating, joining; half of them up to 300 ms after the market was seen
    going on again.
    """
    references = [
        Reference.of(trial.fresh("long"), speed=speed),
        Reference.of(trial.fresh("short"), end="2026-03-02T14:35", speed=speed),
    ]
    sessions = done = moving = 0
    while done < kills:
        with session(references[sessions % 2], trial.fresh("session")) as one:
            until = min(kills, done + max(1, kills // 2)) if sessions % 2 == 0 else kills
            while done < until:
                waits, begun = trial.rng.random() < 0.5, time.time()
                if waits and not one.until(partial(one.goes_on, begun)):
                    break
                if not one.sleep(trial.rng.uniform(0, 0.3)):
                    break
                for role in choose(one):
                    one.kill(role)
                done += 1
                moving += waits
            one.finish()
            sessions += 1
    return f"{done} kills ({moving} of them once the market ran on) in {sessions} sessions: Equal, and verified"


def newest(paths: Sequence[Path]) -> int:
    """When the last of these files was changed, wall clock in ns; 0: there is none."""
    found = [0]
    for path in paths:
        with suppress(FileNotFoundError):
            found.append(path.stat().st_mtime_ns)
    return max(found)


def memory_mib(role: Role) -> float:
    """What a role has in memory now."""
    pages = int(Path(f"/proc/{role.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody has now, and that no connection is given by itself."""
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    return sorted(set(found)) if len(set(found)) == count else free_ports(count)


def _run(words: list[str], said: Path, environment: dict[str, str], prefix: list[str]) -> None:
    """A role, in a process of its own."""
    os.environ[SUPERVISOR] = str(os.getppid())  # ends if the procedure does
    os.setsid()
    with said.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if environment or prefix:
        command = [*prefix, sys.executable, "-m", "engine.cli", *words]
        os.execvpe(command[0], command, {**os.environ, **environment, "PYTHONPATH": str(ROOT)})
    sys.exit(main(words))
