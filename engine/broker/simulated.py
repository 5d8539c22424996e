"""The simulated broker: a thin Python face that owns the kernel's memory.

It hands rows to the kernel (``load``), asks it for the next wake (``next``), puts requests into its inbox
(``submit`` and friends) and reads what strategies may see. Whatever happens to an order happens in the kernel.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import events
from engine.broker import state
from engine.broker.arrivals import WAKE_AT
from engine.broker.footprint import COST, FOOTPRINT
from engine.broker.impact import NoImpact, prepare
from engine.broker.kernels import SPARE, advance
from engine.broker.latency import quantile_table
from engine.broker.models import Account, BrokerConfig, Latency, Lognormal, RiskConfig
from engine.broker.orders import R_CANCEL, R_EXPIRE, R_FILL
from engine.broker.otc import CloseMarket, Dealer, Moment
from engine.broker.probe_models import model_of
from engine.broker.service import (
    kill_account,
    read_levels,
    read_mark,
    read_orders,
    rehash,
    send_limit,
    send_order,
    send_request,
    take_requests,
)
from engine.contracts import Contract
from engine.errors import ConfigError, RunError, TapeError
from engine.instruments import MICRO, Instrument
from engine.journal import RECORD, Journal, RecordKind
from engine.orders import Op, OrderType, Reason, TimeInForce
from engine.panels import Panels
from engine.rates.contract_values import open_market
from engine.signals import WISHES, Probe, check_probes
from engine.strategy import Wake
from engine.tape import ROW, CorporateAction, Kind

NEVER = state.NEVER
_BOOKS = {"NONE": 0, "L1": 1, "L2": 2, "L3": 3}
_QUEUES = {"pessimistic": 0, "probabilistic": 1, "fifo": 2}
_REASONS = {int(reason): reason.name for reason in Reason}
# Parts of the event that the kernel leaves in its world: what all have, the rest, all of a level's from `now` on.
_HEAD, _REST, _LEVEL = Struct("9q"), Struct("6q"), Struct("6q")
_EVENT_CODE, _LEVEL_CODE, _TRADE = state.EVENT, state.LEVEL_EVENT, int(Kind.TRADE)
_QUOTE = Struct("2q24x2q")  # best and size of the bid side, and of the ask side after it
_TWO_SIDES = 2 * state.SIDE.itemsize
_BOOK_WORDS = state.BOOK.itemsize // 8
_AT = {name: offset // 8 for name, (_, offset) in state.WORLD.fields.items()}  # type: ignore[union-attr]
_FEED, _NEXT_TIMER, _EV_ACCOUNT = (_AT[name] for name in ("feed", "next_timer", "ev_account"))
_Timer, _Depth = events.Timer, events.Depth
_CANCEL_ALL = int(Op.CANCEL_ALL)
_INBOX_SIZE = 1024
_R_ACCEPT, _R_REPLACE = int(RecordKind.ACCEPT), int(RecordKind.REPLACE)


def wants_of(wake: Wake) -> int:
    """The kernel's bits for what a strategy asks to be woken by."""
    wants = 0
    for wish, bit in (
        (wake.on_quote or wake.mid_moved_ticks > 0, state.WANT_QUOTE),
        (wake.on_trade, state.WANT_TRADE),
        (wake.on_depth, state.WANT_DEPTH),
        (wake.on_bar, state.WANT_BAR),
        (wake.on_close, state.WANT_CLOSE),
        (wake.on_status, state.WANT_STATUS),
        (wake.signal, state.WANT_SIGNAL),
    ):
        wants |= bit if wish else 0
    return wants


def needs_two_cursors(latency: Latency) -> bool:
    """Whether strategies see the rows at times of their own, or a report can overtake the market data."""
    if not isinstance(latency.feed, int):
        return True
    response = latency.response
    if isinstance(response, Lognormal):
        return response.floor_ns + int(quantile_table(response)[0]) < latency.feed
    return response < latency.feed


class SimulatedBroker:
    """A venue, the way to it, the gates before it and the ledger behind it, simulated on rows.

    Parameters
    ----------
    instruments : sequence of Instrument
        Indexed by ``instrument`` of the rows.
    sessions : sequence of (open, close)
        Nanoseconds UTC, in order, not overlapping.
    actions : sequence of CorporateAction
        In order of time.
    config, risk : BrokerConfig, RiskConfig
        Models and limits; by default without a footprint, which needs an average day of each instrument.
    seed : int
        Of every draw (0 <= seed < 2^63).
    accounts, wakes, wants : sequences of equal length
        Whose orders these are; when each is to be woken; whether each listens to (fills, other order events).
    journal : Journal
        Receives every record.
    probes : sequence of sequences of Probe
        What is measured for each account; none by default.
    panels : mapping of name to array
        Close-of-day panels of the tape: with them strategies can deal over the counter.
    open_market : callable
        Makes a day's ``CloseMarket`` from its panels and the name of its conventions.

    Raises
    ------
    ConfigError
        If a model cannot be simulated on these instruments, or a limit is out of range.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        *,
        sessions: Sequence[tuple[int, int]],
        actions: Sequence[CorporateAction] = (),
        config: BrokerConfig | None = None,
        risk: RiskConfig | None = None,
        seed: int = 0,
        accounts: Sequence[Account] = (Account(),),
        wakes: Sequence[Wake] = (Wake(),),
        wants: Sequence[tuple[bool, bool]] = ((True, True),),
        probes: Sequence[Sequence[Probe]] = (),
        journal: Journal | None = None,
        panels: Mapping[str, NDArray[Any]] | None = None,
        open_market: Callable[[dict[str, NDArray[Any]], str], CloseMarket] = open_market,
    ) -> None:
        if not 0 <= seed < 2**63:
            raise ConfigError(f"seed is {seed}, but must be in 0 .. 2^63 - 1")
        if not len(accounts) == len(wakes) == len(wants):
            raise ConfigError(f"{len(accounts)} accounts, {len(wakes)} wakes and {len(wants)} wants; give one each")
        self.instruments = list(instruments)
        self.symbols = [instrument.symbol for instrument in instruments]
        self.accounts = list(accounts)
        self.config = config or BrokerConfig(impact=NoImpact())
        self.risk = risk or RiskConfig()
        self.journal = journal or Journal()
        self.account = 0  # whom the last event woke
        self.clock = 0  # its strategy's time, ns UTC
        self._is_shared = len(accounts) > 1
        self._two_cursors = needs_two_cursors(self.config.latency)
        self._seen_from = len(instruments) if self._two_cursors else 0  # the first of the books that strategies see
        self.displaces = False  # whether an impact model moves what is seen
        used = [instrument.currency for instrument in instruments] + [c for account in accounts for c in account.cash]
        self.currencies = sorted(dict.fromkeys(used))
        self._index = {symbol: i for i, symbol in enumerate(self.symbols)}
        self._wake_heaps: list[list[int]] = [[] for _ in accounts]
        self._tables: dict[str, NDArray[Any]] = {}
        self.world = np.zeros(1, state.WORLD)
        self._mem = memoryview(self.world.view(np.int64))
        self._pointers = {}
        sessions = list(sessions) or [(-(2**61), NEVER)]  # one that never ends
        actions = sorted((a for a in actions if a.symbol in self._index), key=lambda a: a.ts_event)
        self._size_tables(sessions, actions)
        self._set_models(seed)
        self._set_instruments()
        self._set_sessions(sessions, actions)
        self._set_probes(probes or [()] * len(accounts), wakes)
        self._set_accounts(wakes, wants)
        self._advance: Callable[[Any], int] = _entry(advance)
        take_requests(self.world)  # none yet: it finds out what is due first
        self._raw = memoryview(self.world.view(np.uint8))
        self._event_at = state.WORLD.fields["ev_kind"][1]  # type: ignore[index]
        self._level = self._raw[self._event_at + 16 :][: _LEVEL.size]
        self.send_now: Callable[..., int] = _entry(send_order)  # into the inbox; 0 if that is full
        self.send_limit: Callable[..., int] = _entry(send_limit)
        self._ask: Callable[..., int] = _entry(send_request)
        self.feed = self._mem[_FEED]
        first = self._seen_from
        self._sides = memoryview(self._tables["sides"].view(np.uint8))[first * _TWO_SIDES :]
        self._shifts = memoryview(
            self._tables["books"].view(np.int64)
        )[  # what it shows of displacement, likewise
            first * _BOOK_WORDS + state.BOOK.fields["shift"][1] // 8 :  # type: ignore[index]
        ]
        self.panels = Panels(panels or {}, instruments)
        self.dealer: Dealer | None = None
        if self.panels:
            self.dealer = Dealer(
                self.instruments, self.panels, wants=wants, config=self.config.otc, risk=self.risk, venue=self,
                open_market=open_market,
            )  # fmt: skip
            self._hear_closes(wakes)
            self.next = self._next_or_told  # only here: what has no panels does no work for them

    def _hear_closes(self, wakes: Sequence[Wake]) -> None:
        """Every account hears of every close, so that its panels and contracts go on; its strategy as it asked."""
        self._asked = [(wants_of(wake), frozenset(wake.symbols or self.symbols)) for wake in wakes]
        self._tables["accounts"]["wants"] |= state.WANT_CLOSE
        for symbol in self.panels.markets:
            i = self._index[symbol]
            self._tables["ledger"].reshape(len(self.accounts), -1)["wanted"][:, i] = 1
            book = self._tables["books"][self._seen_from + i]
            book["interest"] += book["wants"] == 0
            self.world["n_wanting"] += book["wants"] & ~state.WANT_PROBE == 0
            book["wants"] |= state.WANT_CLOSE

    # --- memory -----------------------------------------------------------------------------------------------

    def _own(self, name: str, table: NDArray[Any]) -> NDArray[Any]:
        """Keep a table alive and tell the kernel where it is."""
        self._tables[name] = table
        self.world[f"p_{name}"] = table.ctypes.data
        return table

    def _size_tables(self, sessions: Sequence[Any], actions: Sequence[Any]) -> None:
        n, accounts = len(self.instruments), len(self.accounts)
        books = 2 * n if self._two_cursors else n
        sources = max((instrument.source for instrument in self.instruments), default=0) + 1
        w = self.world[0]
        w["n_books"], w["n_instruments"], w["n_accounts"] = books, n, accounts
        w["two_cursors"], w["seen_from"] = self._two_cursors, books - n
        w["cap_far"], w["cap_takes"], w["cap_orders"] = 4 * state.WINDOW, 2 * SPARE, 1024
        w["cap_arrivals"], w["cap_reports"], w["cap_inbox"] = 8192, 65_536, _INBOX_SIZE
        w["cap_records"], w["cap_group"], w["cap_market"] = 65_536, 256, 4096
        w["cap_shifts"] = 1024 + n
        w["n_currencies"] = len(self.currencies)
        w["n_sessions"], w["n_actions"], w["n_sources"] = len(sessions), len(actions), sources
        w["single_source"] = sources == 1
        for name, dtype, length in (
            ("books", state.BOOK, books),
            ("sides", state.SIDE, 2 * books),
            ("sizes", np.dtype(np.int64), 2 * books * state.WINDOW),
            ("far", state.LEVEL, 2 * books * 4 * state.WINDOW),
            ("takes", state.TAKE, 2 * SPARE),
            ("accounts", state.ACCOUNT, accounts),
            ("ledger", state.LEDGER, accounts * n),
            ("orders", state.ORDER, 1024),
            ("arrivals", state.ARRIVAL, 8192),
            ("reports", state.REPORT, 65_536),
            ("inbox", state.INBOX, _INBOX_SIZE),
            ("records", RECORD, 65_536),
            ("group", ROW, 256),
            ("shifts", state.SHIFT, 1024 + n if self._two_cursors else 0),
            ("touched", np.dtype(np.int64), books),
            ("sessions", state.SESSION, max(1, len(sessions))),
            ("actions", state.ACTION, max(1, len(actions))),
            ("sources", np.dtype(np.int64), 2 * sources),
            ("market", state.MARKET, 4096),
            ("purses", state.PURSE, accounts * len(self.currencies)),
            ("rings", np.dtype(np.int64), accounts * (state.FILL_RING + 2 * state.REPEAT_RING)),
        ):
            self._own(name, np.zeros(length, dtype))
        self._tables["unseen"] = np.empty(0, ROW)
        self._link_free_orders(0, 1024)
        for name in ("next_expiry", "next_timer", "next_receipt", "first_ts"):
            w[name] = NEVER
        w["last_seq"] = w["seen_seq"] = -1
        w["last_ts"] = -NEVER

    def _link_free_orders(self, start: int, end: int) -> None:
        orders = self._tables["orders"]
        orders["next"][start:end] = np.arange(start + 1, end + 1)
        self.world["free_order"] = start

    def _set_models(self, seed: int) -> None:
        w, c, r = self.world[0], self.config, self.risk
        w["seed"] = seed
        latency = c.latency
        for leg, model in (("entry", latency.entry), ("response", latency.response), ("feed", latency.feed)):
            if isinstance(model, Lognormal):
                w[f"{leg}_floor"] = model.floor_ns
                self._own(f"{leg}_table", quantile_table(model))
            elif leg != "feed":
                w[leg] = model
        if not isinstance(c.impact, NoImpact):
            trades = [i.book != "NONE" or i.symbol in c.impact.market for i in self.instruments]
            impacts, table = prepare(c.impact, [s for s, is_one in zip(self.symbols, trades, strict=True) if is_one])
            states = self._own("impacts", np.zeros(len(self.instruments), impacts.dtype))
            states["cell"] = 1  # of what has neither book nor trades, so that nothing of ours trades there
            states[trades] = impacts
            self._own("impact_table", table)
            self.displaces = c.impact.mode == "footprint"
            w["impact"] = FOOTPRINT if self.displaces else COST
        w["feed_recorded"] = latency.feed == "recorded"
        w["lag"] = latency.feed if isinstance(latency.feed, int) else 0
        w["feed"] = 0 if self._two_cursors else w["lag"]
        w["now_v"] = -w["feed"]  # before the first row the strategies' clock shows 0
        w["queue_model"], w["queue_exponent"] = _QUEUES[c.queue.model], c.queue.exponent
        w["maker_per_unit"], w["taker_per_unit"] = c.fees.maker_per_unit, c.fees.taker_per_unit
        w["maker_ppm"], w["taker_ppm"] = c.fees.maker_ppm, c.fees.taker_ppm
        w["outside_fills"], w["stop_by_quote"] = c.fills.outside, c.fills.stop_trigger == "quote"
        w["borrow_ppm"], w["borrow_days"] = c.borrow.rate_ppm, c.borrow.day_count
        w["track_orders"] = c.queue.model == "fifo" and any(i.book == "L3" for i in self.instruments)
        for name in [
            "expiry_ns",
            "repeats",
            "stale_ns",
            "max_size",
            "max_notional",
            "collar_ppm",
            "burst",
            "max_open",
            "max_open_account",
            "max_position",
            "max_gross",
            "max_net",
            "margin_ppm",
            "fills_per_second",
            "daily_loss",
            "drawdown",
            "participation_ppm",
        ]:
            w[name] = getattr(r, name)
        w["rate"] = r.orders_per_second
        w["self_trade_cancels"] = r.self_trade == "cancel_resting"
        if r.fills_per_second > state.FILL_RING or r.repeats >= state.REPEAT_RING:
            raise ConfigError(
                f"risk: fills_per_second may be at most {state.FILL_RING}, repeats {state.REPEAT_RING - 1}"
            )
        unknown = set(r.restricted) - set(self.symbols)
        if unknown:
            raise ConfigError(
                f"risk.restricted names {sorted(unknown)}, which this run does not trade ({self.symbols})"
            )

    def _set_instruments(self) -> None:
        books = self._tables["books"]
        for book in range(len(books)):
            i = book % len(self.instruments)
            instrument, b = self.instruments[i], books[book]
            money = instrument.money
            b["kind"], b["levels"] = _BOOKS[instrument.book], instrument.levels
            b["grid"] = b["tick"] = instrument.tick
            b["lot"], b["source"], b["instrument"] = instrument.lot, instrument.source, i
            b["money_num"], b["money_den"] = money.numerator, money.denominator
            b["negative"] = instrument.allows_negative_price
            b["restricted"] = instrument.symbol in self.risk.restricted
            b["state"] = 3  # OPEN until a STATUS row says otherwise
            b["currency"] = self.currencies.index(instrument.currency)

    def _set_sessions(self, sessions: Sequence[tuple[int, int]], actions: Sequence[CorporateAction]) -> None:
        table = self._tables["sessions"]
        for k, (start, end) in enumerate(sessions):
            if end <= start or (k and start < sessions[k - 1][1]):
                raise TapeError(f"session {k} is [{start}, {end}): sessions must be in order and not overlap")
            table[k]["open"], table[k]["close"] = start, end
            table[k]["days_to_next"] = _days(start, sessions[k + 1][0]) if k + 1 < len(sessions) else 1
        for k, action in enumerate(actions):
            a = self._tables["actions"][k]
            a["ts"], a["book"] = action.ts_event, self._index[action.symbol]
            a["kind"] = {"dividend": 1, "split": 2}[action.kind]
            share = Fraction(action.numerator, action.denominator)
            if action.kind == "dividend":  # money a size unit
                share *= Fraction(self.instruments[a["book"]].size_unit) * MICRO
            a["numerator"], a["denominator"] = share.numerator, share.denominator

    def _set_probes(self, probes: Sequence[Sequence[Probe]], wakes: Sequence[Wake]) -> None:
        """A place in the tables for each probe; accounts that ask for the same share one."""
        self.probed = [{probe.symbol: probe for probe in owned} for owned in probes]
        different = list(dict.fromkeys(probe for owned in probes for probe in owned))
        self.world["n_probes"] = len(different)
        table = self._own("probes", np.zeros(len(different), state.PROBE))
        features = self._own("features", np.zeros(len(different), state.FEATURE_STATE))
        self._own("values", np.zeros(state.N_VALUES * len(different), "<f8"))
        self._own("chances", np.zeros(state.N_CHANCES * len(different), "<f8"))
        trees = self._own("trees", np.zeros(len(different), state.TREES))
        models = {probe: model for probe in different if (model := model_of(probe))}
        for k, probe in enumerate(different):
            if probe.symbol not in self._index:
                raise ConfigError(f"a probe names {probe.symbol!r}, but this run has {self.symbols}")
            i = self._index[probe.symbol]
            features[k]["price_tick"], features[k]["by_quote"] = self.instruments[i].tick, probe.clock == "quote"
            book = self._tables["books"][self._seen_from + i]
            table[k]["next"], book["probe"] = book["probe"], k + 1
            book["wants"] |= state.WANT_PROBE
            if probe in models:
                trees[k] = models[probe].trees.record()[0]
        self._models = models  # whose arrays the kernel reads
        self.models = [{one.symbol: models[one].manifest for one in owned if one in models} for owned in probes]
        for account, owned in enumerate(probes):
            check_probes(owned, signal=wakes[account].signal, who=f"account {self.accounts[account].name}")
            for probe in owned:
                place = account * len(self.instruments) + self._index[probe.symbol]
                self._tables["ledger"][place]["probe"] = 1 + different.index(probe)

    def _set_accounts(self, wakes: Sequence[Wake], wants: Sequence[tuple[bool, bool]]) -> None:
        accounts, ledger, books = self._tables["accounts"], self._tables["ledger"], self._tables["books"]
        n = len(self.instruments)
        for k, (account, wake, (fills, orders)) in enumerate(zip(self.accounts, wakes, wants, strict=True)):
            a = accounts[k]
            a["head"] = a["tail"] = -1
            a["wants_fill"], a["wants_order"] = fills, orders
            a["wants"], a["mid_ticks"], a["every"] = wants_of(wake), wake.mid_moved_ticks, wake.every_ns
            a["timer"] = a["wake_at"] = NEVER
            a["woken_at"] = -1
            a["signal"], a["above"] = WISHES.index(wake.signal), wake.above
            for c, currency in enumerate(self.currencies):
                self._tables["purses"][k * len(self.currencies) + c]["start"] = account.cash.get(currency, 0)
            a["tokens"] = self.risk.burst * 1_000_000_000
            for symbol in wake.symbols or self.symbols:
                if symbol not in self._index:
                    raise ConfigError(f"Wake.symbols names {symbol!r}, but this run has {self.symbols}")
                i = self._index[symbol]
                ledger[k * n + i]["wanted"] = 1
                bits = wants_of(wake)
                if not ledger[k * n + i]["probe"]:
                    bits &= ~state.WANT_SIGNAL
                books[self._seen_from + i]["wants"] |= bits
        books["interest"] += books["wants"] != 0
        self.world["n_wanting"] = int((books["wants"] & ~state.WANT_PROBE != 0).sum())
        self._tables["sides"]["own_head"] = -1

    def make_room(self) -> None:
        """Enlarge what is nearly full, for who walks the rows with other kernels."""
        self._grow()

    def _grow(self) -> None:
        """Double whatever is nearly full; the kernel goes on where it was."""
        w, tables = self.world[0], self._tables
        sides = tables["sides"]
        if (sides["n_far"] + 2 * state.WINDOW > w["cap_far"]).any():
            old, cap = tables["far"].reshape(len(sides), -1), int(w["cap_far"])
            new = np.zeros((len(sides), 2 * cap), state.LEVEL)
            new[:, :cap] = old
            self._own("far", new.reshape(-1))
            w["cap_far"] = 2 * cap
        if 2 * w["n_market"] > w["cap_market"]:
            old = tables["market"]
            self._own("market", np.zeros(2 * len(old), state.MARKET))
            w["cap_market"] = 2 * len(old)
            rehash(self.world, old)
        for name, full in (
            ("takes", w["n_takes"] + SPARE > w["cap_takes"]),
            ("records", SPARE + 4 * w["n_live"] > w["cap_records"]),
            ("group", w["n_group"] >= w["cap_group"]),
            ("shifts", w["shifts_tail"] + w["n_instruments"] > w["cap_shifts"]),
            ("orders", w["n_live"] + w["n_inbox"] + 1 > w["cap_orders"]),
            ("reports", w["reports_tail"] + SPARE + 4 * w["n_live"] > w["cap_reports"]),
            ("arrivals", w["arrivals_tail"] + w["n_inbox"] * (1 + w["n_live"] + w["n_inbox"]) > w["cap_arrivals"]),
        ):
            if full:
                old = tables[name]
                more = (
                    max(len(old), int(w["n_inbox"] * (1 + w["n_live"] + w["n_inbox"])))
                    if name == "arrivals"
                    else len(old)
                )
                new = np.zeros(len(old) + more, old.dtype)
                new[: len(old)] = old
                self._own(name, new)
                w[f"cap_{name}"] = len(new)
                if name == "orders":
                    last = int(w["free_order"])
                    self._link_free_orders(len(old), len(new))
                    new["next"][len(new) - 1] = last
        w["need"] = 0

    def _flush(self) -> None:
        count = self._mem[_AT["n_records"]]
        if count:
            self._mem[_AT["n_records"]] = 0
            self.journal.append(self._tables["records"][:count])

    # --- the loop's side ----------------------------------------------------------------------------------------

    def load(self, rows: NDArray[np.void]) -> None:
        """Hand over ROW[n]; earlier rows must be used up. They are read in place, also from a read-only map.

        Raises
        ------
        TapeError
            If they are not rows, or not one block of memory.
        """
        if rows.dtype != ROW or rows.ndim != 1:
            raise TapeError(f"load takes ROW[n], not {rows.dtype}[{rows.ndim} dimensions]")
        if not rows.flags.c_contiguous:
            rows = np.ascontiguousarray(rows)
        mem = self._mem
        if mem[_AT["row"]] != mem[_AT["n_rows"]]:
            raise RunError(f"{mem[_AT['n_rows']] - mem[_AT['row']]} rows of the last load have not been used yet")
        dropped = seen = mem[_AT["seen_row"]] if self._two_cursors else mem[_AT["row"]]
        if seen < mem[_AT["row"]]:
            rows, dropped = self._behind_unseen(rows, seen)
        self._tables["rows"] = rows
        mem[_AT["base"]] += dropped
        mem[_AT["rows_before"]] += dropped
        mem[_AT["row"]] -= dropped
        mem[_AT["seen_row"]] = seen - dropped
        mem[_AT["p_rows"]] = rows.ctypes.data  # its __array_interface__ would describe every field first: 14 us
        mem[_AT["n_rows"]] = len(rows)

    def _behind_unseen(self, rows: NDArray[np.void], seen: int) -> tuple[NDArray[np.void], int]:
        """New rows behind those that strategies have not received yet; and how many old ones that leaves out."""
        old, store = self._tables["rows"], self._tables["unseen"]
        if np.may_share_memory(old, store) and len(old) + len(rows) <= len(store):
            seen = 0
        else:  # twice as long as needed, so that a row is copied few times however small the bites are
            old = old[seen:]
            store = self._tables["unseen"] = np.empty(max(4096, 2 * (len(old) + len(rows))), ROW)
            store[: len(old)] = old
        end = len(old) + len(rows)
        store[len(old) : end] = rows
        return store[:end], seen

    def next(self) -> events.AnyEvent | None:
        """Run on to the next wake: the event, and ``self.account`` whom it wakes; None when the rows are used up."""
        advance, world = self._advance, self.world  # names of their own: a call of an attribute is slower
        while True:
            code = advance(world)
            if code >= 0:  # the common case, kept short: a timer's time
                self.clock = code
                if self._is_shared:
                    self.account = self._mem[_EV_ACCOUNT]
                if self._wake_heaps[self.account]:
                    self._rearm(self.account, code)
                return _Timer(code)
            if code == _LEVEL_CODE:
                self.clock, ts, i, side, price, size = _LEVEL.unpack(self._level)
                if self._is_shared:
                    self.account = self._mem[_EV_ACCOUNT]
                return _Depth(ts, self.symbols[i], side, price, size)
            if code == _EVENT_CODE:
                head = _HEAD.unpack_from(self._raw, self._event_at)
                kind, self.account, self.clock, ts, i, side, price, size, flags = head
                if kind == _TRADE:
                    return events.Trade(ts, self.symbols[i], side, price, size, flags)
                return self._event(kind, ts, i, side, price, size, flags)
            if code == state.DONE:
                return None
            if code == state.FLUSH:
                self._flush()
            else:
                self._grow()

    def _rearm(self, account: int, ts: int) -> None:
        """One-off timers up to ``ts`` have had their wake; the kernel learns of the next."""
        heap = self._wake_heaps[account]
        if heap[0] <= ts:
            while heap and heap[0] <= ts:
                heapq.heappop(heap)
            if heap:
                self._request(WAKE_AT, account, 0, expire=heap[0])

    def _next_or_told(self) -> events.AnyEvent | None:
        """``next`` where there are panels: closes pass the dealer, and what it has to tell comes first."""
        dealer = self.dealer
        assert dealer is not None
        if dealer.dealing >= 0:
            dealer.finish()
            self._write_deals()
        while True:
            while dealer.told:
                self.account, event = dealer.told.popleft()
                if type(event) is events.Close and event.symbol in self.panels.markets:
                    dealer.dealing = self.account
                return event
            event = SimulatedBroker.next(self)
            if event is None:
                if not self._mem[_AT["finishing"]] or not dealer.waits:
                    return None
                dealer.end(self._moment(self.clock))
                self._write_deals()
            elif type(event) is not events.Close:
                if self._is_asked(event):
                    return event
            else:
                self._close_market(event)

    def _close_market(self, event: events.Close) -> None:
        """An account hears of a close: the dealer does what is due, then the strategy is woken if it asked for it."""
        dealer, i = self.dealer, self._index[event.symbol]
        assert dealer is not None
        if event.symbol in self.panels.markets:
            if self.panels.close(event.symbol, event.panel_day):
                dealer.new_day(i)
            dealer.close(self.account, i, self._moment(event.ts_event))
            self._write_deals()
        wants, symbols = self._asked[self.account]
        if wants & state.WANT_CLOSE and event.symbol in symbols:
            dealer.told.append((self.account, event))

    def _is_asked(self, event: events.AnyEvent) -> bool:
        """False of what the kernel tells an account only because it must hear of all closes."""
        symbol = getattr(event, "symbol", None)
        return symbol is None or isinstance(event, events.OrderEvent) or symbol in self._asked[self.account][1]

    def _moment(self, ts: int) -> Moment:
        return Moment(ts, self.clock, *self.cause)

    def _write_deals(self) -> None:
        assert self.dealer is not None
        records = self.dealer.take()
        if len(records):
            self._flush()  # what the kernel has written came before
            self.journal.append(records)

    def finish(self) -> None:
        """No more rows: ``next`` now delivers what is still to be told."""
        self._mem[_AT["finishing"]] = max(1, self._mem[_AT["finishing"]])

    def close(self) -> None:
        """Write the last records; the ledger and the fingerprint stay readable."""
        self._flush()

    def _event(self, kind: int, ts: int, i: int, side: int, price: int, size: int, flags: int) -> events.AnyEvent:
        price2, size2, order, reason, extra, leaves = _REST.unpack_from(self._raw, self._event_at + _HEAD.size)
        if kind == state.EV_REPORT:
            symbol = self.symbols[i] if 0 <= i < len(self.symbols) else ""
            if extra == R_FILL:
                return events.Filled(ts, order, symbol, side, price, size, leaves, bool(flags), size2)
            if extra == _R_ACCEPT or extra == _R_REPLACE:
                return events.Accepted(ts, order, symbol, extra == _R_REPLACE)
            if extra == R_CANCEL:
                return events.Cancelled(ts, order, symbol, size, _REASONS[reason])
            if extra == R_EXPIRE:
                return events.Expired(ts, order, symbol, size, _REASONS[reason])
            return events.Rejected(ts, order, symbol, _REASONS[reason])
        if kind == state.EV_SIGNAL:
            signal = self.signal(self.account, i)
            assert signal is not None
            return signal
        symbol = self.symbols[i]
        if kind == state.EV_QUOTE:
            return events.Quote(ts, symbol, price, price2, size, size2)
        if kind == Kind.BAR:
            return events.Bar(ts, symbol, order, price, price2, size2, size)
        if kind == Kind.CLOSE:
            return events.Close(ts, symbol, order)
        return events.Status(ts, symbol, extra, price, size, size2)

    # --- the desk's side ------------------------------------------------------------------------------------------

    def submit(
        self,
        account: int,
        instrument: int,
        side: int,
        *,
        type: int = OrderType.LIMIT,
        tif: int = TimeInForce.DAY,
        flags: int = 0,
        price: int = 0,
        size: int,
        stop: int = 0,
        display: int = 0,
        expire_ts: int = 0,
    ) -> int:
        """Send an order; returns its number (1, 2, 3, ... in the account)."""
        return self.send(account, instrument, side, type, tif, flags, price, size, stop, display, expire_ts)

    def send(
        self,
        account: int,
        instrument: int,
        side: int,
        type: int,
        tif: int,
        flags: int,
        price: int,
        size: int,
        stop: int,
        display: int,
        expire_ts: int,
    ) -> int:
        """``submit`` with everything by position."""
        while True:
            number = self.send_now(
                self.world, account, instrument, side, type, tif, flags, price, size, stop, display, expire_ts
            )
            if number:
                return number
            self._drain()  # the inbox was full

    def _request(
        self, op: int, account: int, book: int, order_no: int = 0, price: int = 0, size: int = 0, expire: int = 0
    ) -> None:
        while not self._ask(self.world, op, account, book, order_no, price, size, expire):
            self._drain()

    def deal(self, account: int, terms: Contract, side: int, size: int) -> int:
        """Deal over the counter on the close that the account was just woken by; returns the order's number."""
        assert self.dealer is not None
        numbers = self._tables["accounts"]["sent"]
        numbers[account] += 1
        self.dealer.deal(account, terms, side, size, int(numbers[account]), self._moment(self.clock))
        return int(numbers[account])

    def cancel(self, account: int, order_no: int) -> None:
        """Ask for an order to be cancelled; a deal that waits for a close is cancelled at once."""
        if self.dealer is not None and self.dealer.cancel(account, order_no, self._moment(self.clock)):
            self._write_deals()
            return
        self._request(Op.CANCEL, account, 0, order_no)

    def replace(self, account: int, order_no: int, price: int, size: int) -> None:
        """Ask for a new limit price and open size."""
        self._request(Op.REPLACE, account, 0, order_no, price, size)

    def cancel_all(self, account: int, instrument: int = -1) -> None:
        """Ask for every order to be cancelled that the account does not know to be ended."""
        if self.dealer is not None:
            self.dealer.cancel(account, None, self._moment(self.clock), market=instrument)
            self._write_deals()
        ask = self._ask
        while not ask(self.world, _CANCEL_ALL, account, instrument, 0, 0, 0, 0):
            self._drain()

    def wake_at(self, account: int, ts: int) -> None:
        """One TIMER event at ``ts`` of the strategy's clock; none where a timer has already rung at this very time."""
        if ts <= self.clock and self._tables["accounts"][account]["woken_at"] == self.clock:
            return
        heap = self._wake_heaps[account]
        heapq.heappush(heap, ts)
        if heap[0] == ts:
            self._request(WAKE_AT, account, 0, expire=ts)

    def kill(self, account: int) -> None:
        """Latch the account's kill switch now: working orders are cancelled, new ones refused."""
        self._drain()
        kill_account(self.world, account)
        if self.dealer is not None:
            self.dealer.cancel(account, None, self._moment(self.clock), reason=Reason.KILLED)
            self._write_deals()

    def is_killed(self, account: int) -> bool:
        """Whether the account's kill switch is latched."""
        return bool(self._tables["accounts"]["killed"][account])

    def orders_sent(self, account: int) -> int:
        """The number of the account's last order."""
        return int(self._tables["accounts"]["sent"][account])

    def rearm(self, account: int) -> None:
        """Let an account trade again after ``kill``."""
        self._drain()
        self._tables["accounts"]["killed"][account] = 0

    def _drain(self) -> None:
        """Send what is in the inbox, without going on in time."""
        while (code := take_requests(self.world)) != state.DONE:
            if code == state.FLUSH:
                self._flush()
            else:
                self._grow()

    def now(self, account: int) -> int:
        """The strategy's clock, ns UTC."""
        return self.clock

    def quote(self, instrument: int) -> tuple[int, int, int, int]:
        """(bid, ask, bid size, ask size) as the strategy sees them now; a size of 0 is an empty side."""
        bid, bid_size, ask, ask_size = _QUOTE.unpack_from(self._sides, instrument * _TWO_SIDES)
        if self.displaces and (shift := self._shifts[instrument * _BOOK_WORDS]):
            return bid + shift * (bid_size > 0), ask + shift * (ask_size > 0), bid_size, ask_size
        return bid, ask, bid_size, ask_size

    def levels(self, instrument: int, side: int, n: int) -> list[tuple[int, int]]:
        """The best n levels of a side, as (price, size)."""
        out = np.empty((n, 2), np.int64)
        count = read_levels(self.world, self._seen_from + instrument, side, out)
        return [(price, size) for price, size in out[:count].tolist()]

    def volume(self, instrument: int) -> int:
        """Market volume of the session so far, size units, ours excluded."""
        return int(self._tables["books"][self._seen_from + instrument]["volume"])

    def signal(self, account: int, instrument: int) -> events.Signal | None:
        """What the account's probe of an instrument measured last; None if nothing yet, or if there is none."""
        k = int(self._tables["ledger"][account * len(self.instruments) + instrument]["probe"]) - 1
        if k < 0 or not (probe := self._tables["probes"][k])["seen"]:
            return None
        first, symbol = k * state.N_VALUES, self.symbols[instrument]
        numbers = self._tables["values"][first : first + state.N_VALUES].tobytes()
        if symbol in self.models[account]:
            first = k * state.N_CHANCES
            numbers += self._tables["chances"][first : first + state.N_CHANCES].tobytes()
        return events.Signal(int(probe["ts"]), symbol, int(probe["tick"]), numbers)

    def position(self, account: int, instrument: int) -> int:
        """Size units held, as far as the account has heard."""
        return int(self._tables["ledger"][account * len(self.instruments) + instrument]["seen_position"])

    def cash(self, account: int, currency: str) -> int:
        """Money in a currency, as far as the account has heard."""
        n = len(self.instruments)
        moved = self._tables["ledger"]["seen_cash"][account * n : (account + 1) * n]
        dealt = 0 if self.dealer is None else self.dealer.cash(account, currency)
        return (
            self.accounts[account].cash.get(currency, 0)
            + dealt
            + sum(int(moved[i]) for i, instrument in enumerate(self.instruments) if instrument.currency == currency)
        )

    def open_orders(self, account: int, instrument: int = -1) -> list[tuple[int, int, int, int, int]]:
        """Orders not known to be ended, by number: (order_no, instrument, side, price, open size)."""
        self._drain()
        out = np.empty((64, 5), np.int64)
        while (count := read_orders(self.world, account, instrument, out)) > len(out):
            out = np.empty((count, 5), np.int64)
        orders = [tuple(row) for row in out[:count].tolist()]
        if self.dealer is None:
            return orders
        waiting = [order for order in self.dealer.waiting(account) if instrument in (-1, order[1])]
        return sorted(orders + waiting)

    def mark(self, instrument: int) -> int | None:
        """The price at which a position is valued, or None before anything is known."""
        found, price = read_mark(self.world, instrument)
        return price if found else None

    @property
    def next_timer(self) -> int:
        """The earliest timer of any strategy, on the strategies' clock (2^62: none)."""
        due = self._mem[_NEXT_TIMER]
        return due + self.feed if due < NEVER else NEVER

    @property
    def seen_books(self) -> NDArray[np.void]:
        """BOOK[instruments] as strategies see them."""
        return self._tables["books"][self._seen_from :]

    @property
    def rows_seen(self) -> int:
        """Rows that strategies have seen so far, CLOCK rows included."""
        return self._mem[_AT["rows_before"]] + self._mem[_AT["seen_row" if self._two_cursors else "row"]]

    @property
    def cause(self) -> tuple[int, int]:
        """(source, sequence number within it) of the last row that strategies saw; (0, -1) before the first."""
        cursor = "seen" if self._two_cursors else "last"
        return self._mem[_AT[f"{cursor}_source"]], self._mem[_AT[f"{cursor}_seq"]]

    @property
    def ledger(self) -> NDArray[np.void]:
        """LEDGER[accounts, instruments]: positions, cash, fees, cost and realised P/L as the venue has them."""
        return self._tables["ledger"].reshape(len(self.accounts), len(self.instruments))


def _entry(kernel: Any) -> Callable[..., int]:
    """The compiled function itself, without numba's look at the argument types: a crossing costs half."""
    return kernel.overloads[kernel.signatures[0]].entry_point


def _days(start: int, following: int) -> int:
    """Calendar days (UTC) between the dates of two times."""
    one, two = (datetime.fromtimestamp(ts // 1_000_000_000, UTC).date() for ts in (start, following))
    return (two - one).days
