"""What a paper broker and a runner have in common: they say nothing that depends on what is not on disk yet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence

from engine.errors import TickwrightError
from engine.live.broker_log import LogConflict
from engine.live.receiver import StreamBroken
from engine.live.role import EX_CORRUPT, EX_OK, Append, Committed, Input, Output, Send, Stop

SLOW_NS = 1_000_000_000  # a commit that takes longer has the journal called slow for as long


class LoggedRole(ABC):
    """A ``role.Core`` with a durable log.

    Parameters
    ----------
    entries : int
        That the log holds already.

    Attributes
    ----------
    appended, committed : int
        Entries so far, and how many of them are on disk.
    """

    def __init__(self, entries: int) -> None:
        self.appended = self.committed = entries
        self._out: list[Output] = []
        self._gated: deque[tuple[int, Send]] = deque()  # what to say once so many entries are on disk
        self._now = self._slow_until = 0
        self._next_tick = 0
        self._stopped = False

    @property
    def next_tick(self) -> int:
        """As ``role.Core``."""
        return self._next_tick

    def advance(self, now: int, input: Input) -> Sequence[Output]:
        """As ``role.Core``."""
        if self._stopped:
            return ()
        self._now = max(self._now, now)
        self._out = []
        try:
            if isinstance(input, Committed):
                self.committed = max(self.committed, input.count)
                if input.took_ns > SLOW_NS:
                    self._slow_until = self._now + SLOW_NS
            else:
                self._take(input)
            self._go_on()
        except (StreamBroken, LogConflict) as error:
            self._stop(EX_CORRUPT, str(error))
        except TickwrightError as error:
            self._stop(1, str(error))
        return self._out

    @abstractmethod
    def _take(self, input: Input) -> None:
        """One input that is no ``Committed``."""

    @abstractmethod
    def _go_on(self) -> None:
        """Everything that may happen without a further input."""

    @property
    def is_disk_slow(self) -> bool:
        """Whether a commit took too long a moment ago: nothing new should be taken on."""
        return self._now < self._slow_until

    def _append(self, kind: int, payload: bytes) -> None:
        self.appended += 1
        self._out.append(Append(kind, payload))

    def _say(self, link: str, peer: bytes, data: bytes) -> None:
        """Send once everything appended so far is on disk."""
        self._gated.append((self.appended, Send(link, peer, data)))

    def _release(self) -> None:
        """What waited for the disk leaves."""
        while self._gated and self._gated[0][0] <= self.committed and not self._stopped:
            self._out.append(self._gated.popleft()[1])

    def _stop(self, code: int, why: str) -> None:
        """The first one counts. After an end in order what is due is still said: a shell commits before it closes."""
        if not self._stopped:
            self._stopped = True
            if code == EX_OK:
                self._out += [send for _, send in self._gated]
            self._out.append(Stop(code, why))
