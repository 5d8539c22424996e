"""Terms of over-the-counter contracts: their way into a record and back, their money, and what is refused."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from engine.contracts import (
    DIGITS,
    LAST_DATE,
    Bond,
    Contract,
    ForwardSwap,
    Packed,
    Swaption,
    as_row,
    contract_unit,
    describe,
    money_of,
    pack,
    price_units,
    swap_of,
    unpack,
)
from engine.errors import StrategyError
from engine.journal import RECORD
from engine.portfolio import Entry

dates = st.lists(st.integers(0, LAST_DATE - 1), min_size=3, max_size=3).map(sorted)
rates = st.integers(-(10**14), 10**14).map(lambda units: units / 10**14)


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    """Any contract that can be written."""
    kind = draw(st.sampled_from([Swaption, ForwardSwap, Bond]))
    if kind is Bond:
        return Bond(isin=draw(st.text(DIGITS, min_size=1, max_size=12)))
    expiry, start, maturity = draw(dates)
    swap = {"start": start, "maturity": maturity + 1}
    if kind is ForwardSwap:
        return ForwardSwap(**swap, rate=draw(rates))
    which: Any = draw(st.sampled_from(["payer", "receiver"]))
    settlement: Any = draw(st.sampled_from(["physical", "par_yield_cash"]))
    return Swaption(kind=which, expiry=expiry, **swap, strike=draw(rates), settlement=settlement)


@given(terms=contracts())
def test_a_record_holds_all_of_the_terms(terms: Contract) -> None:
    record = np.zeros(1, RECORD)
    for name, value in pack(terms)._asdict().items():
        record[name] = value
    entry = Entry._make(record[0].tolist())
    assert unpack(Packed(entry.type, entry.side, entry.tif, entry.price, entry.extra)) == terms


@given(one=contracts(), two=contracts())
def test_only_equal_terms_are_packed_alike(one: Contract, two: Contract) -> None:
    assert (pack(one) == pack(two)) == (one == two)


@given(terms=contracts())
def test_an_options_swap_is_the_same_contract_as_that_swap(terms: Contract) -> None:
    if isinstance(terms, Swaption):
        assert swap_of(pack(terms)) == pack(terms.swap)
        assert as_row(swap_of(pack(terms)))[4:7] == as_row(pack(terms))[4:7]


@given(price=st.integers(-(10**15), 10**15), size=st.integers(-(10**12), 10**12))
def test_money_is_what_the_unit_of_a_contract_says_and_has_no_side(price: int, size: int) -> None:
    assert money_of(price, size) == contract_unit("USD").value(price, size)
    assert money_of(price, -size) == -money_of(price, size) == money_of(-price, size)


def test_a_price_is_a_whole_number_of_1e_minus_14_of_notional() -> None:
    assert price_units(0.0079625) == 796_250_000_000
    assert money_of(price_units(0.0079625), 100_000_000) == 796_250_000_000  # 796,250.00 of currency


def test_people_read_contracts_as_sentences() -> None:
    option = Swaption(kind="payer", expiry=16_839, start=16_841, maturity=20_494, strike=0.018)
    assert describe(option) == "payer swaption 2016-02-08, 2016-02-10 to 2026-02-10 at 1.8000%"
    assert describe(option.swap) == "swap 2016-02-10 to 2026-02-10 at 1.8000%"
    assert describe(Bond(isin="US912828P469")) == "bond US912828P469"


def test_numpys_dates_and_rates_are_taken() -> None:
    swap = ForwardSwap(start=np.int32(5), maturity=np.int64(9), rate=np.float64(0.01))  # type: ignore[arg-type]
    assert swap == ForwardSwap(start=5, maturity=9, rate=0.01)
    assert type(swap.start) is int


REFUSED: list[tuple[Any, str]] = [
    (
        lambda: ForwardSwap(start=5, maturity=5, rate=0.01),
        "maturity is 5, but dates are .* a swap ends after it starts",
    ),
    (lambda: Swaption(kind="payer", expiry=6, start=5, maturity=9, strike=0.0), "start is 5, .* in the order expiry"),
    (lambda: ForwardSwap(start=-1, maturity=5, rate=0.01), "start is -1, but dates are days since 1970"),
    (lambda: ForwardSwap(start="2016-02-10", maturity=5, rate=0.01), r"start is '2016-02-10', .* desk.panel\('date'\)"),  # type: ignore[arg-type]
    (lambda: ForwardSwap(start=1, maturity=5, rate=1.8), r"rate is 1.8, .* rates are decimals, 0.018 is 1.8%"),
    (lambda: ForwardSwap(start=1, maturity=5, rate=float("nan")), "rate is nan"),
    (lambda: ForwardSwap(start=1, maturity=5, rate=1), "rate is 1, but must be a float"),
    (lambda: Bond(isin="us91"), "isin is 'us91', but must be 1 to 12 digits and capital letters"),
    (lambda: Bond(isin=""), "isin is ''"),
]


@pytest.mark.parametrize(("make", "says"), REFUSED)
def test_terms_that_mean_nothing_are_one_sentence(make: Any, says: str) -> None:
    with pytest.raises(StrategyError, match=says):
        make()
