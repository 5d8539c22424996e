"""One account's connection to the paper broker: what it was told, how far it has answered, what is due again."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence

from engine.live.allowance import Allowance
from engine.live.messages import Progress, Request, encode

WINDOW = 64  # wakes told ahead of the answers, while a runner catches up
REPORTS = 256  # reports told in one go
MOST_REQUESTS = 65_536  # in one answer


class Attachment:
    """What the broker keeps for one account.

    Parameters
    ----------
    attached : bool
        A strategy's, which is woken; else a program's of a desk's own, which hears reports only.
    """

    def __init__(self, attached: bool) -> None:
        self.attached = attached
        self.peer = b""
        self.heard_at = 0  # monotonic ns; 0: nobody has come yet
        self.history: list[bytes] = []  # Watermarks or Reports from the first on
        self.answers: dict[int, bytes] = {}  # digests of answers that asked for something
        self.skipped: set[int] = set()  # wakes that the market did not wait for
        self.cids: dict[str, tuple[bytes, int]] = {}  # digest and first order number of a program's requests
        self.allowance = Allowance()
        self.behind = False
        self.gone = False
        self.late = 0
        self.done: bytes | None = None
        self.last: bytes | None = None  # the End, told after everything else
        self._next = 0  # of the history, to be told
        self._answered = -1  # in this attachment
        self._told_at = 0
        self._pieces: list[Request] = []
        self._skips: deque[int] = deque()  # ``skipped`` in order, with some that were answered since

    def skip(self, wake: int) -> None:
        """The market goes on without an answer to this wake."""
        self.skipped.add(wake)
        self._skips.append(wake)

    @property
    def first_skipped(self) -> int | None:
        """The earliest wake that was skipped and has not been answered."""
        while self._skips and self._skips[0] not in self.skipped:
            self._skips.popleft()
        return self._skips[0] if self._skips else None

    @property
    def answered(self) -> int:
        """The last wake that was answered in this attachment."""
        return self._answered

    def attach(self, peer: bytes, now: int, answered: int, heard: int) -> None:
        """Somebody comes who remembers so much."""
        self.peer, self.heard_at = peer, max(1, now)
        self.gone = False
        self._pieces = []
        known = len(self.history)
        skipped = self.first_skipped
        self._answered = min(answered, known - 1, known if skipped is None else skipped - 1) if self.attached else -1
        if self.attached and self._answered == known - 1 and known:
            self._answered -= 1  # the last one may be waiting for its answer again
        self._next = self._answered + 1 if self.attached else heard
        self._told_at = now

    def due(self, now: int, again_ns: int) -> list[bytes]:
        """What to send now."""
        if not self.peer:
            return []
        if self.attached and self._answered + 1 < self._next and now - self._told_at >= again_ns:
            self._next = self._answered + 1
        end = len(self.history)
        until = min(end, self._answered + 1 + WINDOW) if self.attached else min(end, self._next + REPORTS)
        found = self.history[self._next : until]
        if found:
            self._next, self._told_at = until, now
        elif self.last is not None and self._next >= end and (not self.attached or self._answered >= end - 1):
            found, self.last = [self.last], None
        return found

    def heard_answer(self, wake: int, now: int) -> None:
        """An answer to a wake has come, and so have those before it, unless the market did not wait for one of them."""
        skipped = self.first_skipped
        if wake > self._answered and (skipped is None or skipped >= wake):
            self._answered = wake
            self._told_at = now

    def gather(self, message: Progress) -> list[Request] | None:
        """The whole answer, once its last piece is there; pieces that do not follow one another are dropped."""
        if message.first != len(self._pieces):
            self._pieces = []
            if message.first:
                return None
        self._pieces += message.requests
        if message.more:
            if len(self._pieces) > MOST_REQUESTS:
                self._pieces = []
            return None
        whole, self._pieces = self._pieces, []
        return whole


def digest_of(requests: Sequence[Request]) -> bytes:
    """Eight bytes that tell answers apart."""
    return hashlib.blake2b(encode(list(requests)), digest_size=8).digest()


NO_REQUESTS = digest_of([])
