"""Whether a market that is repeated has come to where its strategies saw it last; what comes from outside waits for it.

Answers that asked for nothing are not in a broker's log, nor are rows on disk as soon as they are told of. So after a
restart the market stands at an earlier wake than those that were told, and a kill or a program's order applied there
would change what has been seen. Strategies say in ``Hello`` how far they had come, and are given time to. While a kill
waits for one of them the market takes no rows that an earlier life had not kept: nothing fills that was not to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from engine.live.broker_core import BrokerCore

RETURN_NS = 5_000_000_000  # for strategies to come back after a restart; then it goes on without them
MOST_HELD = 4_096  # inputs that wait before programs are refused
UNKNOWN = 2**62  # how far a strategy had come that has not said Hello


class Abreast:
    """Where each of so many strategies saw the market last, and what waits until it is there again.

    Parameters
    ----------
    strategies : int
    kept : int
        Rows of an earlier life.
    """

    def __init__(self, strategies: int, kept: int) -> None:
        self._strategies, self._kept = strategies, kept
        self._answered: dict[int, int] = {}  # the last wake that strategies had answered when they came
        self._began = 0  # monotonic ns
        self._is_so = False
        self._held: deque[Callable[[], object]] = deque()
        self._kill_waits = False

    def came(self, account: int, answered: int) -> None:
        """A strategy says for the first time in this life how far it had come."""
        self._answered.setdefault(account, answered)

    def is_so(self, core: BrokerCore | None, now: int) -> bool:
        """Whether inputs from outside may act; once it is so it stays so."""
        if core is not None and not self._is_so:
            self._began = self._began or now
            seen = [self._answered.get(n, UNKNOWN) for n in range(self._strategies)]
            is_over = now - self._began >= RETURN_NS and core.waiting is None and core.rows >= self._kept
            reached = all(core.numbers[n] + (core.waiting != n) > answered for n, answered in enumerate(seen))
            self._is_so = core.ended or reached or is_over
        return self._is_so

    def give_up(self) -> None:
        """The market goes on, whatever was seen."""
        self._is_so = True

    @property
    def stands(self) -> bool:
        """Whether new rows have to wait, too: a kill does, for strategies that have yet to come back."""
        return self._kill_waits and not self._is_so and any(n not in self._answered for n in range(self._strategies))

    @property
    def is_full(self) -> bool:
        """Whether so much waits that what can be refused should be; kills cannot."""
        return len(self._held) >= MOST_HELD

    def hold(self, act: Callable[[], object], *, is_kill: bool = False) -> None:
        """Keep what is to be done then."""
        self._held.append(act)
        self._kill_waits |= is_kill

    def release(self) -> None:
        """Do what has waited; what still cannot be done is held anew."""
        for _ in range(len(self._held)):
            self._held.popleft()()
