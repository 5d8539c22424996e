from __future__ import annotations

from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from engine.broker.models import Account
from engine.instruments import Instrument
from engine.journal import RECORD, Adjustment, RecordKind
from engine.portfolio import Entry, Ledger, fold

SHARE = Instrument(symbol="SHARE", price_unit="1/10000")
FUTURE = Instrument(
    symbol="FUT", price_unit="1/3", tick=1, multiplier="7/11", currency="EUR", allows_negative_price=True
)
COIN = Instrument(symbol="COIN", price_unit="1/100", size_unit="1/100000000")
INSTRUMENTS = [SHARE, FUTURE, COIN]
ACCOUNTS = [Account(name="a", cash={"USD": 10**13}), Account(name="b", cash={"USD": 5, "EUR": 7})]


@st.composite
def journals(draw: st.DrawFn, max_size: int = 30) -> np.ndarray:
    """Fills, adjustments and marks of two accounts in three instruments of two currencies."""
    records = np.zeros(draw(st.integers(0, max_size)), RECORD)
    for record in records:
        record["kind"] = draw(st.sampled_from([RecordKind.FILL, RecordKind.FILL, RecordKind.ADJUST, RecordKind.MARK]))
        record["account"] = draw(st.integers(0, 1))
        record["instrument"] = draw(st.integers(0, 2))
        negative = INSTRUMENTS[int(record["instrument"])].allows_negative_price
        record["price"] = draw(st.integers(-(10**9) if negative else 1, 10**9))
        record["side"] = draw(st.sampled_from([1, -1]))
        record["size"] = draw(st.integers(1, 10**6))
        record["extra"] = draw(st.integers(-(10**6), 10**6))
    return records


@given(records=journals())
def test_cash_and_positions_at_marks_equal_the_start_and_the_profit_to_the_last_unit(records: np.ndarray) -> None:
    ledger = Ledger(INSTRUMENTS, ACCOUNTS)
    for values in records.tolist():
        ledger.apply(Entry._make(values))
        for account, config in enumerate(ACCOUNTS):
            for currency in ledger.currencies(account):
                start = config.cash.get(currency, 0)
                assert ledger.equity(account, currency) == start + ledger.pnl(account, currency)


@given(records=journals())
def test_a_flat_position_has_no_cost(records: np.ndarray) -> None:
    for position in fold(records, INSTRUMENTS, ACCOUNTS).positions.values():
        assert position.size != 0 or position.cost == 0


@given(records=journals())
def test_each_account_is_folded_as_if_it_were_alone(records: np.ndarray) -> None:
    together = fold(records, INSTRUMENTS, ACCOUNTS)
    for account in range(2):
        alone = fold(records[records["account"] == account], INSTRUMENTS, ACCOUNTS)
        assert alone.positions == {key: p for key, p in together.positions.items() if key[0] == account}


@given(records=journals())
def test_a_fold_is_a_fold_of_the_pieces(records: np.ndarray) -> None:
    ledger = Ledger(INSTRUMENTS, ACCOUNTS)
    for values in records.tolist():
        ledger.apply(Entry._make(values))
    assert ledger.positions == fold(records, INSTRUMENTS, ACCOUNTS).positions


@given(records=journals(), price=st.integers(1, 10**9))
def test_selling_what_was_just_bought_at_the_same_price_costs_only_the_fees(records: np.ndarray, price: int) -> None:
    ledger = fold(records[records["kind"] != RecordKind.MARK], [SHARE] * 3, ACCOUNTS)
    position = ledger.position(0, 0)
    before, size = position.cash, position.size
    position.fill(SHARE, 1, price, 100, 3)
    position.fill(SHARE, -1, price, 100, 4)
    assert (position.cash, position.size) == (before - 7, size)


@given(
    fills=st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**4)), min_size=1, max_size=8),
    exit_price=st.integers(1, 10**6),
)
def test_a_closed_round_trip_realises_proceeds_less_cost(fills: list[tuple[int, int]], exit_price: int) -> None:
    position = Ledger([SHARE], ACCOUNTS).position(0, 0)
    for price, size in fills:
        position.fill(SHARE, 1, price, size, 0)
    position.fill(SHARE, -1, exit_price, position.size, 0)
    exact = sum((exit_price - price) * size * SHARE.money for price, size in fills)
    assert position.realised == position.cash == exact


@given(fills=st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(1, 10**6), st.integers(1, 10**4)), max_size=12))
def test_the_cost_stays_within_half_a_unit_a_fill_of_the_exact_average(fills: list[tuple[int, int, int]]) -> None:
    position = Ledger([FUTURE], ACCOUNTS).position(0, 0)
    size, cost = 0, Fraction(0)
    for side, price, amount in fills:
        position.fill(FUTURE, side, price, amount, 0)
        closing = min(amount, abs(size)) if side * size < 0 else 0
        cost -= cost * Fraction(closing, abs(size)) if closing else 0
        cost += side * (amount - closing) * price * FUTURE.money
        size += side * amount
        assert abs(position.cost - cost) <= 2 * len(fills)


def test_average_cost_by_hand() -> None:
    position = Ledger([SHARE], ACCOUNTS).position(0, 0)
    position.fill(SHARE, 1, 100_0000, 100, 0)
    position.fill(SHARE, 1, 110_0000, 100, 0)
    position.fill(SHARE, -1, 120_0000, 50, 0)
    assert (position.size, position.cost, position.realised) == (150, 15_750_000_000, 750_000_000)
    position.fill(SHARE, -1, 100_0000, 200, 0)  # closes 150 and turns short 50
    assert (position.size, position.cost, position.realised) == (-50, -5_000_000_000, 0)
    position.mark = 90_0000
    assert position.unrealised(SHARE) == 500_000_000


def test_a_position_that_was_never_marked_is_carried_at_cost() -> None:
    position = Ledger([SHARE], ACCOUNTS).position(0, 0)
    position.fill(SHARE, 1, 100_0000, 100, 0)
    assert (position.worth(SHARE), position.unrealised(SHARE)) == (10_000_000_000, 0)


def test_a_split_and_a_dividend_move_units_and_money() -> None:
    records = np.zeros(3, RECORD)
    records["kind"] = [RecordKind.FILL, RecordKind.ADJUST, RecordKind.ADJUST]
    records["number"] = [1, Adjustment.SPLIT, Adjustment.DIVIDEND]
    records["side"][0], records["price"][0] = 1, 100_0000
    records["size"], records["extra"] = [100, 100, 0], [0, 0, 50_000_000]
    position = fold(records, [SHARE], ACCOUNTS).position(0, 0)
    assert (position.size, position.cost, position.adjustments) == (200, 10_000_000_000, 50_000_000)


@pytest.mark.parametrize("field", Entry._fields)
def test_an_entry_has_the_fields_of_a_record_in_order(field: str) -> None:
    assert RECORD.names is not None
    assert RECORD.names.index(field) == Entry._fields.index(field)
