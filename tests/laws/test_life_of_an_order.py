"""What may happen to an order, whatever the market does: legal transitions, final ends, conserved sizes and money."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from scenarios import scenarios

from engine.journal import RecordKind
from engine.orders import Op, Reason
from engine.tape import Kind
from engine.testing.drive import Scenario, _KeepingJournal, drive
from engine.testing.reference import ReferenceBroker

K = RecordKind
# from what was said last of an order to what may be said next
MAY_FOLLOW = {
    None: {K.ORDER},
    K.ORDER: {K.ACCEPT, K.REJECT, K.EXPIRE},  # EXPIRE: still on its way when the run ended
    K.ACCEPT: {K.FILL, K.REPLACE, K.CANCEL, K.EXPIRE},
    K.REPLACE: {K.FILL, K.REPLACE, K.CANCEL, K.EXPIRE},
    K.FILL: {K.FILL, K.REPLACE, K.CANCEL, K.EXPIRE},
    K.REJECT: set(),
    K.CANCEL: set(),
    K.EXPIRE: set(),
}


def _lives(records: np.ndarray) -> dict[tuple[int, int], list[np.void]]:
    """Each order's own records, without TERMS and without refusals of cancels and replaces."""
    lives = defaultdict(list)
    for record in records:
        kind = K(int(record["kind"]))
        refused_request = kind == K.REJECT and record["type"] != Op.NEW
        if kind in MAY_FOLLOW and not refused_request:
            lives[int(record["account"]), int(record["order_no"])].append(record)
    return lives


@given(scenarios(one_pass=False))
def test_orders_make_only_legal_transitions_and_ends_are_final(scenario: Scenario) -> None:
    for life in _lives(drive(ReferenceBroker, scenario).records).values():
        kinds = [None, *(K(int(record["kind"])) for record in life)]
        for before, after in pairwise(kinds):
            assert after in MAY_FOLLOW[before], f"{after} after {before}"


@given(scenarios(one_pass=False))
def test_every_order_ends_exactly_once_and_its_sizes_add_up(scenario: Scenario) -> None:
    for life in _lives(drive(ReferenceBroker, scenario).records).values():
        left = int(life[0]["size"])
        for record in life:
            if record["kind"] == K.REPLACE:
                left = int(record["size"])
            elif record["kind"] == K.FILL:
                left -= int(record["size"])
                assert left >= 0
            elif record["kind"] in (K.CANCEL, K.EXPIRE):
                assert record["size"] == left
                left = 0
            elif record["kind"] == K.REJECT:
                left = 0
        assert left == 0


@given(scenarios(one_pass=False))
def test_fills_are_numbered_from_1_and_time_never_goes_back(scenario: Scenario) -> None:
    records = drive(ReferenceBroker, scenario).records
    at_the_venue = [
        int(r["ts"]) for r in records if r["kind"] not in (K.ORDER, K.TERMS) and r["reason"] != Reason.RUN_END
    ]
    assert at_the_venue == sorted(at_the_venue)
    for life in _lives(records).values():
        numbers = [int(r["number"]) for r in life if r["kind"] == K.FILL]
        assert numbers == list(range(1, len(numbers) + 1))


@given(scenarios(one_pass=False))
def test_an_order_fills_only_later_than_the_row_that_caused_it(scenario: Scenario) -> None:
    records = drive(ReferenceBroker, scenario).records
    sent = {(int(r["account"]), int(r["order_no"])): int(r["ts"]) for r in records if r["kind"] == K.ORDER}
    for r in records:
        if r["kind"] in (K.ACCEPT, K.FILL):
            assert r["ts"] >= sent[int(r["account"]), int(r["order_no"])]


@given(scenarios(one_pass=False, tight=False))
@pytest.mark.slow
def test_an_order_never_pays_more_than_its_limit(scenario: Scenario) -> None:
    limits: dict[tuple[int, int], int] = {}
    priced = (1, 3)  # LIMIT, STOP_LIMIT
    for r in drive(ReferenceBroker, scenario).records:
        key = int(r["account"]), int(r["order_no"])
        if (r["kind"] == K.ORDER and r["type"] in priced) or (r["kind"] == K.REPLACE and key in limits):
            limits[key] = int(r["price"])
        elif r["kind"] == K.FILL and key in limits:
            assert r["side"] * (limits[key] - r["price"]) >= 0


@given(scenarios(one_pass=False))
def test_cash_positions_and_profit_add_up_to_the_last_unit(scenario: Scenario) -> None:
    made = []

    def make(*args, **named) -> ReferenceBroker:
        made.append(ReferenceBroker(*args, **named))
        return made[0]

    drive(make, scenario)
    for ledger in made[0].venue.ledgers:
        for currency in list(ledger.cash):
            left, right = ledger.identity(currency)
            assert left == right
        assert sum(ledger.flow.values()) == sum(ledger.cash.values()) - sum(ledger.start.values())


@given(scenarios(one_pass=False, tight=False))
@pytest.mark.slow
def test_what_strategies_have_heard_at_the_end_is_what_the_venue_did(scenario: Scenario) -> None:
    scenario = Scenario(**{**vars(scenario), "wants": []})
    broker = scenario.broker(ReferenceBroker, _KeepingJournal())
    transcript = drive(lambda *args, **named: broker, scenario)
    assert transcript.records is not None
    for account, ledger in enumerate(broker.venue.ledgers):
        assert not broker.open_orders(account)
        for index in range(len(scenario.tape.instruments)):
            assert broker.position(account, index) == ledger.position[index]
        for currency, cash in ledger.cash.items():
            assert broker.cash(account, currency) == cash


@given(scenarios("L2", one_pass=False, tight=False))
@pytest.mark.slow
def test_makers_never_get_more_of_a_trade_row_than_it_traded(scenario: Scenario) -> None:
    """Fills as maker caused by a TRADE row are at most its size (crossing, after LAST, uses displayed size instead)."""
    records = drive(ReferenceBroker, scenario).records
    sequence = defaultdict(int)
    for row in scenario.tape.rows:
        if row["kind"] == Kind.CLOCK:
            continue
        source = scenario.tape.instruments[int(row["instrument"])].source
        cause, sequence[source] = sequence[source], sequence[source] + 1
        if row["kind"] != Kind.TRADE or row["flags"] & 1:  # LAST: crossing shares its cause
            continue
        mine = [
            r for r in records if r["kind"] == K.FILL and (r["cause"], r["source"]) == (cause, source) and r["flags"]
        ]
        at_its_time = [r for r in mine if r["ts"] == row["ts_event"]]
        assert sum(int(r["size"]) for r in at_its_time) <= row["size"]


def test_the_table_of_transitions_names_every_kind_of_an_order() -> None:
    with pytest.raises(KeyError):
        MAY_FOLLOW[K.MARK]
