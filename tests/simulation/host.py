"""A machine that runs one role: its core, its disk, its clock, its inbox, and the ways it can fail."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence

from disk import Disk, DiskFailed
from network import Network
from scheduler import MICROSECOND, MILLISECOND, Scheduler

from engine.live.role import (
    EX_CORRUPT,
    EX_OK,
    EX_SLOW,
    Append,
    Committed,
    Core,
    Fault,
    Frame,
    Input,
    KeepRows,
    Operator,
    Output,
    Send,
    Stop,
    Tick,
)

BACK_OFF_NS = 100 * MILLISECOND  # of the supervisor, before it starts a role again
COMMIT_NS = 2 * MILLISECOND  # a group commit takes up to this long
LINGER_NS = 1_000 * MILLISECOND  # for last words, after an end in order
TICK_NS = 100 * MICROSECOND  # a shell's poll is no finer

Start = Callable[[Disk, int], tuple[Core, Sequence[Output]]]  # (disk, monotonic ns) -> recovered core, what it does
Watch = Callable[["Host", Output], None]


class Broken(AssertionError):
    """A promise that did not hold: ``law`` names it."""

    def __init__(self, law: str, text: str) -> None:
        super().__init__(f"{law}: {text}")
        self.law = law


class HostClock:
    """Monotonic ns of one machine: they begin anywhere and do not run alike."""

    def __init__(self, offset: int, drift_ppm: int) -> None:
        self._offset, self._drift = offset, drift_ppm

    def local(self, now: int) -> int:
        """What the machine's clock says at virtual ``now``."""
        return self._offset + now + now * self._drift // 1_000_000

    def virtual(self, local: int) -> int:
        """When the machine's clock says ``local``, rounded up."""
        return -((self._offset - local) * 1_000_000 // (1_000_000 + self._drift))


class Host:
    """One role on one machine.

    Parameters
    ----------
    start : callable
        Makes the core from what is on disk, as the role's command does at every start.
    watch : callable
        Hears every output before it is done: where the laws look.
    """

    def __init__(
        self, name: str, scheduler: Scheduler, network: Network, clock: HostClock, start: Start, watch: Watch
    ) -> None:
        self.name, self.scheduler, self.network, self.clock = name, scheduler, network, clock
        self.disk = Disk(name, scheduler.chance(f"disk {name}"))
        self.counts: Counter[str] = Counter()
        self.core: Core | None = None
        self.ended: int | None = None  # exit code of a role that is done
        self.starts = 0
        self.service_ns = 0  # time that one input takes
        self.crash_at = (0, 0)  # kind of entry, and how many of them until the process is killed at one
        self.commit_ns = COMMIT_NS
        self.keys: dict[bytes, str] = {}
        self.paused = False
        self._start, self._watch = start, watch
        self._chance = scheduler.chance(f"host {name}")
        self._inbox: deque[Input] = deque()
        self._life = 0  # of the process; events meant for an earlier one are void
        self._busy = False
        self._tick_at = -1
        self._is_committing = False

    def backlog(self) -> int:
        """Inputs that wait."""
        return len(self._inbox)

    # --- life and death ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process: recovery is the only way to start."""
        if self.core is not None or self.ended is not None:
            return
        self.starts += 1
        self._life += 1
        self._inbox.clear()
        self._busy = self.paused = self._is_committing = False
        self._tick_at = -1
        self.scheduler.note(self.name, "start")
        self.core, outputs = self._start(self.disk, self.clock.local(self.scheduler.now))
        self._perform(outputs)
        self._wind()

    def crash(self, back_after: int) -> None:
        """kill -9; the supervisor starts the role again after so many ns."""
        if self.core is None:
            return
        entries, rows = self.disk.crash()
        self.scheduler.note(self.name, f"crash, {entries} entries and {rows // 64} rows lost")
        self._die()
        self.scheduler.at(self.scheduler.now + back_after, self.start)

    def _die(self, linger_ns: int = 0) -> None:
        self.core = None
        self._life += 1
        self._inbox.clear()
        if linger_ns:
            self.scheduler.at(self.scheduler.now + linger_ns, self.network.gone, self.name)
        else:
            self.network.gone(self.name)

    def pause(self, until: int) -> None:
        """SIGSTOP until then."""
        self.paused = True
        self.scheduler.note(self.name, "pause")
        self.scheduler.at(until, self.resume)

    def resume(self) -> None:
        """SIGCONT."""
        if self.paused:
            self.paused = False
            self._serve_later()
            self._wind()

    def slow(self, service_ns: int, until: int) -> None:
        """Each input takes so long until then."""
        self.service_ns = service_ns
        self.scheduler.at(until, self._quick)

    def _quick(self) -> None:
        self.service_ns = 0

    def calm(self) -> None:
        """No more faults: what is down comes up now, what is paused goes on."""
        self.service_ns, self.crash_at = 0, (0, 0)
        self.disk.room, self.disk.fails_at_sync = -1, False
        self.resume()
        self.scheduler.at(self.scheduler.now + BACK_OFF_NS, self.start)

    # --- inputs -----------------------------------------------------------------------------------------------------

    def deliver(self, link: str, peer: bytes, data: bytes) -> None:
        """A frame arrives."""
        if self.core is not None:
            self._take(Frame(link, peer, self.keys.get(peer.partition(b"#")[0], ""), data))

    def operate(self, what: str, why: str) -> None:
        """A person, a signal or a file says something."""
        if self.core is not None:
            self._take(Operator(what, why))

    def _take(self, input: Input) -> None:
        if self.paused or self._busy or self._inbox:
            self._inbox.append(input)
        else:
            self._advance(input)

    def _serve_later(self) -> None:
        if self._inbox and not self._busy:
            self._busy = True
            self.scheduler.at(self.scheduler.now + self.service_ns, self._serve, self._life)

    def _serve(self, life: int) -> None:
        if life != self._life:
            return
        self._busy = False
        if self.paused or not self._inbox:
            return
        self._advance(self._inbox.popleft())
        self._serve_later()

    def _advance(self, input: Input) -> None:
        core = self.core
        assert core is not None
        if type(input) is Frame:
            self.scheduler.note(self.name, input.link, input.data)
        else:
            self.scheduler.note(self.name, type(input).__name__)
        outputs = core.advance(self.clock.local(self.scheduler.now), input)
        if self.service_ns and not self._busy:
            self._busy = True
            self.scheduler.at(self.scheduler.now + self.service_ns, self._serve, self._life)
        self._perform(outputs)
        self._wind()

    # --- outputs ----------------------------------------------------------------------------------------------------

    def _perform(self, outputs: Sequence[Output]) -> None:
        try:
            for output in outputs:
                self._watch(self, output)
                match output:
                    case Send(link, peer, data):
                        self.network.send(self.name, link, peer, data)
                    case Append(kind, payload):
                        self.disk.append(kind, payload)
                        self._commit_later()
                        if kind == self.crash_at[0] and self._is_killed_here():
                            return
                    case KeepRows(rows):
                        self.disk.keep_rows(rows)
                        self._commit_later()
                    case Fault():
                        self.counts["peer at fault"] += 1
                    case Stop(code, why):
                        self._stop(code, why)
                        return
        except DiskFailed as error:
            self._fail(str(error))

    def _is_killed_here(self) -> bool:
        """Whether this entry is the one to be killed at, half-way through what is to be done."""
        kind, left = self.crash_at
        self.crash_at = (kind, left - 1) if left else (0, 0)
        if not left:
            self.counts["killed at an entry"] += 1
            self.crash(BACK_OFF_NS)
        return not left

    def _stop(self, code: int, why: str) -> None:
        self.scheduler.note(self.name, f"exit {code} {why}")
        self.counts[f"exit {code}"] += 1
        if code == EX_CORRUPT:
            raise Broken("nothing on disk is ever in doubt", f"{self.name} exits {code}: {why}")
        if code not in (EX_OK, EX_SLOW):
            raise Broken("a role ends with a code that it knows", f"{self.name} exits {code}: {why}")
        if len(self.disk.entries) > self.disk.safe_entries:
            self.disk.sync(len(self.disk.entries), len(self.disk.rows))
        if code == EX_OK:
            self.ended = code
            self._die(linger_ns=LINGER_NS)
        else:
            self._die()
            self.scheduler.at(self.scheduler.now + BACK_OFF_NS, self.start)

    def _fail(self, why: str) -> None:
        """The disk failed: the shell dies at once and says nothing."""
        self.scheduler.note(self.name, why)
        self.counts["disk failed"] += 1
        self.crash(BACK_OFF_NS)

    def _commit_later(self) -> None:
        if not self._is_committing:
            self._is_committing = True
            wait = 1 + self._chance.randrange(self.commit_ns)
            self.scheduler.at(self.scheduler.now + wait, self._commit, self._life)

    def _commit(self, life: int) -> None:
        """Sync what there is; what is appended from here on waits for the next one."""
        if life != self._life:
            return
        disk = self.disk
        self._is_committing = False
        news = len(disk.entries) > disk.safe_entries
        try:
            disk.sync(len(disk.entries), len(disk.rows))
        except DiskFailed as error:
            self._fail(str(error))
            return
        if news:
            self._take(Committed(len(disk.entries)))

    # --- time -------------------------------------------------------------------------------------------------------

    def _wind(self) -> None:
        """Have a ``Tick`` come when the core wants one."""
        if self.core is None or self.paused:
            return
        wanted = max(self.clock.virtual(self.core.next_tick), self.scheduler.now + TICK_NS)
        if self._tick_at < self.scheduler.now or wanted < self._tick_at:
            self._tick_at = wanted
            self.scheduler.at(wanted, self._tick, self._life, wanted)

    def _tick(self, life: int, wanted: int) -> None:
        if life != self._life or wanted != self._tick_at or self.paused:
            return
        self._tick_at = -1
        self._take(Tick())
