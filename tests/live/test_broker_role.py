"""The paper broker's manners: whom it lets in, what it does twice, whom it waits for, what it stops at."""

from __future__ import annotations

import msgspec
import pytest
from broker_bench import MS, Bench, buy, config_of, hello, small_day

from engine.journal import RecordKind
from engine.live import messages as m
from engine.live.broker_log import Body, Entry, decode, encode
from engine.live.broker_role import GATE_13
from engine.live.role import EX_CORRUPT, EX_OK, Committed, Frame


@pytest.fixture(scope="module")
def day():
    return small_day()


def started(day, *clients: str, hold_ms: int | None = None, rows: int = 200, **more) -> Bench:
    """A broker with its market open and its strategy attached, which has answered everything."""
    bench = Bench(config_of(*clients), day, hold_ns=None if hold_ms is None else hold_ms * 1_000_000, **more)
    bench.join()
    bench.say(hello())
    bench.answer_all()
    bench.rows(rows)
    bench.answer_all()
    return bench


def kinds(bench: Bench) -> list[str]:
    return [Entry(kind).name for kind, _ in bench.entries]


def count(bench: Bench, kind: RecordKind) -> int:
    assert bench.role.core is not None
    bench.role.core.take_records()
    return int(bench.role.core.records.kinds[:, kind].sum())


# --- letting in


def test_the_market_begins_once_its_feed_and_all_strategies_have_come(day) -> None:
    bench = Bench(config_of(strategies=2), day)
    bench.join()
    assert bench.role.core is None
    bench.say(hello())
    assert bench.role.core is None
    bench.say(hello("main1"), b"q")
    assert bench.role.core is not None


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (hello(protocol=(9, 0)), "PROTOCOL"),
        (hello(schema=b"0" * 16), "PROTOCOL"),
        (hello("somebody"), "NOT_YOURS"),
        (hello(wake=None), "OTHER_STRATEGY"),
    ],
)
def test_who_does_not_fit_is_refused_with_a_reason(day, said: m.Hello, reason: str) -> None:
    bench = Bench(config_of(), day)
    bench.join()
    (reject,) = bench.say(said)
    assert (type(reject), reject.reason) == (m.Reject, reason)
    assert bench.entries == [] or kinds(bench) == ["MARKET"]


def test_a_key_that_may_not_act_for_the_account_is_refused_and_learns_no_names(day) -> None:
    bench = Bench(config_of(), day, may_trade=lambda key, account: key == "good")
    bench.join()
    (reject,) = bench.say(hello(), key="bad")
    assert reject.reason == "NOT_YOURS"
    assert "main'" in reject.text
    assert "this broker has" not in reject.text
    assert any(isinstance(one, m.Welcome) for one in bench.say(hello(), key="good"))
    assert bench.say(m.Beat(-1, 0), key="bad")[0].reason == "NOT_ATTACHED"


def test_a_second_process_is_refused_while_the_first_is_heard(day) -> None:
    bench = started(day)
    assert bench.say(hello(), b"other")[0].reason == "ALREADY_ATTACHED"
    bench.wait(1_600)
    assert any(isinstance(one, m.Welcome) for one in bench.say(hello(), b"other"))


def test_the_same_process_connected_anew_goes_on_at_once(day) -> None:
    bench = started(day)
    assert bench.role.core is not None
    last = bench.role.core.numbers[0]
    said = bench.say(hello(answered=last, replay=False), b"again")
    assert any(isinstance(one, m.Welcome) for one in said)


def test_another_strategy_is_refused_in_a_session_that_has_begun(day) -> None:
    bench = started(day)
    bench.wait(1_600)
    assert bench.say(hello(source="changed"), b"q")[0].reason == "OTHER_STRATEGY"
    assert bench.say(hello(every_ns=5), b"q")[0].reason == "OTHER_STRATEGY"


def test_who_never_said_hello_is_told_to(day) -> None:
    bench = started(day)
    assert bench.say(m.Progress(0, []), b"stranger")[0].reason == "NOT_ATTACHED"
    assert bench.give(Frame("orders", b"x", "", b"\xc1garbage"))[0].reason == "MALFORMED"
    assert bench.role.refused["MALFORMED"] == 1


# --- answers


def test_an_answer_is_applied_once_however_often_it_comes(day) -> None:
    bench = started(day)
    core = bench.role.core
    assert core is not None
    bench.rows(200)
    wake = core.numbers[0]
    assert core.waiting == 0
    first = bench.say(m.Progress(wake, [buy()]))
    assert [one.duplicate for one in first if isinstance(one, m.Received)] == [False]
    again = bench.say(m.Progress(wake, [buy()]))
    assert [one.duplicate for one in again if isinstance(one, m.Received)] == [True]
    bench.answer_all()
    bench.rows(200)
    bench.answer_all()
    assert count(bench, RecordKind.ORDER) == 1


def test_the_same_wake_answered_otherwise_is_refused(day) -> None:
    bench = started(day)
    bench.rows(200)
    assert bench.role.core is not None
    wake = bench.role.core.numbers[0]
    bench.say(m.Progress(wake, [buy()]))
    assert bench.say(m.Progress(wake, [buy(200)]))[0].reason == "DIFFERENT_ANSWER"
    assert bench.say(m.Progress(wake, []))[0].reason == "DIFFERENT_ANSWER"


def test_an_answer_in_pieces_is_applied_when_it_is_whole_and_a_lost_piece_is_not_made_up_for(day) -> None:
    bench = started(day)
    bench.rows(200)
    core = bench.role.core
    assert core is not None
    wake = core.numbers[0]
    bench.say(m.Progress(wake, [buy(300)], False, 1))  # the first piece was lost
    assert core.waiting == 0
    bench.say(m.Progress(wake, [buy(100)], True, 0))
    assert core.waiting == 0
    bench.say(m.Progress(wake, [buy(300)], False, 1))
    assert core.numbers[0] > wake or core.waiting is None
    assert len(decode(bench.entries[-1][1]).requests or decode(bench.entries[-2][1]).requests) == 2


def test_a_request_that_no_desk_makes_is_refused_and_the_market_waits_on(day) -> None:
    bench = started(day)
    bench.rows(200)
    assert bench.role.core is not None
    wake = bench.role.core.numbers[0]
    assert bench.say(m.Progress(wake, [m.Order(99, 1, 0, 0, 0, 0, 1, 0, 0, 0)]))[0].reason == "BAD_REQUEST"
    assert bench.role.core.waiting == 0


def test_a_wake_that_nobody_answers_is_told_again(day) -> None:
    bench = started(day)
    told = [one for one in bench.rows(200) if isinstance(one, m.Watermark)]
    again = [one for one in bench.wait(400) if isinstance(one, m.Watermark)]
    assert told[-1:] == again


def test_nothing_is_told_before_what_it_depends_on_is_on_disk(day) -> None:
    bench = started(day)
    bench.rows(200)
    bench.commits = False
    assert bench.role.core is not None
    assert bench.say(m.Progress(bench.role.core.numbers[0], [buy()])) == []
    bench.commits = True
    assert any(isinstance(one, m.Received) for one in bench.wait(1))


# --- those who do not answer


def test_paced_the_market_goes_on_and_what_comes_late_is_applied_late_and_counted(day) -> None:
    bench = started(day, hold_ms=50)
    bench.rows(200)
    core = bench.role.core
    assert core is not None
    wake = core.numbers[0]
    bench.wait(60)
    assert "SKIP" in kinds(bench)
    late = bench.say(m.Progress(wake, [buy()]))
    assert [(one.late, one.wake) for one in late if isinstance(one, m.Received)] == [(True, wake)]
    bench.say(m.Progress(wake, [buy()]))
    bench.rows(200)
    assert count(bench, RecordKind.ORDER) == 1
    assert bench.role.attachments[0].late == 1


def test_paced_the_orders_of_who_is_gone_are_cancelled(day) -> None:
    bench = started(day, hold_ms=50)
    bench.rows(200)
    assert bench.role.core is not None
    bench.say(m.Progress(bench.role.core.numbers[0], [buy(100, int(day.rows["price"][0]) // 2)]))
    bench.wait(1_600)
    assert kinds(bench).count("GONE") == 1
    bench.wait(1_600)
    assert kinds(bench).count("GONE") == 1


def test_for_ever_the_market_waits(day) -> None:
    bench = started(day)
    bench.rows(200)
    assert bench.role.core is not None
    wake = bench.role.core.numbers[0]
    for _ in range(20):
        bench.wait(1_000)
    assert (bench.role.core.numbers[0], bench.role.core.waiting) == (wake, 0)
    assert "SKIP" not in kinds(bench)
    assert "GONE" not in kinds(bench)


# --- programs without wakes


def attach_program(bench: Bench) -> None:
    bench.say(hello("desk", wake=None), b"d")


def test_a_program_gets_a_number_for_its_order_and_the_same_again_for_the_same_id(day) -> None:
    bench = started(day, "desk")
    attach_program(bench)
    (received,) = bench.say(m.Orders("a-1", [buy()]), b"d")
    assert (received.cid, received.first_order, received.duplicate) == ("a-1", 1, False)
    (again,) = bench.say(m.Orders("a-1", [buy()]), b"d")
    assert (again.first_order, again.duplicate) == (1, True)
    assert bench.say(m.Orders("a-1", [buy(7)]), b"d")[0].reason == "DUP_ID_CONFLICT"
    bench.rows(200)
    bench.answer_all()
    reports = [one for _, one in bench.said if isinstance(one, m.Report)]
    assert [one.report for one in reports] == list(range(1, len(reports) + 1))
    assert len(reports) >= 2


def test_what_a_program_asks_for_before_the_first_row_waits_for_it(day) -> None:
    bench = Bench(config_of("desk"), day)
    attach_program(bench)
    assert bench.say(m.Orders("x", [buy()]), b"d") == []
    bench.join()
    bench.say(hello())
    bench.answer_all()
    assert "ORDERS" not in kinds(bench)
    bench.rows(200)
    bench.answer_all()
    assert kinds(bench).count("ORDERS") == 1
    assert any(isinstance(one, m.Received) and one.cid == "x" for _, one in bench.said)


@pytest.mark.parametrize(
    ("orders", "reason"),
    [
        (m.Orders("x", [m.WakeAt(5)]), "BAD_REQUEST"),
        (m.Orders("x", [buy()], 1), "EXPIRED"),
    ],
)
def test_what_a_program_may_not_ask_for_is_refused(day, orders: m.Orders, reason: str) -> None:
    bench = started(day, "desk")
    attach_program(bench)
    assert bench.say(orders, b"d")[0].reason == reason


def test_a_flood_is_refused_for_good_costs_neither_log_nor_market_and_leaves_room_for_cancels(day) -> None:
    bench = started(day, "desk")
    attach_program(bench)
    answers = [bench.say(m.Orders(f"{n}", [buy()] * 1_000), b"d")[0] for n in range(4)]
    assert [getattr(one, "reason", "") for one in answers] == ["", "", "BUSY", "BUSY"]
    assert kinds(bench).count("ORDERS") == 2
    assert isinstance(bench.say(m.Orders("cancel", [m.CancelAll(-1)] * 1_000), b"d")[0], m.Received)
    bench.wait(1_000)
    assert bench.say(m.Orders("2", [buy()] * 1_000), b"d")[-1].reason == "BUSY", "a copy of what was refused acted"
    again = bench.say(m.Orders("4", [buy()] * 1_000), b"d")
    assert any(isinstance(one, m.Received) for one in again)


def test_while_the_disk_is_slow_a_program_may_cancel_but_not_order(day) -> None:
    bench = started(day, "desk")
    attach_program(bench)
    bench.give(Committed(len(bench.entries), took_ns=1_000_000_001))
    assert [one.reason for one in bench.say(m.Orders("a", [buy()]), b"d")] == ["JOURNAL_SLOW"]
    assert isinstance(bench.say(m.Orders("b", [m.CancelAll(-1)]), b"d")[0], m.Received)
    bench.wait(1_001)
    assert bench.say(m.Orders("a", [buy()]), b"d")[-1].reason == "BUSY", "a copy of what was refused acted"
    assert isinstance(bench.say(m.Orders("c", [buy()]), b"d")[-1], m.Received)


def test_a_paced_broker_that_starts_again_waits_for_those_who_had_seen_more(day) -> None:
    bench = started(day, hold_ms=5)
    assert bench.role.core is not None
    seen = bench.role.core.numbers[0]
    again = Bench(bench.config, day, disk=(bench.entries, bench.kept), hold_ns=5 * MS)
    again.now = 10_000 * MS
    again.wait(1)
    assert again.role.core is not None
    assert again.role.core.numbers[0] < seen
    again.wait(1_000)
    assert again.role.skipped_wakes == 0, "wakes were skipped that their strategy had answered"
    assert again.order(m.Kill("", "a test")).latch == 0, "a kill came before what its strategy had seen"
    again.join()
    again.say(hello(answered=seen, replay=False))
    again.answer_all()
    assert again.role.core.numbers[0] >= seen
    assert again.role.latches.last == 1, "the kill that waited was forgotten"


def test_a_paced_broker_that_starts_again_does_not_wait_for_ever(day) -> None:
    bench = started(day, hold_ms=5)
    late = Bench(bench.config, day, disk=(bench.entries, bench.kept), hold_ns=5 * MS)
    late.wait(1)
    late.wait(5_001)
    assert late.role.skipped_wakes > 0, "nobody came, and the market stood still for ever"


def test_a_strategy_answers_wakes_and_sends_nothing_else(day) -> None:
    assert started(day).say(m.Orders("x", [buy()]))[0].reason == "WAKES_ONLY"


def test_a_program_that_has_heard_more_than_the_journal_knows_is_refused(day) -> None:
    bench = started(day, "desk")
    (reject,) = bench.say(hello("desk", wake=None, heard=3), b"d")
    assert reject.reason == "KNOWS_MORE"
    assert "has heard 3 reports, this session's journal knows 0" in reject.text


def test_goodbye_cancels_what_works(day) -> None:
    bench = started(day, "desk")
    attach_program(bench)
    bench.say(m.Orders("x", [buy(100, int(day.rows["price"][0]) // 2)]), b"d")
    bench.say(m.Goodbye(), b"d")
    assert kinds(bench).count("GONE") == 1
    assert bench.say(m.Beat(-1, 0), b"d")[0].reason == "NOT_ATTACHED"


# --- operators


def test_a_kill_latches_cancels_refuses_and_survives_a_restart_until_it_is_released_by_number(day) -> None:
    bench = started(day, "desk")
    attach_program(bench)
    killed = bench.order(m.Kill("desk", "enough"))
    assert killed.latch == 1
    again = Bench(bench.config, day, (bench.entries, bench.kept))
    again.join(epoch=2)
    again.say(hello("desk", wake=None), b"d")
    again.say(hello(), b"p")
    assert again.role.latches.in_force == {1: (1, "enough")}
    again.say(m.Orders("x", [buy()]), b"d")
    again.rows(200, epoch=2)
    again.answer_all()
    assert count(again, RecordKind.REJECT) == 1
    assert again.order(m.Rearm(7)).reason == "UNKNOWN_LATCH"
    assert again.order(m.Rearm(1)).latch == 1
    again.say(m.Orders("y", [buy()]), b"d")
    again.rows(200, epoch=2)
    again.answer_all()
    assert count(again, RecordKind.FILL) > 0


def test_a_kill_by_gate_13_has_a_number_too_which_a_restart_keeps_and_an_operator_releases(day) -> None:
    config = config_of("desk")
    bench = Bench(msgspec.structs.replace(config, risk=msgspec.structs.replace(config.risk, daily_loss=1)), day)
    bench.join()
    bench.say(hello())
    bench.rows(200)
    bench.answer_all()
    attach_program(bench)
    for cid, side in (("bought", 1), ("sold for less", -1), ("refused", 1)):
        bench.say(m.Orders(cid, [msgspec.structs.replace(buy(), side=side)]), b"d")
        bench.rows(50)
        bench.answer_all()
    assert bench.role.latches.in_force == {1: (1, GATE_13)}
    assert kinds(bench).count("LATCHED") == 1
    again = Bench(bench.config, day, (bench.entries, bench.kept))
    again.join(epoch=2)
    again.say(hello(), b"p")
    assert again.role.latches.in_force == {1: (1, GATE_13)}
    assert again.order(m.Rearm(1)).latch == 1
    assert not again.role.latches.in_force


def test_a_signal_kills_all_accounts_once_and_an_unknown_account_is_named(day) -> None:
    bench = started(day, "desk")
    bench.tell("kill")
    bench.tell("kill")
    assert kinds(bench).count("KILL") == 2
    assert "no account 'x'" in bench.order(m.Kill("x", "")).text


def test_a_disk_that_runs_full_stops_new_orders_and_cancels_work(day) -> None:
    bench = started(day)
    bench.tell("disk_low")
    assert [why for _, why in bench.role.latches.in_force.values()] == ["DISK_LOW: a test"]


def test_a_kill_before_the_market_begins_is_in_force_when_it_does(day) -> None:
    bench = Bench(config_of(), day)
    bench.tell("kill")
    bench.join()
    bench.say(hello())
    assert bench.role.latches.in_force


def test_while_a_kill_waits_for_a_strategy_to_come_back_the_market_takes_no_new_rows(day) -> None:
    bench = Bench(config_of("desk"), day, hold_ns=5 * MS)
    bench.join()
    bench.say(hello(every_ns=2**62))  # wakes that do not come hold nothing up
    bench.answer_all([m.CancelAll(-1)])  # and the first one was answered so that the log knows
    attach_program(bench)
    bench.rows(100)
    again = Bench(bench.config, day, (bench.entries, bench.kept), hold_ns=5 * MS)
    assert again.role.core is not None
    again.wait(1)
    again.say(hello("desk", wake=None), b"d")
    again.join(epoch=2)
    again.rows(100, epoch=2)
    assert again.role.core.rows == 200
    again.tell("kill")
    again.rows(100, epoch=2)
    assert again.role.core.rows == 200, "the market went on, and what works may have filled"
    again.wait(5_001)
    assert len(again.role.latches.in_force) == 2
    again.wait(1)
    assert again.role.core.rows == 300


def test_how_it_stands_can_be_asked(day) -> None:
    standing = msgspec.json.decode(started(day, "desk").order(m.Ask()).json)
    assert standing["role"] == "broker"
    assert [one["name"] for one in standing["accounts"]] == ["main", "desk"]


# --- starting again, and the end


def test_a_broker_that_starts_again_goes_on_as_if_it_had_not_stopped(day) -> None:
    def play(bench: Bench, epoch: int) -> None:
        bench.rows(200, epoch=epoch)
        bench.answer_all([buy()])
        bench.rows(200, epoch=epoch)
        bench.answer_all()
        bench.end(epoch=epoch)
        bench.answer_all()

    once = started(day)
    play(once, 1)
    first = started(day)
    second = Bench(first.config, day, (first.entries, first.kept))
    second.join(epoch=2)
    second.say(hello())
    second.answer_all()
    play(second, 2)
    assert once.role.core is not None
    assert once.role.core.ended
    assert second.records() == once.records()


def test_another_market_under_a_session_that_has_begun_stops_the_broker(day) -> None:
    bench = started(day)
    bench.join("another tape", epoch=2)
    assert bench.stopped is not None
    assert bench.stopped.code == EX_CORRUPT
    assert "another market than the one this session began with" in bench.stopped.why


def test_a_log_that_does_not_repeat_stops_a_start(day) -> None:
    bench = started(day)
    bench.rows(200)
    assert bench.role.core is not None
    bench.say(m.Progress(bench.role.core.numbers[0], [buy()]))
    bench.rows(200)
    bench.answer_all()
    at = next(i for i, (kind, _) in enumerate(bench.entries) if kind == Entry.RECORDS)
    body = decode(bench.entries[at][1])
    raw = bytearray(body.raw)
    raw[8] ^= 1
    changed = msgspec.structs.replace(body, raw=bytes(raw))
    bench.entries[at] = (int(Entry.RECORDS), encode(changed))
    from engine.live.broker_log import LogConflict

    with pytest.raises(LogConflict, match="other records than it logged"):
        Bench(bench.config, day, (bench.entries, bench.kept))


def test_at_the_end_everybody_is_told_the_fingerprint_and_the_broker_waits_for_those_who_say_that_they_are_done(
    day,
) -> None:
    bench = started(day)
    bench.end()
    told = bench.answer_all() + bench.wait(1)
    (end,) = [one for _, one in bench.said if isinstance(one, m.End)]
    assert (end.records, end.fingerprint) == bench.records()
    assert bench.stopped is None
    bench.say(m.Done(b"", {}))
    bench.wait(1)
    assert bench.stopped is not None
    assert bench.stopped.code == EX_OK
    assert told is not None


def test_a_session_that_is_ended_early_is_sealed_where_it_is(day) -> None:
    bench = started(day)
    bench.rows(100)
    bench.tell("shutdown")
    for _ in range(20):
        bench.wait(1_000)
    assert bench.role.core is not None
    assert bench.role.core.ended
    assert bench.stopped is not None
    assert bench.stopped.code == EX_OK
    (end,) = [decode(payload) for kind, payload in bench.entries if kind == Entry.END]
    assert isinstance(end, Body)
    assert end.text == "a test"


def test_after_a_restart_what_comes_from_outside_waits_until_the_market_is_where_its_strategy_saw_it_last(day) -> None:
    first = started(day, "desk")  # answers that asked for nothing, which no entry of the log tells of
    assert first.role.core is not None
    seen = first.role.core.numbers[0]
    again = Bench(first.config, day, (first.entries, first.kept))
    assert again.role.core is not None
    assert again.role.core.numbers[0] < seen
    again.tell("kill")
    again.say(hello("desk", wake=None), b"d")
    assert again.say(m.Orders("x", [buy()]), b"d") == []
    assert again.order(m.Rearm(1)).reason == "NOT_YET"
    again.join(epoch=2)
    again.say(hello(answered=seen, replay=False))
    again.answer_all()
    stamps = [decode(payload).wakes for kind, payload in again.entries if kind in (Entry.KILL, Entry.ORDERS)]
    assert len(stamps) == 3
    assert min(stamps) > seen
