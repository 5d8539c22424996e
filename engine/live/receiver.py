"""The rows of a stream, each once and in order, out of whatever a network made of them.

1. ``hear`` takes what arrives. What is not of this stream and epoch, or breaks a rule of ``row_rules``, is dropped and
   counted; it leaves a gap, and a gap is asked for.
2. Rows that come early are held, up to ``HELD_ROWS``; rows that came before are compared with those handed over lately.
3. ``take`` hands over what is next, up to the first CLOSE row whose panel day has not arrived.
4. ``wants`` says what to ask of the feed: who it is, parts of panels, missing rows. One request is under way at a time;
   it is repeated each 200 ms until it is answered, and answered it makes room for the next.

A CLOCK row stands between two numbered rows and promises that those after it are later. So it is never handed over
before those it follows; one that comes too late to promise anything is left out.

Heartbeats carry the next number, so a loss shows within one of them. After ``SILENT_NS`` without any, the feed is asked
how far it has come. A feed that starts again comes with a higher epoch: what was held is dropped, the market asked for
again, and the numbers go on; rows that it publishes again are duplicates like others.

What is counted, in ``counters``: ROWS handed on; GAP, once from where rows are missing until none is; REORDER, messages
held until those before came; DUP, rows dropped because they had come before; TIME_BACK, UNKNOWN_INST, CORRUPT, messages
dropped for what is in them; OVERFLOW, for want of room; OLD_EPOCH, OTHER_STREAM, NOT_JOINED, for where they come from;
REFUSED by the feed; REQUESTS sent.
"""

from __future__ import annotations

from collections import Counter, deque
from heapq import heappop, heappush
from itertools import chain
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import TickwrightError
from engine.live.messages import (
    BATCH_ROWS,
    PROTOCOL,
    Batch,
    FeedReply,
    Join,
    Market,
    PanelPart,
    Refused,
    WantPanel,
    WantRows,
    disagreement,
    schema_digest,
)
from engine.live.panel_parts import PanelConflict, PanelParts
from engine.live.recent_rows import RecentRows
from engine.live.row_rules import Block, RowRules
from engine.tape import ROW, Manifest

HELD_ROWS = 10_000  # rows held, early or not yet taken, before more are dropped (and one message)
ASK_AGAIN_NS = 200_000_000
SILENT_NS = 2_000_000_000  # without a word of the feed: ask
PANEL_REQUESTS = 16  # parts of panels asked for together
REFUSALS = 8  # messages with the next row that break a rule, in a row, until the stream is given up
FOREVER = 2**63 - 1
NOTHING = np.zeros(0, ROW)

Rows = NDArray[np.void]
Want = Join | WantRows | WantPanel


class StreamBroken(TickwrightError):
    """The rows received cannot be trusted, or no more can be received; ``reason`` is one word."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{text} ({reason})")
        self.reason = reason


class Held(NamedTuple):
    """Rows in order that have not been taken, and the close whose panels must be there first."""

    data: memoryview
    rows: int
    close: tuple[int, int] | None  # instrument, panel day


class StreamReceiver:
    """What one stream's messages amount to. Time is a monotonic clock in ns and decides only when to ask again.

    Parameters
    ----------
    first : int
        Number of the first row that is wanted: how many are there already.
    recent : ROW[n], optional
        The last of those, CLOCK rows included; duplicates are compared with them.

    Attributes
    ----------
    market : Market or None
        As it was on joining last.
    manifest : Manifest or None
    panels : dict of name to array
        Filled in place, complete up to the CLOSE rows taken.
    next_seq : int
        Number of the next row; all before it have been taken or can be.
    counters : Counter
        See the module.

    Every method raises ``StreamBroken`` if the stream can go no further; nothing is to be done with the receiver then.
    """

    def __init__(self, first: int = 0, recent: Rows | None = None) -> None:
        self.next_seq = first
        self.market: Market | None = None
        self.manifest: Manifest | None = None
        self.counters: Counter[str] = Counter()
        self._parts = PanelParts([])
        self._rules = RowRules([], self._parts)
        self._recent = RecentRows(first, recent)
        self._ready: deque[Held] = deque()
        self._ready_rows = 0
        self._early: list[tuple[int, int, Block]] = []  # heap by first number and arrival
        self._early_rows = 0
        self._arrivals = 0
        self._known = first  # the feed has published up to here
        self._end: int | None = None
        self._epoch_heard = -1
        self._heard: int | None = None  # when the feed was last heard
        self._asked: list[Want] = []
        self._ask_again = 0
        self._is_behind = False  # rows are missing, and have been asked for
        self._refusals = 0

    @property
    def epoch(self) -> int:
        """Of the market joined; -1 before."""
        return -1 if self.market is None else self.market.epoch

    @property
    def panels(self) -> dict[str, NDArray]:
        """Arrays by name; empty before joining."""
        return self._parts.arrays

    @property
    def is_joined(self) -> bool:
        """Whether the market is known, and what its panels' axes mean."""
        return self.market is not None and not any(self._parts.lacking_axes())

    @property
    def ended(self) -> bool:
        """Whether the stream is over and all of it taken."""
        return self._end == self.next_seq and not self._ready

    @property
    def known(self) -> int:
        """Number of the next row that the feed will publish, as far as it has said."""
        return self._known

    @property
    def held(self) -> int:
        """Rows that are here and have not been taken."""
        return self._ready_rows + self._early_rows

    @property
    def due(self) -> int:
        """When ``wants`` may have more to say although nothing was heard (monotonic ns)."""
        if self._is_open():
            return self._ask_again
        if self.market is None:
            return 0
        return FOREVER if self._heard is None or self.ended else self._heard + SILENT_NS

    def hear(self, now: int, message: FeedReply) -> None:
        """Take any message of the feed."""
        match message:
            case Batch():
                self.batch(now, message)
            case PanelPart():
                self.panel(now, message)
            case Market():
                self.join(now, message)
            case Refused():
                self._refused(message)
            case _:
                pass  # answers to a publisher

    # --- joining ---

    def join(self, now: int, market: Market) -> None:
        """Take the market: what is published and how far it has come. The first one also says what rows may be."""
        if market.epoch < self.epoch:
            self.counters["OLD_EPOCH"] += 1
            return
        self._heard = now
        if self.market is None:
            self._meet(market)
        elif market.epoch > self.market.epoch:
            self._meet_again(self.market, market)
        self._asked = [want for want in self._asked if not isinstance(want, Join)]
        self.market = market
        self._epoch_heard = market.epoch
        self._known = max(self._known, market.next_seq)
        if market.ended:
            self._ends_at(market.next_seq)

    def _meet(self, market: Market) -> None:
        if text := disagreement(market.protocol, market.schema, strict=False):
            raise StreamBroken("PROTOCOL", text)
        self.manifest = _manifest_of(market)
        try:
            self._parts = PanelParts(market.panels)
        except ValueError as error:
            raise StreamBroken("CORRUPT", f"stream {market.stream}: no market that can be joined: {error}") from None
        self._rules = RowRules(self.manifest.instruments, self._parts)

    def _meet_again(self, before: Market, market: Market) -> None:
        """A feed that started again must publish the same; what is held of its earlier life is asked for again."""
        manifest = _manifest_of(market)
        same = manifest.instruments == (self.manifest and self.manifest.instruments)
        if not (same and market.panels == before.panels and market.stream == before.stream):
            raise StreamBroken(
                "DEF_CHANGE", f"stream {before.stream}: other instruments or panels from epoch {market.epoch} on"
            )
        if before.content and market.content != before.content:
            raise StreamBroken("DEF_CHANGE", f"stream {before.stream}: another tape from epoch {market.epoch} on")
        self._early, self._early_rows = [], 0
        self._known = self.next_seq

    # --- what arrives ---

    def batch(self, now: int, batch: Batch) -> None:
        """Take rows, a heartbeat, or the end; published or asked for."""
        if not self._belongs(now, batch):
            return
        if batch.n < 0:
            self._ends_at(batch.first)
            return
        self._known = max(self._known, batch.first + min(batch.n, 1))  # how many there are is said once it is checked
        if not batch.rows:
            return
        is_early = batch.first > self.next_seq
        if (self.held if is_early else self._ready_rows) >= HELD_ROWS:
            self.counters["OVERFLOW"] += 1
            return
        block, fault = self._rules.block(batch)
        if block is None:
            self._refuse(fault, batch.first, batch.n)
            return
        self._known = max(self._known, block.first + block.numbered)
        if is_early:
            self._hold(block)
        else:
            self._accept(block)
            self._accept_held()

    def panel(self, now: int, part: PanelPart) -> None:
        """Take a part of a panel's day."""
        if not self._belongs(now, part):
            return
        try:
            fits = self._parts.add(part)
        except PanelConflict as error:
            raise StreamBroken("DUP_CONFLICT", f"stream {part.stream}: {error}") from None
        if not fits:
            self._refuse("CORRUPT", self.next_seq, 1)

    def holds(self, part: PanelPart) -> bool:
        """Whether this very part of a panel's day was taken."""
        return self._parts.holds(part)

    def take(self) -> Rows:
        """ROW[n] that come next, n >= 0: gapless, in order, read-only."""
        taken: list[memoryview] = []
        while self._may_take():
            held = self._ready.popleft()
            self._ready_rows -= held.rows
            taken.append(held.data)
        if not taken:
            return NOTHING
        return np.frombuffer(taken[0] if len(taken) == 1 else b"".join(taken), ROW)

    def wants(self, now: int) -> list[Want]:
        """What to ask the feed now; empty while an answer is awaited, or nothing is missing."""
        if now < self._ask_again and self._is_open():
            return []
        self._asked = wanted = self._missing(now)
        if wanted:
            self._ask_again = now + ASK_AGAIN_NS
            self.counters["REQUESTS"] += len(wanted)
        return wanted

    def _may_take(self) -> bool:
        if not self._ready or not self.is_joined:
            return False
        close = self._ready[0].close
        return close is None or not any(self._rules.lacking(*close))

    # --- asking ---

    def _missing(self, now: int) -> list[Want]:
        is_silent = self._heard is not None and now - self._heard >= SILENT_NS and not self.ended
        if self.market is None or self.market.epoch != self._epoch_heard or is_silent:
            return [Join(PROTOCOL, schema_digest())]
        close = self._ready[0].close if self._ready else None
        days = chain(self._parts.lacking_axes(), self._rules.lacking(*close) if close else ())
        if panels := self._parts.missing(days, PANEL_REQUESTS):
            return [*panels]
        until = min(self._known, self._early[0][0]) if self._early else self._known
        if until <= self.next_seq:
            self._is_behind = False
        if until <= self.next_seq or self._ready_rows >= HELD_ROWS:
            return []
        self.counters["GAP"] += not self._is_behind
        self._is_behind = True
        return [WantRows(self.next_seq, min(until - self.next_seq, BATCH_ROWS))]

    def _is_open(self) -> bool:
        """Whether what was asked has not been answered."""
        match self._asked:
            case []:
                return False
            case [WantRows(first=first)]:
                return first == self.next_seq and self._ready_rows < HELD_ROWS
            case [Join()]:
                return True
            case panels:
                return any(isinstance(want, WantPanel) and self._parts.lacks(want) for want in panels)

    # --- deciding ---

    def _belongs(self, now: int, message: Batch | PanelPart) -> bool:
        market = self.market
        if market is None:
            reason = "NOT_JOINED"
        elif message.stream != market.stream:
            reason = "OTHER_STREAM"
        elif message.epoch < market.epoch:
            reason = "OLD_EPOCH"
        elif message.epoch > market.epoch:
            self._epoch_heard = max(self._epoch_heard, message.epoch)
            reason = "NOT_JOINED"
        else:
            self._heard = now
            return True
        self.counters[reason] += 1
        return False

    def _hold(self, block: Block) -> None:
        self.counters["REORDER"] += 1
        self._arrivals += 1
        self._early_rows += block.rows
        heappush(self._early, (block.first, self._arrivals, block))

    def _accept_held(self) -> None:
        while self._early and self._early[0][0] <= self.next_seq:
            block = heappop(self._early)[2]
            self._early_rows -= block.rows
            self._accept(block)

    def _accept(self, block: Block) -> None:
        """Rows of which the first is next, or has come before."""
        if again := min(self.next_seq - block.first, block.numbered):
            self.counters["DUP"] += again
            if not self._recent.agrees(block.first, block.bytes_of(again)):
                raise StreamBroken(
                    "DUP_CONFLICT",
                    f"{self._called()}: rows {block.first} to {block.first + again - 1} came again with other content; "
                    "the feed has lost what it published, start this stream anew",
                )
            block = block.after(again)
        if block.first < self.next_seq:
            return  # its clocks belong between rows handed over
        block = block.without_clocks_until(self._recent.ts_last, self._recent.ends_with_clock)
        if not block.rows:
            return
        if not self._recent.may_precede(block):
            self._refuse("TIME_BACK", block.first, block.numbered)
            return
        if self._end is not None and block.first + block.numbered > self._end:
            raise StreamBroken("AFTER_END", f"{self._called()}: rows beyond {self._end}, where it ended")
        self._recent.add(block)
        self.next_seq += block.numbered
        self._known = max(self._known, self.next_seq)
        self._refusals = 0
        self.counters["ROWS"] += block.rows
        self._make_ready(block)

    def _make_ready(self, block: Block) -> None:
        """Queue rows to be taken, cut before each close that has panels."""
        self._ready_rows += block.rows
        begin, close = 0, None
        for at in self._rules.closes(block):
            if at > begin:
                self._ready.append(Held(block.data[begin * 64 : at * 64], at - begin, close))
            row = block.table[at]
            begin, close = at, (int(row["instrument"]), int(row["order_id"]))
        self._ready.append(Held(block.data[begin * 64 :], block.rows - begin, close))

    def _ends_at(self, end: int) -> None:
        if end < self.next_seq or (self._end is not None and end != self._end):
            before = f"it ended at {self._end}" if self._end is not None else f"rows up to {self.next_seq} have come"
            raise StreamBroken("AFTER_END", f"{self._called()}: ends at {end}, but {before}")
        self._end = end
        self._known = end

    def _refuse(self, reason: str, first: int, n: int) -> None:
        """Drop a message for what is in it. If nothing else comes with the next row, the feed itself is at fault."""
        self.counters[reason] += 1
        if first <= self.next_seq < first + n:
            self._refusals += 1
        if self._refusals >= REFUSALS:
            raise StreamBroken(
                reason, f"{self._called()}: {REFUSALS} messages with row {self.next_seq} break a rule; check the feed"
            )

    def _refused(self, answer: Refused) -> None:
        self.counters["REFUSED"] += 1
        if self.market is None:
            raise StreamBroken(answer.reason, f"the feed refuses: {answer.text}")

    def _called(self) -> str:
        return f"stream {self.market.stream}" if self.market else "a stream"


def _manifest_of(market: Market) -> Manifest:
    try:
        return msgspec.json.decode(market.manifest, type=Manifest)
    except (ValueError, RecursionError, TickwrightError) as error:  # msgspec's, Unicode's, those of an instrument
        raise StreamBroken("CORRUPT", f"stream {market.stream}: no market that can be joined: {error}") from None
