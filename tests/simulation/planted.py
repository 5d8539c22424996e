"""Bugs that somebody could have written: each is switched on alone, and the laws must find it.

``Bug.plant`` puts a fault into the code of a role for as long as the context lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from msgspec.structs import replace as with_fields

from engine.live import broker_role, feed_core, receiver
from engine.live.attachment import Attachment
from engine.live.broker_core import BrokerCore
from engine.live.broker_log import Entry
from engine.live.broker_role import BrokerRole
from engine.live.feed_core import FeedCore
from engine.live.messages import Batch, Market, Progress, WantPanel, Watermark, encode
from engine.live.panel_parts import PanelParts
from engine.live.receiver import StreamReceiver
from engine.live.remote_broker import RemoteBroker
from engine.live.role import KeepRows, Send
from engine.live.row_rules import Block
from engine.live.runner_role import RunnerRole
from engine.live.shown import Shown


class Bug(NamedTuple):
    """A fault and where it goes."""

    name: str
    breaks: str
    owner: Any  # module or class
    attribute: str
    make: Callable[[Any], Any]  # what was there -> what is put there

    @contextmanager
    def plant(self) -> Iterator[None]:
        """Have the fault, for as long as this lasts."""
        sound = self.owner.__dict__[self.attribute]
        setattr(self.owner, self.attribute, self.make(sound))
        try:
            yield
        finally:
            setattr(self.owner, self.attribute, sound)


BUGS: dict[str, Bug] = {}


def bug(breaks: str, owner: Any, attribute: str) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Name a fault after the function that makes it."""

    def register(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
        name = make.__name__.replace("_", "-")
        BUGS[name] = Bug(name, breaks, owner, attribute, make)
        return make

    return register


# --- receiving --------------------------------------------------------------------------------------------------------


@bug("a gap is passed over", StreamReceiver, "_hold")
def takes_what_comes_early(sound):
    def hold(self: StreamReceiver, block: Block) -> None:
        self.next_seq = block.first
        self._accept(block)

    return hold


@bug("rows that came before come again", StreamReceiver, "_accept")
def takes_rows_twice(sound):
    def accept(self: StreamReceiver, block: Block) -> None:
        self.next_seq = min(self.next_seq, block.first)
        sound(self, block)

    return accept


@bug("the last rows are lost for good: no heartbeat shows that they are missing", StreamReceiver, "batch")
def deaf_to_heartbeats(sound):
    def batch(self: StreamReceiver, now: int, one: Batch) -> None:
        sound(self, now, one if one.rows else with_fields(one, first=self.next_seq, n=0))

    return batch


@bug("a request whose answer is lost is never repeated", receiver, "ASK_AGAIN_NS")
def asks_once(sound):
    return 1 << 62


@bug("the stream is over while rows are missing", StreamReceiver, "ended")
def ends_too_soon(sound):
    return property(lambda self: self._end is not None and not self._ready)


@bug("a close is handed on before its panels are here", PanelParts, "lacking")
def waits_for_no_panel(sound):
    return lambda self, names, day: iter(())


@bug("a panel's lost parts are not asked for", PanelParts, "missing")
def asks_for_the_first_part_only(sound):
    def missing(self: PanelParts, days: Any, most: int) -> list[WantPanel]:
        return [want for want in sound(self, days, most) if want.part == 0]

    return missing


@bug("a feed that starts again is not joined again", StreamReceiver, "_belongs")
def stays_in_the_old_epoch(sound):
    def belongs(self: StreamReceiver, now: int, message: Any) -> bool:
        heard = self._epoch_heard
        result = sound(self, now, message)
        self._epoch_heard, self._heard = heard, now
        return result

    return belongs


# --- publishing -------------------------------------------------------------------------------------------------------


@bug("a CLOCK row promises more than the feed knows", FeedCore, "_clock")
def promises_too_much(sound):
    def clock(self: FeedCore, now: int, pace: Any) -> Iterator[Any]:
        self._next_clock = now + feed_core.CLOCK_NS
        self.market_time = pace.market(now) + 20_000_000
        if self.next_seq:
            yield self._say(now, 0, feed_core.clock_row(self.market_time))

    return clock


@bug("rows again are those after the ones that were asked for", FeedCore, "_rows_again")
def answers_one_row_late(sound):
    def rows_again(self: FeedCore, first: int, n: int) -> Batch:
        batch = sound(self, first + 1, n)
        return with_fields(batch, first=first) if batch.n > 0 else sound(self, first, n)

    return rows_again


@bug("who asks is shown rows before they are published", FeedCore, "_rows_again")
def answers_from_the_future(sound):
    def rows_again(self: FeedCore, first: int, n: int) -> Batch:
        rows = self._source.read(first, n + 1)
        return Batch(self._stream, self._epoch, first, len(rows), 0, rows.tobytes())

    return rows_again


@bug("a feed that starts again knows nothing of the closes before", FeedCore, "_recall")
def forgets_the_closes(sound):
    return lambda self, next_seq: None


@bug("the end is never said", FeedCore, "ended")
def never_ends(sound):
    return property(lambda self: False)


@bug("a feed that starts again says that it is another market", FeedCore, "_joined")
def is_another_market(sound):
    def joined(self: FeedCore, join: Any) -> Market | str:
        reply = sound(self, join)
        return with_fields(reply, content="another") if isinstance(reply, Market) and self._epoch > 1 else reply

    return joined


# --- the broker -------------------------------------------------------------------------------------------------------


@bug("orders are acknowledged before they are on disk", BrokerRole, "_send")
def acknowledges_before_the_disk(sound):
    def send(self: BrokerRole, peer: bytes, data: bytes) -> None:
        self._out.append(Send("orders", peer, data))

    return send


@bug("some answers are not in the log", BrokerRole, "_log")
def logs_no_long_answers(sound):
    def log(self: BrokerRole, kind: Entry, account: int, **fields: Any) -> None:
        if kind != Entry.PROGRESS or len(fields["requests"]) < 2:
            sound(self, kind, account, **fields)

    return log


@bug("an answer that comes twice is applied twice", BrokerRole, "_on_progress")
def applies_answers_twice(sound):
    def on_progress(self: BrokerRole, account: int, message: Progress, peer: bytes) -> None:
        core = self.core
        if core is not None and message.requests and message.wake < core.numbers[account] and not message.more:
            core.apply(account, message.requests)
        sound(self, account, message, peer)

    return on_progress


@bug("the market does not wait for ever for those who need long", BrokerRole, "_skip_overdue")
def loses_patience(sound):
    def skip_overdue(self: BrokerRole, core: BrokerCore) -> None:
        held, self._hold_ns = self._hold_ns, self._hold_ns or 400_000_000
        sound(self, core)
        self._hold_ns = held

    return skip_overdue


@bug("rows are used that are not kept", BrokerRole, "_pull")
def keeps_only_long_bites(sound):
    def pull(self: BrokerRole) -> None:
        sound(self)
        self._out[:] = [out for out in self._out if type(out) is not KeepRows or len(out.rows) > 64]

    return pull


@bug("after a restart the broker counts CLOCK rows among the numbered ones", broker_role, "rows_kept")
def counts_clocks(sound):
    return lambda read, kept: (kept, sound(read, kept)[1])


@bug("a wake that was lost is not told again", broker_role, "TELL_AGAIN_NS")
def tells_once(sound):
    return 1 << 62


@bug("after a restart only rows that the log speaks of are used, others are left out", BrokerRole, "_recover")
def leaves_out_rows_beyond_the_log(sound):
    def recover(self: BrokerRole, entries: Any) -> StreamReceiver:
        found = sound(self, entries)
        if self.core is not None and self.core.waiting is not None:
            self._kept = self.core.rows
        return found

    return recover


@bug("the kill switch is logged and told, but the venue does not hear of it", BrokerCore, "kill")
def kills_nobody(sound):
    return lambda self, account: None


@bug("wakes beyond the window are told without those before them", Attachment, "due")
def skips_a_wake_when_it_tells_again(sound):
    def due(self: Attachment, now: int, again_ns: int) -> list[bytes]:
        found = sound(self, now, again_ns)
        return found[1:] if len(found) > 3 else found

    return due


@bug("a runner that comes back is told from where it had come, not from what it remembers", Attachment, "attach")
def believes_its_own_memory(sound):
    def attach(self: Attachment, peer: bytes, now: int, answered: int, heard: int) -> None:
        sound(self, peer, now, max(answered, self._answered), heard)

    return attach


@bug("an answer in pieces is taken for whole at its first piece", Attachment, "gather")
def answers_with_the_first_piece(sound):
    return lambda self, message: list(message.requests) if message.first == 0 else None


@bug("panel parts are not in the log, so a broker that restarts has none", BrokerRole, "_keep_panel")
def keeps_no_panel(sound):
    return lambda self, part: None


@bug("money is told when it first changes only", Shown, "_moved_cash")
def tells_cash_once(sound):
    def moved(self: Shown) -> tuple[int, ...]:
        return sound(self) if not any(self._cash) else ()

    return moved


@bug("orders that ended are shown as open", Shown, "_moved_orders")
def shows_no_empty_book(sound):
    return lambda self: sound(self) or None


@bug("a late answer is dropped without a word", BrokerRole, "_answer_late")
def drops_late_answers(sound):
    return lambda self, account, wake, requests, peer: None


# --- the runner -------------------------------------------------------------------------------------------------------


@bug("an answer leaves before it is in the outbox", RunnerRole, "_send")
def sends_before_the_disk(sound):
    def send(self: RunnerRole, message: Any) -> None:
        self._out.append(Send("orders", b"", encode(message)))

    return send


@bug("a strategy acts before the rows of its wake are here", RemoteBroker, "next")
def acts_before_its_rows(sound):
    def next_wake(self: RemoteBroker) -> Any:
        if self._wakes:
            self._wakes[0] = with_fields(self._wakes[0], seq=min(self._wakes[0].seq, self._seen + self._held))
        return sound(self)

    return next_wake


@bug("a wake that is told again is answered with nothing", RunnerRole, "_progress")
def forgets_its_answers(sound):
    def progress(self: RunnerRole, wake: int) -> None:
        sound(self, wake)
        self._answers.pop(wake, None)

    return progress


@bug("a wake is taken although one before it was lost", RunnerRole, "_on_wake")
def takes_wakes_out_of_order(sound):
    def on_wake(self: RunnerRole, wake: Watermark) -> None:
        if self.core is not None and wake.wake > self.core.next_wake >= 0:
            wake = with_fields(wake, wake=self.core.next_wake)
        sound(self, wake)

    return on_wake


@bug("after a broker was silent nobody says Hello again", RunnerRole, "_hello")
def says_hello_once(sound):
    def hello(self: RunnerRole) -> None:
        if self.core is None or self.core.last < 0:
            sound(self)

    return hello


@bug("the outbox is empty after a restart, so requests are appended again", RunnerRole, "__init__")
def forgets_its_outbox(sound):
    def init(self: RunnerRole, *args: Any, **terms: Any) -> None:
        sound(self, *args, **terms)
        self._outbox = {}

    return init


@bug("a wake waits for rows that a full buffer keeps out", RunnerRole, "_go_on")
def takes_no_rows_for_a_wake(sound):
    def go_on(self: RunnerRole) -> None:
        was = RemoteBroker.waits
        RemoteBroker.waits = property(lambda broker: False)  # type: ignore[assignment]
        try:
            sound(self)
        finally:
            RemoteBroker.waits = was  # type: ignore[assignment]

    return go_on


# --- bugs that the simulator found when they were new -----------------------------------------------------------------


@bug("panel parts that the receiver dropped are logged, and not again when they are taken", StreamReceiver, "holds")
def logs_panels_that_were_dropped(sound):
    return lambda self, part: True


@bug("a broker that recovers after the end waits for strategies that have left", BrokerRole, "_recover")
def waits_for_those_who_left(sound):
    def recover(self: BrokerRole, entries: Any) -> StreamReceiver:
        remember = broker_role.remember
        broker_role.remember = lambda read, *rest: remember([one for one in read if one[0] != Entry.DONE], *rest)
        try:
            found = sound(self, entries)
        finally:
            broker_role.remember = remember
        done = [(kind, broker_role.decode(payload)) for kind, payload in entries if kind == Entry.DONE]
        remember(done, self.attachments, self.latches)
        return found

    return recover
