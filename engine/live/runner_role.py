"""The host of one strategy: rows from the feed, wakes from the broker, answers back, an outbox that survives.

1. It joins the feed, says ``Hello`` to the broker, and is told every wake from the first on.
2. At a wake whose rows are here the strategy acts (``runner_core``). What it asks for is on disk before it leaves.
3. A wake that is told again is answered again, with what was answered before. The broker tells a wake again until it
   has its answer, so nothing else has to be remembered of what was lost on the way.
4. Starting is recovering: the strategy runs again from the first wake, and must ask for what the outbox says that it
   asked for. One that does not is stopped: it is not deterministic, or has been changed.

Nothing here reads a clock, a socket or a file: see ``engine.live.role``.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from engine.config import Config, make_strategies
from engine.errors import ConfigError
from engine.live import messages as m
from engine.live.attachment import digest_of
from engine.live.broker_log import market_tape, pack_parents, wake_terms
from engine.live.broker_role import BEAT_NS, DONE, MILLISECOND, PATIENCE_NS
from engine.live.logged_role import LoggedRole
from engine.live.receiver import StreamReceiver
from engine.live.role import (
    EX_CORRUPT,
    EX_OK,
    EX_SLOW,
    Frame,
    Input,
    Operator,
    Output,
    Send,
)
from engine.live.runner_core import Answer, RunnerCore
from engine.loop import wants
from engine.strategy import Strategy

HELLO_NS = 250 * MILLISECOND
SILENT_NS = 7 * BEAT_NS  # of the broker: say Hello again
ROWS_AHEAD = 65_536  # held for wakes to come; then the feed waits
PIECE = 500  # requests in one message
RECOVERIES = 3  # in RECOVERY_NS of a paced feed: more is too slow to trade on
RECOVERY_NS = 60_000 * MILLISECOND
EX_STRATEGY = 3
OUTBOX = 2  # kind of the outbox's entries, as the broker's log calls them
FATAL = {"DIFFERENT_ANSWER": EX_CORRUPT, "PROTOCOL": 1, "NOT_YOURS": 1, "OTHER_STRATEGY": 1, "BAD_REQUEST": 1}


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """An answer in the outbox, however long it is."""

    wake: int
    requests: list[m.Request]


decode_kept = msgspec.msgpack.Decoder(Kept).decode


class RunnerRole(LoggedRole):
    """A ``role.Core``.

    Parameters
    ----------
    config : Config
    account : str
        Whose strategy of the config is run.
    outbox : iterable of (kind, payload)
        What the durable log holds.
    source : str
        Digest of the strategy's code and parameters: the broker refuses another one in the same session.
    strategy : Strategy, optional
        Instead of the one that the config makes.
    """

    def __init__(
        self,
        config: Config,
        account: str,
        *,
        outbox: Iterable[tuple[int, bytes]] = (),
        source: str = "",
        strategy: Strategy | None = None,
    ) -> None:
        kept = [decode_kept(payload) for _, payload in outbox]
        super().__init__(len(kept))
        names = [entry.account.name for entry in config.strategies]
        if account not in names:
            raise ConfigError(f"{config.name}: no strategy has the account '{account}'; there are {', '.join(names)}")
        self.config, self.account = config, account
        self.strategy = strategy if strategy is not None else make_strategies(config)[0][names.index(account)]
        self.core: RunnerCore | None = None
        self.receiver = StreamReceiver()
        self.welcome: m.Welcome | None = None
        self.end: m.End | None = None
        self._source = source
        self._answers: dict[int, list[m.Request]] = {}  # those that asked for something
        self._outbox = {one.wake: digest_of(one.requests) for one in kept}  # what was on disk at the start
        self._said_hello = self._heard = -SILENT_NS
        self._last_beat = 0
        self._reconcile: m.Reconcile | None = None
        self._gaps: deque[int] = deque()
        self._gaps_seen = 0
        self._done_since: int | None = None
        self._outbox_end = max(self._outbox, default=-1)

    def advance(self, now: int, input: Input) -> Sequence[Output]:
        """As ``role.Core``."""
        try:
            return super().advance(now, input)
        except Exception:  # the strategy's: its author needs all of it
            self._stop(EX_STRATEGY, traceback.format_exc())
            return self._out

    def _take(self, input: Input) -> None:
        match input:
            case Frame(link="orders"):
                self._on_orders(input)
            case Frame():
                self._on_feed(input)
            case Operator("shutdown", why):
                self._send(m.Goodbye())
                self._stop(EX_OK, why)
            case _:
                pass

    def _go_on(self) -> None:
        for want in self.receiver.wants(self._now):
            self._out.append(Send("recovery", b"", m.encode(want)))
        self._mind_gaps()
        if self.core is None and self.receiver.market is not None and self.receiver.is_joined:
            tape = market_tape(self.receiver.market, self.receiver.panels)
            accounts = [entry.account for entry in self.config.strategies]
            accounts += self.config.live.clients if self.config.live else ()
            self.core = RunnerCore(tape, self.strategy, accounts=accounts, otc=self.config.broker.otc)
        core = self.core
        while core is not None and (core.broker.ahead < ROWS_AHEAD or core.broker.waits):  # a wake needs what it needs
            if not len(rows := self.receiver.take()):
                break
            self._answer(core.take_rows(rows))
        self._mind_broker()
        self._release()
        due = self.receiver.due
        if self.welcome is not None:
            due = min(due, self._last_beat + BEAT_NS, self._heard + SILENT_NS)
        elif self.core is not None:
            due = min(due, self._said_hello + HELLO_NS)
        self._next_tick = max(due, self._now + MILLISECOND)

    # --- the feed -----------------------------------------------------------------------------------------------------

    def _on_feed(self, frame: Frame) -> None:
        try:
            message = (m.feed_message if frame.link == "market" else m.feed_reply)(frame.data)
        except m.BadMessage:
            return
        self.receiver.hear(self._now, message)

    def _mind_gaps(self) -> None:
        """One that loses rows again and again, paced, is too slow to trade."""
        gaps = self.receiver.counters["GAP"]
        market = self.receiver.market
        if market is None or market.speed == 0 or self.core is None or self.core.last < 0:
            self._gaps_seen = gaps
            return
        self._gaps.extend([self._now] * (gaps - self._gaps_seen))
        self._gaps_seen = gaps
        while self._gaps and self._now - self._gaps[0] > RECOVERY_NS:
            self._gaps.popleft()
        if len(self._gaps) > RECOVERIES:
            self._send(m.Goodbye())
            self._stop(
                EX_SLOW, f"{len(self._gaps)} times in a minute rows were lost: this host is too slow for the feed"
            )

    # --- the broker ---------------------------------------------------------------------------------------------------

    def _mind_broker(self) -> None:
        if self.core is None:
            return
        if self.welcome is not None and self._now - self._heard >= SILENT_NS:
            self.welcome = None
        if self.welcome is None:
            if self._now - self._said_hello >= HELLO_NS:
                self._hello()
        elif self._now - self._last_beat >= BEAT_NS:
            self._last_beat = self._now
            self._send(m.Beat(self.core.last, 0))
        if self._done_since is not None and self._now - self._done_since >= PATIENCE_NS:
            self._stop(EX_OK, "the market has ended")

    def _hello(self) -> None:
        assert self.core is not None
        self._said_hello = self._now
        terms = wake_terms(self.strategy.wake, wants(self.strategy), self.strategy.probes)
        last, heard = self.core.last, self.core.broker.reports
        answered = max(last, self._outbox_end)
        self._send(m.Hello(m.PROTOCOL, m.schema_digest(), self.account, terms, self._source, answered, heard, last < 0))

    def _send(self, message: m.BrokerRequest) -> None:
        """After everything that waits for the disk."""
        self._say("orders", b"", m.encode(message))

    def _on_orders(self, frame: Frame) -> None:
        try:
            message = m.broker_reply(frame.data)
        except m.BadMessage:
            return
        self._heard = self._now
        match message:
            case m.Welcome():
                self.welcome = message
                self._last_beat = self._now
            case m.Watermark():
                self._on_wake(message)
            case m.Reconcile():
                self._reconcile = message
                self._agree()
            case m.Reject(reason=reason, text=text):
                if reason in FATAL:
                    self._stop(FATAL[reason], f"the broker refuses account '{self.account}': {text} ({reason})")
                self.welcome = None if reason == "NOT_ATTACHED" else self.welcome
            case m.End():
                self._on_end(message)
            case m.Received(cid=cid) if cid == DONE:
                self._stop(EX_OK, "the market has ended")
            case _:
                pass

    def _on_wake(self, wake: m.Watermark) -> None:
        core = self.core
        if core is None or wake.wake > core.next_wake:
            return  # an earlier one was lost: it will be told again
        if wake.wake <= core.last:
            self._progress(wake.wake)
            return
        self._answer(core.wake(wake))

    def _answer(self, answers: list[Answer]) -> None:
        for wake, requests in answers:
            digest = digest_of(requests)
            was = self._outbox.pop(wake, None)
            if (was is not None and was != digest) or (was is None and requests and self._is_before_outbox_end(wake)):
                self._stop(
                    EX_CORRUPT,
                    f"at wake {wake} the strategy asks for something else than it did before this process started: "
                    "it is not deterministic, or its code or parameters were changed; start a new run",
                )
                return
            if requests:
                self._answers[wake] = requests
            if requests and was is None:
                self._append(OUTBOX, m.encode(Kept(wake, requests)))
            self._progress(wake)
            self._agree()

    def _is_before_outbox_end(self, wake: int) -> bool:
        return wake < self._outbox_end

    def _progress(self, wake: int) -> None:
        requests = self._answers.get(wake, [])
        for first in range(0, max(1, len(requests)), PIECE):
            more = first + PIECE < len(requests)
            self._send(m.Progress(wake, requests[first : first + PIECE], more, first))

    def _agree(self) -> None:
        """Positions, cash and open orders must be what the broker says they were at that wake."""
        said, core = self._reconcile, self.core
        if said is None or core is None or core.last < said.wake:
            return
        self._reconcile = None
        if core.last == said.wake and core.broker.digest() != said.digest:
            self._stop(
                EX_CORRUPT,
                f"after wake {said.wake} the broker shows other positions, cash or open orders than this runner has; "
                "one of the two has lost something, do not trade on",
            )

    def _on_end(self, end: m.End) -> None:
        if self.core is None or self.core.broker.waits:
            return
        if self.end is None:
            self.end, self._done_since = end, self._now
            self.core.end()
        desk = self.core.desk
        declined = dict(desk.declined) if desk is not None else {}
        self._send(m.Done(pack_parents(desk.parents if desk is not None else []), declined))
