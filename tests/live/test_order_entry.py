"""A program's side of the order path: whatever is lost, each request acts once and each report is heard once."""

from __future__ import annotations

import pytest
from fake_broker import FakeBroker
from hypothesis import given
from hypothesis import strategies as st

from engine import events
from engine.errors import RunError
from engine.live import messages as m
from engine.live.order_entry import BEAT_NS, PATIENCE_NS, SILENCE_NS, OrderEntry, Sent

PEER = b"peer"


def buy(limit: int = 100, size: int = 10, instrument: int = 0) -> m.Order:
    return m.Order(instrument, 1, 1, 0, 0, limit, size, 0, 0, 0)


class Pair:
    """A program and a broker, with a way between them that may lose frames."""

    def __init__(self) -> None:
        self.entry, self.broker = OrderEntry("desk"), FakeBroker()
        self.now = 0
        self.told: list[events.OrderEvent | m.Reject] = []

    def turn(self, *, lose_out: int = 0, lose_in: int = 0, wait: int = BEAT_NS) -> None:
        """Let time pass; what is said goes over, but for the first frames each way."""
        self.now += wait
        self.entry.pass_time(self.now, self.now)
        out, self.entry.outgoing = self.entry.outgoing, []
        back = [answer for frame in out[lose_out:] for answer in self.broker.take(PEER, frame)]
        for frame in back[lose_in:]:
            self.told += self.entry.take(self.now, frame)

    def send(self, cid: str, order: m.Order) -> Sent:
        made = Sent(cid, "XYZ", order.side, order.price, order.size)
        self.entry.ask(cid, [order], [made])
        return made


@pytest.fixture
def pair() -> Pair:
    pair = Pair()
    pair.turn()
    assert pair.entry.welcome is not None
    return pair


def test_an_order_is_received_accepted_and_filled(pair: Pair) -> None:
    order = pair.send("a.1", buy())
    assert (order.status, order.number, order.is_open) == ("SENT", 0, True)
    pair.turn()
    assert [type(event) for event in pair.told] == [events.Accepted, events.Filled]
    assert (order.status, order.number, order.leaves, order.is_open) == ("ENDED", 1, 0, False)
    assert pair.entry.positions == {"XYZ": 10}
    assert pair.entry.open_orders() == []


def test_silence_is_not_a_refusal_and_the_request_acts_once(pair: Pair) -> None:
    order = pair.send("a.1", buy(limit=90))
    pair.turn(lose_in=10)  # the broker has it, and we do not know
    assert order.status == "SENT"
    pair.turn(wait=SILENCE_NS + 1)  # Hello
    pair.turn()  # and the same again
    assert (order.status, order.number) == ("WORKING", 1)
    assert pair.broker.numbers == 1
    assert [type(event) for event in pair.told] == [events.Accepted]


def test_an_answer_lost_while_the_way_stays_open_is_asked_for_again(pair: Pair) -> None:
    order = pair.send("a.1", buy(limit=90))
    pair.turn(lose_in=2)
    for _ in range(4):
        pair.turn()
    assert (order.status, order.number, pair.broker.numbers) == ("WORKING", 1, 1)


def test_a_last_report_that_is_lost_is_missed_at_the_next_beat(pair: Pair) -> None:
    order = pair.send("a.1", buy())
    pair.turn()
    pair.send("a.2", buy())
    pair.turn(lose_in=3)
    for _ in range(4):
        pair.turn()
    assert (pair.entry.heard, pair.entry.positions, order.number) == (4, {"XYZ": 20}, 1)


def test_a_report_that_comes_twice_is_heard_once(pair: Pair) -> None:
    pair.send("a.1", buy())
    pair.turn()
    for report in pair.broker.reports:
        assert pair.entry.take(pair.now, m.encode(report)) == []
    assert pair.entry.heard == 2


def test_what_a_broker_that_restarted_does_not_know_is_sent_again(pair: Pair) -> None:
    order = pair.send("a.1", buy())
    pair.broker.restart()
    pair.turn()  # NOT_ATTACHED
    pair.turn()
    pair.turn()
    assert (order.status, pair.broker.numbers, pair.entry.positions) == ("ENDED", 1, {"XYZ": 10})


def test_an_id_may_not_mean_two_things(pair: Pair) -> None:
    pair.send("a.1", buy())
    pair.turn()
    other = pair.send("a.1", buy(size=20))
    pair.turn()
    assert (other.status, other.reason, other.is_open) == ("REFUSED", "DUP_ID_CONFLICT", False)
    assert isinstance(pair.told[-1], m.Reject)
    assert pair.entry.positions == {"XYZ": 10}


def test_an_expired_request_is_refused_not_applied(pair: Pair) -> None:
    pair.broker.market_time = 100
    order = Sent("a.1", "XYZ", 1, 100, 10)
    pair.entry.ask("a.1", [buy()], [order], expire_ts=99)
    pair.turn()
    assert (order.status, order.reason, pair.broker.numbers) == ("REFUSED", "EXPIRED", 0)


def test_a_cancel_waits_for_the_number_that_it_needs(pair: Pair) -> None:
    order = pair.send("a.1", buy(limit=90))
    pair.entry.change("a.2", order, m.Cancel(0))
    pair.turn()
    pair.turn()
    assert (order.status, order.reason, order.leaves) == ("ENDED", "REQUESTED", 0)


def test_a_replace_shows_once_it_is_accepted(pair: Pair) -> None:
    order = pair.send("a.1", buy(limit=90))
    pair.turn()
    pair.entry.change("a.2", order, m.Replace(0, 95, 4))
    assert (order.price, order.leaves) == (90, 10)
    pair.turn()
    assert (order.price, order.leaves, order.status) == (95, 4, "WORKING")


def test_a_broker_that_has_forgotten_reports_is_not_traded_with(pair: Pair) -> None:
    pair.send("a.1", buy())
    pair.turn()
    pair.broker.reports.clear()
    pair.broker.restart()
    pair.turn()
    with pytest.raises(RunError, match="knows 0 reports of account 'desk', this program has heard 2"):
        pair.turn(wait=PATIENCE_NS)


def test_a_refused_account_is_said_with_its_reason() -> None:
    pair = Pair()
    pair.entry.account = "other"
    with pytest.raises(RunError, match=r"refuses account 'other': there is no account other \(NOT_YOURS\)"):
        pair.turn()


def test_an_account_that_is_taken_is_asked_for_again_until_it_is_free(pair: Pair) -> None:
    entry, taken = OrderEntry("desk"), m.encode(m.Reject("ALREADY_ATTACHED", "attached from elsewhere"))
    for second in range(1, 4):
        entry.pass_time(second * PATIENCE_NS, 0)
        assert entry.take(second * PATIENCE_NS, taken) == []
    assert len(entry.outgoing) == 3
    assert entry.refusal == "attached from elsewhere"


def test_a_beat_is_sent_each_half_second_and_hello_once_a_second_until_welcome() -> None:
    pair = Pair()
    for _ in range(4):
        pair.turn(lose_out=1)
    assert pair.broker.attached == set()
    pair.turn(wait=PATIENCE_NS)
    before = pair.broker.beats
    for _ in range(10):
        pair.turn(wait=BEAT_NS // 2)
    assert pair.broker.beats - before == 5


def test_a_program_that_starts_anew_hears_all_reports_and_sends_what_nobody_answered(pair: Pair) -> None:
    first = pair.send("a.1", buy())
    pair.turn()
    pair.send("a.2", buy(limit=90))
    saved = [m.broker_request(frame) for frame in pair.entry.unsaved]
    settled = {answer.cid: answer for answer in pair.entry.settled}

    pair.entry, pair.told = OrderEntry("desk"), []
    for orders in saved:
        pair.entry.restore(orders, ["XYZ", "ABC"], settled.get(orders.cid))
    pair.turn(wait=PATIENCE_NS)
    pair.turn()
    assert pair.broker.numbers == 2
    assert pair.entry.positions == {"XYZ": 10}
    assert [(order.number, order.status) for order in pair.entry.orders.values()] == [(1, "ENDED"), (2, "WORKING")]
    assert first.number == 1


def test_goodbye_cancels_what_works(pair: Pair) -> None:
    order = pair.send("a.1", buy(limit=90))
    pair.turn()
    pair.entry.goodbye()
    pair.turn()
    assert pair.broker.open == {}
    assert order.is_open  # nobody is told who has left; who comes back is
    pair.turn()
    pair.turn()
    assert (order.status, order.reason) == ("ENDED", "REQUESTED")


steps = st.lists(
    st.tuples(
        st.sampled_from(["buy", "rest", "cancel", "restart", "wait", "silence"]),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    max_size=25,
)


@given(steps=steps)
def test_whatever_is_lost_both_sides_end_with_the_same_orders_reports_and_positions(
    steps: list[tuple[str, int, int]],
) -> None:
    pair, sent = Pair(), []
    pair.turn()
    for n, (what, lose_out, lose_in) in enumerate(steps):
        match what:
            case "buy" | "rest":
                sent.append(pair.send(f"a.{n}", buy(limit=100 if what == "buy" else 90, size=n + 1)))
            case "cancel" if sent:
                pair.entry.change(f"a.{n}", sent[-1], m.Cancel(0))
            case "restart":
                pair.broker.restart()
        pair.turn(lose_out=lose_out, lose_in=lose_in, wait=SILENCE_NS + 1 if what == "silence" else BEAT_NS)
    for _ in range(8):  # nothing is lost any more
        pair.turn()
    assert pair.entry.heard == len(pair.broker.reports)
    assert pair.told == [report.event for report in pair.broker.reports]
    assert pair.entry.positions == {event.symbol: pair.broker.positions[event.symbol] for event in pair.told}  # type: ignore[union-attr]
    assert {order.number for order in sent} == set(range(1, len(sent) + 1)) == set(pair.entry.orders)
    assert {order.number for order in pair.entry.open_orders()} == set(pair.broker.open)
