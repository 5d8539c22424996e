"""What any fill model must keep, on both brokers: metamorphic laws of queues, takes and sides."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scenarios import compiled, scenarios

from engine.broker.impact import NoImpact
from engine.broker.models import BrokerConfig, Latency, Queue, RiskConfig
from engine.instruments import Instrument
from engine.journal import Adjustment, RecordKind
from engine.orders import OrderType, TimeInForce
from engine.strategy import Wake
from engine.tape import ROW, Flag, Kind, Manifest, State, Tape
from engine.testing import generators as g
from engine.testing.drive import Scenario, drive
from engine.testing.generators import Step
from engine.testing.reference import ReferenceBroker
from engine.testing.reference_book import Book, Row

SLOW_WAY = BrokerConfig(latency=Latency(feed=1, entry=2, response=3), impact=NoImpact())
NO_LIMITS = RiskConfig(stale_ns=0, collar_ppm=0, max_notional=0)
NOTHING = Step("nothing", 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0)
WATCH = Wake(on_quote=True, on_trade=True, on_depth=True, on_bar=True, on_close=True, on_status=True)


BROKERS = {"reference": lambda: ReferenceBroker, "compiled": compiled}
on_both = pytest.mark.parametrize("name", list(BROKERS))


def order(side: int, ticks: int, size: int, tif: TimeInForce = TimeInForce.GTC) -> Step:
    return Step("new", 0, side, int(OrderType.LIMIT), int(tif), 0, ticks, size, 0, 0, 0, 0)


def play(make, tape: Tape, *programs: list[Step], queue: str = "pessimistic"):
    """Records of programs, one an account, woken by every group of rows and by nothing else."""
    config = msgspec.structs.replace(SLOW_WAY, queue=Queue(model=queue))
    wakes, wants = [WATCH] * len(programs), [(False, False)] * len(programs)
    return drive(make, Scenario(tape, list(programs), wakes, config, NO_LIMITS, wants=wants)).records


class Filled:
    """How much of one order had been filled by when."""

    def __init__(self, records: np.ndarray, account: int = 0, number: int = 1) -> None:
        mine = [r for r in records if (r["kind"], r["account"], r["order_no"]) == (RecordKind.FILL, account, number)]
        self.times = [int(r["ts"]) for r in mine]
        self.sums = list(accumulate(int(r["size"]) for r in mine))

    def by(self, ts: int) -> int:
        at = bisect_right(self.times, ts)
        return self.sums[at - 1] if at else 0


def never_ahead(behind: Filled, ahead: Filled, most: int = 2**60) -> bool:
    """``behind`` has at no time more than ``ahead``, counted up to ``most``."""
    return all(min(behind.by(ts), most) <= ahead.by(ts) for ts in behind.times)


def shows_nothing(tape: Tape, ts: int, side: int) -> bool:
    """Whether a side of the first instrument's book was empty, where only its best levels are observed."""
    book = Book(tape.manifest.instruments[0].levels)
    for row in tape.rows[(tape.rows["instrument"] == 0) & (tape.rows["ts_event"] <= ts)]:
        book.apply(Row(*row.item()))
    return book.levels > 0 and not book.real(side)


sides, ticks, sizes = st.sampled_from((1, -1)), st.integers(-3, 3), st.sampled_from((2, 10, 80))
one_day = g.tapes("L2", days=1)


@on_both
@given(
    tape=g.tapes("any", days=1), side=sides, tick=ticks, size=sizes, start=st.integers(0, 8), later=st.integers(1, 8)
)
def test_a_later_arrival_never_fills_earlier(name, tape, side, tick, size, start, later) -> None:
    this = order(side, tick, size)
    early = play(BROKERS[name](), tape, [NOTHING] * start + [this])
    late = play(BROKERS[name](), tape, [NOTHING] * (start + later) + [this])
    if any(r["kind"] == RecordKind.REJECT for r in early):
        return  # an order that was refused cannot be first
    if any(r["kind"] == RecordKind.ACCEPT and r["ts"] < tape.sessions[0][0] for r in early):
        return  # what rests at the open meets a book of before it only with the next row, what arrives then at once
    if any(r["kind"] == RecordKind.ACCEPT and shows_nothing(tape, int(r["ts"]), side) for r in late):
        return  # it knows its place; one that rested beyond the observed levels is not told that these are empty
    assert never_ahead(Filled(late), Filled(early))


@on_both
@given(tape=g.tapes("any", days=1), side=sides, tick=ticks, size=sizes, more=sizes, start=st.integers(0, 8))
def test_adding_own_size_never_fills_the_first_part_earlier(name, tape, side, tick, size, more, start) -> None:
    small = play(BROKERS[name](), tape, [NOTHING] * start + [order(side, tick, size)])
    large = play(BROKERS[name](), tape, [NOTHING] * start + [order(side, tick, size + more)])
    assert never_ahead(Filled(large), Filled(small), most=size)


@on_both
@given(tape=g.tapes("any", days=1), side=sides, tick=ticks, other=ticks, size=sizes, start=st.integers(0, 8))
def test_an_order_of_another_account_before_ours_never_helps_us(name, tape, side, tick, other, size, start) -> None:
    ours = [NOTHING] * (start + 1) + [order(side, tick, size)]
    alone = play(BROKERS[name](), tape, [], ours)
    beside = play(BROKERS[name](), tape, [NOTHING] * start + [order(side, other, size)], ours)
    assert never_ahead(Filled(beside, account=1), Filled(alone, account=1))


@on_both
@given(
    tape=g.tapes("any", days=1), side=sides, tick=ticks, worse=st.integers(0, 3), size=sizes, start=st.integers(0, 8)
)
def test_better_price_then_earlier_place_fills_first(name, tape, side, tick, worse, size, start) -> None:
    first, second = order(side, tick, size), order(side, tick - side * worse, size)
    records = play(BROKERS[name](), tape, [NOTHING] * start + [first], [NOTHING] * start + [second])
    if any(r["kind"] == RecordKind.REJECT for r in records):
        return
    assert never_ahead(Filled(records, account=1), Filled(records, account=0))


@on_both
@given(tape=g.tapes("any", days=1), side=sides, tick=ticks, size=sizes, start=st.integers(0, 8), data=st.data())
def test_no_queue_model_is_more_pessimistic_than_pessimistic(name, tape, side, tick, size, start, data) -> None:
    program = [NOTHING] * start + [order(side, tick, size)]
    queue = data.draw(st.sampled_from(("probabilistic", "fifo")))
    hopeful = play(BROKERS[name](), tape, program, queue=queue)
    assert never_ahead(Filled(play(BROKERS[name](), tape, program)), Filled(hopeful))


def _quoted(rows: list[tuple], **instrument) -> Tape:
    """An L1 tape from (kind, side, price, size, price2, size2), a row each 10 ns."""
    array = np.zeros(len(rows), ROW)
    for at, (kind, side, price, size, price2, size2) in enumerate(rows):
        array[at] = (1_000 + 10 * at, 0, 0, price, size, price2, size2, 0, kind, side, 0, Flag.LAST)
    return Tape(array, Manifest(instruments=[Instrument(symbol="A", tick=1, **instrument)], sessions=[(0, 10**9)]))


@on_both
@given(ahead=st.integers(1, 50), trades=st.lists(st.integers(1, 20), max_size=12), size=st.integers(1, 30))
def test_an_order_never_fills_before_the_size_ahead_of_it_has_traded(name, ahead, trades, size) -> None:
    """At a touch that never changes the fill has a closed form: what traded beyond the size ahead."""
    quote = (Kind.QUOTE, 0, 100, ahead, 101, 7)
    sold = [(Kind.TRADE, -1, 100, traded, 0, 0) for traded in trades]
    records = play(BROKERS[name](), _quoted([quote, quote, quote, *sold]), [order(1, 0, size)])
    filled = Filled(records)
    for n, traded in enumerate(accumulate(trades)):
        assert filled.by(1_030 + 10 * n) == min(size, max(0, traded - ahead))


@on_both
@given(
    ahead=st.integers(1, 50),
    trades=st.lists(st.integers(1, 20), max_size=12),
    sizes=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    better=st.sampled_from((0, 2)),
)
def test_two_orders_share_each_trade_by_price_then_time(name, ahead, trades, sizes, better) -> None:
    """Also a closed form: whom a better price, else an earlier place, leaves how much of what trades."""
    quote = (Kind.QUOTE, 0, 100, ahead, 105, 7)
    sold = [(Kind.TRADE, -1, 100, traded, 0, 0) for traded in trades]
    programs = [[order(1, better, sizes[0])], [order(1, 0, sizes[1])]]
    records = play(BROKERS[name](), _quoted([quote, quote, quote, *sold]), *programs)
    first, second = Filled(records, account=0), Filled(records, account=1)
    for n, traded in enumerate(accumulate(trades)):
        ts = 1_030 + 10 * n
        if better:
            expected = min(sizes[0], traded)
            assert second.by(ts) == min(sizes[1], max(0, traded - expected - ahead))
        else:
            expected = min(sizes[0], max(0, traded - ahead))
            assert second.by(ts) == min(sizes[1], max(0, traded - ahead - expected))
        assert first.by(ts) == expected


@on_both
@given(
    shown=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    takes=st.lists(st.tuples(st.integers(0, 1), st.integers(1, 20)), min_size=6, max_size=6),
)
def test_displayed_size_is_used_once_whoever_takes_it(name, shown, takes) -> None:
    """All takes together get the first displayed size and every increase of it, no more."""
    quotes = [(Kind.QUOTE, 0, 99, 5, 100, size) for size in shown]
    programs: list[list[Step]] = [[], []]
    for account, size in takes:
        programs[account].append(order(1, 0, size, TimeInForce.IOC))
    # a wake needs a row: trades far from us wake everybody and change no level
    rows = [row for quote in quotes for row in (quote, (Kind.TRADE, 1, 300, 1, 0, 0))]
    records = play(BROKERS[name](), _quoted(rows), *programs)
    taken = sum(int(r["size"]) for r in records if r["kind"] == RecordKind.FILL)
    increases = sum(max(0, b - a) for a, b in zip([0, *shown], shown, strict=False))
    assert taken <= increases


@on_both
@given(scenario=scenarios(tight=False, impact=False))  # basis points of a price have no mirror
def test_the_mirrored_market_gives_the_mirrored_fills(name, scenario: Scenario) -> None:
    """Prices reflected, sides swapped: each order of ours meets the same fate."""
    plain = _without_odd_ends(scenario)
    left, right = drive(BROKERS[name](), plain).records, drive(BROKERS[name](), _mirrored(plain)).records
    if not isinstance(plain.config.latency.response, int):  # drawn by the count of an account's reports
        assume(not _has_borrowed(left) and not _has_borrowed(right))
    assert _fates(left) == _fates(right)


def _without_odd_ends(scenario: Scenario) -> Scenario:
    """What a mirror cannot show is left out: unknown sides, limits in ppm of a price, off-tick orders, money."""
    rows = scenario.tape.rows.copy()
    rows["side"][(rows["kind"] == Kind.TRADE) & (rows["side"] == 0)] = 1
    programs = [[NOTHING if step.do == "odd" else step for step in program] for program in scenario.programs]
    return Scenario(
        Tape(rows, scenario.tape.manifest), programs, scenario.wakes, scenario.config, NO_LIMITS,
        scenario.seed, 10**15, [(False, False)] * len(programs),
    )  # fmt: skip


def _mirrored(scenario: Scenario) -> Scenario:
    rows = scenario.tape.rows.copy()
    for row in rows:
        about = 2 * g.MIDDLE * scenario.tape.instruments[int(row["instrument"])].tick
        kind = row["kind"]
        if kind == Kind.QUOTE or (kind == Kind.STATUS and row["level"] == State.BAND):
            low, high = int(row["price"]), int(row["price2"])
            is_band = kind == Kind.STATUS
            row["price"] = 0 if is_band and not high else about - high
            row["price2"] = 0 if is_band and not low else about - low
            row["size"], row["size2"] = int(row["size2"]), int(row["size"])
        elif kind == Kind.BAR:
            for name in ("order_id", "price", "price2", "size2"):
                row[name] = about - row[name]
        elif kind not in (Kind.STATUS, Kind.CLOSE, Kind.CLEAR, Kind.CLOCK):
            row["price"] = about - row["price"]
        row["side"] = -row["side"]
    programs = [[_mirrored_step(step) for step in program] for program in scenario.programs]
    tape = Tape(rows, scenario.tape.manifest)
    return Scenario(**{**vars(scenario), "tape": tape, "programs": programs})


def _mirrored_step(step: Step) -> Step:
    stop = -step.stop if step.type in (OrderType.STOP, OrderType.STOP_LIMIT) else step.stop
    return step._replace(side=-step.side, ticks=-step.ticks, stop=stop)


def _has_borrowed(records: np.ndarray) -> bool:
    """Only who is short is told of a charge: a report that the mirrored account does not get."""
    return bool(((records["kind"] == RecordKind.ADJUST) & (records["number"] == Adjustment.BORROW)).any())


def _fates(records: np.ndarray) -> dict[tuple[int, int], list[tuple[int, ...]]]:
    fates: dict[tuple[int, int], list[tuple[int, ...]]] = {}
    for r in records:
        if r["order_no"]:
            told = tuple(int(r[name]) for name in ("kind", "ts", "size", "reason", "flags", "cause"))
            fates.setdefault((int(r["account"]), int(r["order_no"])), []).append(told)
    return fates
