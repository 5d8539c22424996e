"""The paper broker: a market core, the feed that drives it, those who trade on it, and a log that survives.

1. It joins the feed and waits until every strategy of the config has said ``Hello``; then the market begins.
2. Rows go to the core (``broker_core``). At a wake the account's ``Watermark`` goes out, and the market stands still
   until its ``Progress`` comes, or ``hold_ns`` is over: then it goes on, and what comes later is applied late.
3. Every input is logged where it was applied, every record as it is made. Nothing that depends on an entry leaves
   before the entry is on disk (``_gated``).
4. Starting is recovering: rows and log are repeated (``broker_log``), then it joins the feed where it stopped.

Nothing here reads a clock, a socket or a file: see ``engine.live.role``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.config import Config
from engine.errors import ConfigError
from engine.live import messages as m
from engine.live.abreast import RETURN_NS, Abreast
from engine.live.allowance import PER_SECOND
from engine.live.attachment import NO_REQUESTS, Attachment, digest_of
from engine.live.broker_core import NOTHING, BadRequest, BrokerCore
from engine.live.broker_log import (
    Body,
    Entry,
    LogConflict,
    decode,
    encode,
    market_tape,
    members_of,
    probes_of,
    rerun,
    wake_of,
    with_days,
)
from engine.live.broker_recovery import remember, rows_kept
from engine.live.latches import Latches
from engine.live.logged_role import LoggedRole
from engine.live.receiver import StreamBroken, StreamReceiver
from engine.live.role import (
    EX_OK,
    Fault,
    Frame,
    Input,
    KeepRows,
    Operator,
    Send,
)

MILLISECOND = 1_000_000
BEAT_NS = 500 * MILLISECOND
SILENT_NS = 3 * BEAT_NS  # nothing heard of a peer: it is gone
TELL_AGAIN_NS = 300 * MILLISECOND  # a wake that nobody answers is told again
PATIENCE_NS = 10_000 * MILLISECOND  # after the end, for strategies to say that they are done
CLOSING_NS = 2_000 * MILLISECOND  # the same, when the broker was told to end
LEAST_TICK = MILLISECOND
GATE_13 = "it lost more than daily_loss or drawdown allow (gate 13)"
DONE = "done"  # what a Done is received as


def no_rows(first: int, n: int) -> NDArray[np.void]:
    """A broker that starts has kept none."""
    return NOTHING


class BrokerRole(LoggedRole):
    """A ``role.Core``.

    Parameters
    ----------
    config : Config
        Its strategies are attached from elsewhere; ``live.clients`` are accounts of programs without wakes.
    log_entries : iterable of (kind, payload)
        What the durable log holds.
    rows, kept_rows : callable, int
        ``rows(first, n)`` gives ROW[n] of those that were kept, of which there are ``kept_rows``.
    hold_ns : int or None
        How long the market waits for an answer; None: for ever.
    may_trade : callable
        ``may_trade(key, account)``: whether who proved a key may act for an account, now.
    """

    def __init__(
        self,
        config: Config,
        *,
        log_entries: Iterable[tuple[int, bytes]] = (),
        rows: Callable[[int, int], NDArray[np.void]] = no_rows,
        kept_rows: int = 0,
        hold_ns: int | None = None,
        may_trade: Callable[[str, str], bool] = lambda key, account: True,
    ) -> None:
        entries = list(log_entries)
        super().__init__(len(entries))
        clients = config.live.clients if config.live else ()
        self.config = config
        self.accounts = [*(entry.account for entry in config.strategies), *clients]
        self.strategies = len(config.strategies)
        self.core: BrokerCore | None = None
        self.market: m.Market | None = None
        self.attachments = [Attachment(n < self.strategies) for n in range(len(self.accounts))]
        self.refused: Counter[str] = Counter()
        self.latches = Latches()
        self.market_ts = self.ts_pub = 0
        self.skipped_wakes = 0
        self._may_trade = may_trade
        self._hold_ns = hold_ns
        self._names = {account.name: n for n, account in enumerate(self.accounts)}
        self._peers: dict[bytes, int] = {}  # who is attached, to which account
        self._joined: dict[int, m.Hello] = {}
        self._abreast = Abreast(self.strategies, kept_rows)
        self._panels_kept: set[tuple[str, int, int]] = set()
        self._waits_since = 0
        self._last_beat = 0
        self._closing = ""
        self._end_logged = self._end_told = False
        self._ended_at = 0
        self._kept, self._read = kept_rows, rows
        self._receiver = self._recover(entries)

    # --- starting -----------------------------------------------------------------------------------------------------

    def _recover(self, entries: list[tuple[int, bytes]]) -> StreamReceiver:
        """Repeat what the log and the kept rows say.

        Raises
        ------
        LogConflict
            If they do not give what they gave.
        """
        try:
            read = [(kind, decode(payload)) for kind, payload in entries]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LogConflict(f"the log holds an entry that is none ({error})") from None
        receiver = StreamReceiver(*rows_kept(self._read, self._kept))
        for kind, body in read:
            if kind == Entry.MARKET:
                self.market = market = m.feed_reply(body.raw)
                receiver.join(0, market)
            elif kind == Entry.PANEL:
                part = m.feed_message(body.raw)
                self._panels_kept.add((part.name, part.day, part.part))
                receiver.panel(0, msgspec.structs.replace(part, epoch=receiver.epoch))
            elif kind == Entry.JOIN:
                self._joined[body.account] = m.broker_request(body.raw)
        if not self._open(receiver):
            if any(kind == Entry.RECORDS for kind, _ in read):
                raise LogConflict("the log tells of trading, but not of all that was known of the market before it")
            return receiver
        assert self.core is not None
        remember(read, self.attachments, self.latches)
        self.skipped_wakes = sum(kind == Entry.SKIP for kind, _ in read)
        self._end_logged = any(kind == Entry.END for kind, _ in read)
        if self._kept:
            self.market_ts = int(self._read(self._kept - 1, 1)["ts_event"][0])
        rerun(self.core, read, self._read, self._note)
        while self.core.rows < self._kept and self.core.waiting is None:
            self._note(self.core.take_rows(self._read(self.core.rows, self._kept - self.core.rows)))
        while self.core.waiting is not None and any(mine.done is not None for mine in self.attachments):
            self._note(
                self.core.answer()
            )  # who is done had heard the end: wakes that no entry answers asked for nothing
        return receiver

    def _open(self, receiver: StreamReceiver) -> bool:
        """The market begins once it is known and all strategies have come; False until then."""
        if self.core is not None or self.market is None or not receiver.is_joined:
            return False
        if any(n not in self._joined for n in range(self.strategies)):
            return False
        self.core = BrokerCore(
            market_tape(self.market, receiver.panels),
            members_of(self.accounts, self._joined, self.config.strategies),
            broker=with_days(self.config.broker, self.market),
            risk=self.config.risk,
            seed=self.config.seed,
        )
        self._note(self.core.start())
        return True

    # --- inputs -------------------------------------------------------------------------------------------------------

    def _take(self, input: Input) -> None:
        match input:
            case Frame(link="orders"):
                self._on_orders(input)
            case Frame(link="admin"):
                self._on_admin(input)
            case Frame():
                self._on_feed(input)
            case Operator("kill", why):
                self._kill("", why)
            case Operator("disk_low", why):
                self._kill("", f"DISK_LOW: {why}")  # cancels still work; an operator releases it
            case Operator("shutdown", why):
                self._closing = why or "asked to end"
            case _:
                pass

    def _go_on(self) -> None:
        """Everything that may happen without a further input."""
        self._ask_feed()
        self._pull()
        if self._is_abreast():
            self._abreast.release()
        self._mind_time()
        for account in range(len(self.accounts)):
            self._tell(account)
        self._release()
        self._mind_end()
        self._release()
        self._plan_tick()

    # --- the feed -----------------------------------------------------------------------------------------------------

    def _on_feed(self, frame: Frame) -> None:
        try:
            message = (m.feed_message if frame.link == "market" else m.feed_reply)(frame.data)
        except m.BadMessage as error:
            self.refused[error.reason] += 1
            return
        if isinstance(message, m.Batch):
            self.ts_pub = message.ts_pub
        if isinstance(message, m.Market) and self.market is not None:
            self._compare_markets(message)
        self._receiver.hear(self._now, message)
        if isinstance(message, m.PanelPart):
            self._keep_panel(message)
        if self.market is None and self._receiver.market is not None:
            self.market = self._receiver.market
            self._log(Entry.MARKET, 0, raw=m.encode(self.market))

    def _compare_markets(self, market: m.Market) -> None:
        known = self.market
        assert known is not None
        if (known.stream, known.content, known.manifest) != (market.stream, market.content, market.manifest):
            raise StreamBroken(
                "DEF_CHANGE", "the feed publishes another market than the one this session began with; start a new run"
            )

    def _keep_panel(self, part: m.PanelPart) -> None:
        key = (part.name, part.day, part.part)
        if key not in self._panels_kept and self._receiver.holds(part):
            self._panels_kept.add(key)
            self._log(Entry.PANEL, 0, raw=m.encode(part))

    def _ask_feed(self) -> None:
        for want in self._receiver.wants(self._now):
            self._out.append(Send("recovery", b"", m.encode(want)))

    def _pull(self) -> None:
        """Rows into the market, while it does not wait for an answer."""
        if self.core is None and self._open(self._receiver):
            self._keep_records()
        core = self.core
        if core is None or core.ended or self._end_logged:
            return
        while core.waiting is None and core.rows < self._kept:  # kept in an earlier life, not yet taken in this one
            self._note(core.take_rows(self._read(core.rows, min(1 << 16, self._kept - core.rows))))
            self._keep_records()
        if self._abreast.stands:
            return
        while core.waiting is None and core.rows == self._kept and len(rows := self._receiver.take()):
            self._out.append(KeepRows(rows.tobytes()))
            self._kept += len(rows)
            self._rows_come(rows)
        if core.waiting is None and core.rows == self._kept and self._receiver.ended:
            self._end()

    def _is_abreast(self) -> bool:
        return self._abreast.is_so(self.core, self._now)

    def _rows_come(self, rows: NDArray[np.void]) -> None:
        assert self.core is not None
        self.market_ts = int(rows["ts_event"][-1])
        self._note(self.core.take_rows(rows))
        self._keep_records()

    def _end(self) -> None:
        assert self.core is not None
        if not self._end_logged:
            self._end_logged = True
            self._log(Entry.END, 0, text=self._closing)
        self._note(self.core.end())
        self._keep_records()

    # --- what the core tells ------------------------------------------------------------------------------------------

    def _note(self, told: list[tuple[int, m.Watermark | m.Report]]) -> None:
        for account, message in told:
            self.attachments[account].history.append(m.encode(message))
            if isinstance(message, m.Watermark):
                self._waits_since = self._now

    def _keep_records(self) -> None:
        assert self.core is not None
        records = self.core.take_records()
        step = 512 * 1024  # of one entry, whole records
        for begin in range(0, len(records), step):
            self._log(Entry.RECORDS, 0, raw=records[begin : begin + step])
        if records:
            self._number_latches(self.core)

    def _number_latches(self, core: BrokerCore) -> None:
        """Gate 13 throws kill switches inside the market; a number lets an operator see and release them, too."""
        for account in range(len(self.accounts)):
            if core.venue.is_killed(account) and not self.latches.holds(account):
                self._log(Entry.LATCHED, account, text=GATE_13, latch=self.latches.throw(account, GATE_13))

    def _tell(self, account: int) -> None:
        mine = self.attachments[account]
        for data in mine.due(self._now, TELL_AGAIN_NS):
            self._send(mine.peer, data)

    def _send(self, peer: bytes, data: bytes) -> None:
        """Send once everything logged so far is on disk."""
        self._say("orders", peer, data)

    def _log(self, kind: Entry, account: int, **fields: object) -> None:
        stamp = self.core.stamp if self.core is not None else (0, 0, False)
        self._append(int(kind), encode(Body(*stamp, account, **fields)))  # type: ignore[arg-type]

    # --- orders -------------------------------------------------------------------------------------------------------

    def _on_orders(self, frame: Frame) -> None:
        try:
            message = m.broker_request(frame.data)
        except m.BadMessage as error:
            self._reject(frame.peer, error.reason, str(error))
            self._out.append(Fault(*frame[:3]))
            return
        if isinstance(message, m.Hello):
            self._on_hello(frame, message)
            return
        account = self._peers.get(frame.peer)
        if account is None or not self._may(frame.key, account):
            self._reject(frame.peer, "NOT_ATTACHED", "say Hello first")
            return
        mine = self.attachments[account]
        mine.heard_at = self._now
        mine.gone = False
        match message:
            case m.Progress():
                self._on_progress(account, message, frame.peer)
            case m.Orders():
                self._on_client_orders(account, message, frame.peer)
            case m.Beat():
                if self._end_told and mine.done is None:
                    self._tell_end(account)  # it would not be there any more, had it heard
            case m.Done():
                if mine.done is None:
                    mine.done = frame.data
                    self._log(Entry.DONE, account, raw=frame.data)
                self._send(frame.peer, m.encode(m.Received(-1, DONE, 0, False, False)))
            case m.Goodbye():
                self._abreast.hold(lambda: self._gone(account))
                self._forget(account)

    def _reject(self, peer: bytes, reason: str, text: str, *, wake: int = -1, cid: str = "") -> None:
        self.refused[reason] += 1
        self._out.append(Send("orders", peer, m.encode(m.Reject(reason, text[:1000], wake, cid))))

    def _may(self, key: str, account: int) -> bool:
        return self._may_trade(key, self.accounts[account].name)

    def _on_hello(self, frame: Frame, hello: m.Hello) -> None:
        if text := m.disagreement(hello.protocol, hello.schema, strict=True):
            self._reject(frame.peer, "PROTOCOL", text)
            return
        account = self._names.get(hello.account, -1)
        if account < 0 or not self._may(frame.key, account):
            known = "" if frame.key else f"; this broker has {', '.join(self._names)}"
            self._reject(frame.peer, "NOT_YOURS", f"no account '{hello.account}' for this key{known}")
            return
        mine = self.attachments[account]
        goes_on = mine.attached and not hello.replay and hello.answered >= mine.answered  # the same, connected anew
        if mine.peer not in (b"", frame.peer) and self._now - mine.heard_at < SILENT_NS and not goes_on:
            self._reject(frame.peer, "ALREADY_ATTACHED", f"account '{hello.account}' is attached from elsewhere")
            return
        if text := self._misfit(account, hello):
            self._reject(frame.peer, "OTHER_STRATEGY", text)
            return
        if not mine.attached and self.core is not None and hello.heard > self.core.reports[account]:
            known = self.core.reports[account]
            text = f"'{hello.account}' has heard {hello.heard} reports, this session's journal knows {known}"
            self._reject(frame.peer, "KNOWS_MORE", f"{text}: it is of another session, or the journal has lost some")
            return
        self._attach(account, frame.peer, hello)

    def _misfit(self, account: int, hello: m.Hello) -> str:
        """Why what is said in ``Hello`` does not fit the account, or ""."""
        if self.attachments[account].attached != (hello.wake is not None):
            kind = "a strategy" if self.attachments[account].attached else "a program without wakes"
            return f"account '{hello.account}' is {kind}'s"
        first = self._joined.get(account)
        if first is not None and (first.wake, first.source) != (hello.wake, hello.source):
            return f"the strategy of '{hello.account}' is not the one that this session began with; start a new run"
        try:
            if hello.wake is not None and first is None:
                wake_of(hello)
                probes_of(hello, self.config.strategies[account])
        except ConfigError as error:
            return str(error)
        return ""

    def _attach(self, account: int, peer: bytes, hello: m.Hello) -> None:
        mine = self.attachments[account]
        if account not in self._joined:
            self._joined[account] = hello
            self._log(Entry.JOIN, account, raw=m.encode(hello))
        self._abreast.came(account, hello.answered)
        self._forget(account)
        self._peers[peer] = account
        mine.attach(peer, self._now, -1 if hello.replay else hello.answered, hello.heard)
        core = self.core
        reports = core.reports[account] if core is not None else 0
        next_wake = core.numbers[account] if core is not None and core.waiting == account else len(mine.history)
        ended = core is not None and core.ended
        if core is not None and mine.attached and mine.history:
            agreed = m.Reconcile(core.numbers[account], reports, core.digest(account))
            self._send(peer, m.encode(agreed))
        welcome = m.Welcome(m.PROTOCOL, self.config.name[:64], account, next_wake, reports, ended)
        self._send(peer, m.encode(welcome))
        if ended:
            self._tell_end(account)

    def _forget(self, account: int) -> None:
        mine = self.attachments[account]
        self._peers.pop(mine.peer, None)
        mine.peer = b""

    def _on_progress(self, account: int, message: m.Progress, peer: bytes) -> None:
        mine, core = self.attachments[account], self.core
        requests = mine.gather(message)
        if requests is None or core is None:
            return
        wake = message.wake
        if core.waiting == account and wake == core.numbers[account]:
            self._answer(account, wake, requests, peer)
        elif wake in mine.skipped:
            if self._is_abreast():  # else it is told, and answered, again
                self._answer_late(account, wake, requests, peer)
        elif wake <= core.numbers[account] and mine.answers.get(wake, NO_REQUESTS) != digest_of(requests):
            text = f"wake {wake} was answered otherwise before: the strategy does not do the same again"
            self._reject(peer, "DIFFERENT_ANSWER", text, wake=wake)
        elif wake <= core.numbers[account]:
            mine.heard_answer(wake, self._now)
            if requests:
                self._send(peer, m.encode(m.Received(wake, "", 0, True, False)))

    def _answer(self, account: int, wake: int, requests: list[m.Request], peer: bytes) -> None:
        mine, core = self.attachments[account], self.core
        assert core is not None
        if not self._check(account, requests, peer, wake=wake):
            return
        mine.heard_answer(wake, self._now)
        mine.behind = False
        if requests:
            mine.answers[wake] = digest_of(requests)
            self._log(Entry.PROGRESS, account, wake=wake, requests=requests)
            self._send(peer, m.encode(m.Received(wake, "", 0, False, False)))
        self._note(core.answer(requests))
        self._keep_records()

    def _answer_late(self, account: int, wake: int, requests: list[m.Request], peer: bytes) -> None:
        """The market went on without it."""
        mine, core = self.attachments[account], self.core
        assert core is not None
        mine.heard_answer(wake, self._now)
        mine.behind = mine.behind and wake < core.numbers[account]  # caught up: the next wake is waited for
        if not self._check(account, requests, peer, wake=wake):
            return
        mine.skipped.discard(wake)
        if requests:
            mine.answers[wake] = digest_of(requests)
            mine.late += 1
            self._log(Entry.ORDERS, account, wake=wake, requests=requests)
            core.apply(account, requests)
            self._send(peer, m.encode(m.Received(wake, "", 0, False, True)))

    def _check(self, account: int, requests: list[m.Request], peer: bytes, *, wake: int = -1, cid: str = "") -> bool:
        assert self.core is not None
        try:
            self.core.check(account, requests)
        except BadRequest as error:
            self._reject(peer, "BAD_REQUEST", str(error), wake=wake, cid=cid)
            return False
        return True

    def _on_client_orders(self, account: int, message: m.Orders, peer: bytes) -> None:
        mine, core = self.attachments[account], self.core
        if mine.attached:
            self._reject(peer, "WAKES_ONLY", "a strategy's requests come as answers to its wakes", cid=message.cid)
            return
        if (known := mine.cids.get(message.cid)) is not None:
            if known[0] != digest_of(message.requests):
                self._reject(peer, "DUP_ID_CONFLICT", "this id came with other requests before", cid=message.cid)
            else:
                self._send(peer, m.encode(m.Received(-1, message.cid, known[1], True, False)))
            return
        if core is None or (core.rows == 0 and not core.ended) or not self._is_abreast():
            if self._abreast.is_full:
                self._reject(peer, "BUSY", "the market has not begun yet; ask later", cid=message.cid)
            else:
                self._abreast.hold(lambda: self._on_client_orders(account, message, peer))
        elif core.ended:
            self._reject(peer, "ENDED", "the market has ended", cid=message.cid)
        elif self.is_disk_slow and any(type(one) in (m.Order, m.Replace) for one in message.requests):
            mine.allowance.refuse(message.cid)
            self._reject(peer, "JOURNAL_SLOW", "a write to disk took more than 1 s; ask again later", cid=message.cid)
        elif not mine.allowance.takes(self._now, message.cid, message.requests):
            self._reject(peer, "BUSY", f"more than {PER_SECOND} requests a second; ask for less", cid=message.cid)
        elif 0 < message.expire_ts < core.venue.clock:
            self._reject(peer, "EXPIRED", f"the market's time is {core.venue.clock}", cid=message.cid)
        elif self._check(account, message.requests, peer, cid=message.cid):
            first = core.next_order(account) if any(type(one) is m.Order for one in message.requests) else 0
            self._log(Entry.ORDERS, account, cid=message.cid, requests=message.requests, latch=first)
            core.apply(account, message.requests)
            mine.cids[message.cid] = (digest_of(message.requests), first)
            self._send(peer, m.encode(m.Received(-1, message.cid, first, False, False)))

    # --- time ---------------------------------------------------------------------------------------------------------

    def _mind_time(self) -> None:
        if self._now - self._last_beat >= BEAT_NS:
            self._last_beat = self._now
            if self.core is not None:
                self._number_latches(self.core)  # one that a crash left without
            for mine in self.attachments:
                if mine.peer:
                    self._out.append(Send("orders", mine.peer, m.encode(m.Beat(len(mine.history) - 1, 0))))
        core = self.core
        if core is None or core.ended:
            return
        self._waits_since = self._waits_since or self._now  # a wake of an earlier life waits from now on
        self._skip_overdue(core)
        for account, mine in enumerate(self.attachments):
            is_silent = mine.heard_at > 0 and self._now - mine.heard_at >= SILENT_NS
            if is_silent and not mine.gone and (self._hold_ns is not None or not mine.attached) and self._is_abreast():
                self._gone(account)

    @property
    def _waits_until(self) -> int:
        """When a pace goes on without an answer; strategies that have yet to come back are given time to."""
        hold = self._hold_ns or 0
        return self._waits_since + (hold if self._is_abreast() else max(hold, RETURN_NS))

    def _skip_overdue(self, core: BrokerCore) -> None:
        """The market goes on without those who do not answer in time; one who was late is not waited for again."""
        while (account := core.waiting) is not None:
            mine = self.attachments[account]
            is_over = self._now >= self._waits_until or (mine.behind and self._is_abreast())
            if not (self._hold_ns is not None and is_over) and not self._closing:
                return
            wake = core.numbers[account]
            self._abreast.give_up()
            mine.behind = True
            mine.skip(wake)
            self.skipped_wakes += 1
            self._log(Entry.SKIP, account, wake=wake)
            self._note(core.answer())
            self._keep_records()
            if core.waiting is None:
                self._pull()

    def _gone(self, account: int) -> None:
        """Nobody acts for the account any more: what works is cancelled."""
        mine = self.attachments[account]
        mine.gone = True
        if self.core is not None and not self.core.ended:
            self._log(Entry.GONE, account)
            self.core.apply(account, [m.CancelAll(-1)])

    def _plan_tick(self) -> None:
        ticks = [self._last_beat + BEAT_NS, self._receiver.due]
        if self.core is not None and self.core.waiting is not None:
            ticks.append(self._now + TELL_AGAIN_NS)
            if self._hold_ns is not None:
                ticks.append(self._waits_until)
        self._next_tick = max(min(ticks), self._now + LEAST_TICK)

    # --- the end ------------------------------------------------------------------------------------------------------

    def _mind_end(self) -> None:
        core = self.core
        if self._closing and core is None:
            self._stop(EX_OK, f"ended before the market began: {self._closing}")
        if core is None:
            return
        if self._closing and not core.ended and core.waiting is None:
            self._end()
            self._skip_overdue(core)
        if not core.ended:
            return
        if not self._end_told:
            self._end_told, self._ended_at = True, self._now
            for account in range(len(self.accounts)):
                self._tell_end(account)
        waits = any(mine.attached and mine.done is None for mine in self.attachments if mine.peer or not self._closing)
        is_over = not waits or self._now - self._ended_at >= (CLOSING_NS if self._closing else PATIENCE_NS)
        if is_over and self.appended == self.committed and not self._gated:
            self._stop(EX_OK, "the market has ended")

    def _tell_end(self, account: int) -> None:
        assert self.core is not None
        mine, records = self.attachments[account], self.core.records
        if mine.peer:
            end = m.End(records.count, records.fingerprint, sum(a.late for a in self.attachments), self.skipped_wakes)
            mine.last = m.encode(end)

    # --- operators ----------------------------------------------------------------------------------------------------

    def _on_admin(self, frame: Frame) -> None:
        try:
            message = m.admin_request(frame.data)
        except m.BadMessage as error:
            self._out += [Send("admin", frame.peer, m.encode(m.Reject(error.reason, str(error)))), Fault(*frame[:3])]
            return
        match message:
            case m.Ask():
                from engine.live.broker_standing import standing_of

                answer: m.AdminReply = m.Standing(msgspec.json.encode(standing_of(self)))
            case m.Kill(account=name, why=why):
                answer = self._kill(name, why or "asked by an operator")
            case m.Rearm(latch=latch):
                answer = self._rearm(latch)
            case m.Shutdown():
                self._closing = "asked by an operator"
                answer = m.Obeyed(0, "the run is being sealed")
        self._say("admin", frame.peer, m.encode(answer))

    def _kill(self, name: str, why: str) -> m.Obeyed | m.Reject:
        """Latch the kill switch of one account, or of all."""
        if name and name not in self._names:
            return m.Reject("UNKNOWN_ACCOUNT", f"no account '{name}'; this broker has {', '.join(self._names)}")
        if not self._is_abreast():
            self._abreast.hold(lambda: self._latch_one(name, why), is_kill=True)
            return m.Obeyed(
                0, "latched as soon as the market is where strategies saw it last; until then nothing trades"
            )
        return m.Obeyed(self._latch_one(name, why), f"latched: {name or 'all accounts'}")

    def _latch_one(self, name: str, why: str) -> int:
        assert self.core is not None
        chosen = [self._names[name]] if name else list(range(len(self.accounts)))
        for account in chosen:
            if not self.latches.holds(account):
                self._log(Entry.KILL, account, text=why, latch=self.latches.throw(account, why))
                self.core.kill(account)
        self._keep_records()
        return self.latches.last

    def _rearm(self, latch: int) -> m.Obeyed | m.Reject:
        if self.core is None or not self._is_abreast():
            return m.Reject("NOT_YET", "the market is not yet where strategies saw it last; ask again")
        if latch not in self.latches.in_force:
            known = ", ".join(map(str, self.latches.in_force)) or "none"
            return m.Reject("UNKNOWN_LATCH", f"no latch {latch} is in force; in force: {known}")
        account = self.latches.release(latch)
        self._log(Entry.REARM, account, latch=latch)
        self.core.rearm(account)
        return m.Obeyed(latch, f"'{self.accounts[account].name}' may trade again")

    @property
    def receiver(self) -> StreamReceiver:
        """How the feed has come."""
        return self._receiver
