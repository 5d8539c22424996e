"""Eq. 3 holds as printed, whatever was traded when; and money shared out adds up."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.reports import execution_identity
from engine.reports.execution_identity import Bin, Terms, Trade, share_out, slippage

PRICES = st.fractions(1, 1_000, max_denominator=200)
SIDES = st.sampled_from([1, -1])
SIZES = st.integers(0, 10_000)


@st.composite
def orders(draw: st.DrawFn) -> tuple[list[Bin], list[Trade]]:
    """Bins, some without a plan or a fill, and trades whose sizes add up to what was planned."""
    bins = [Bin(*drawn) for drawn in draw(st.lists(st.tuples(SIZES, PRICES, PRICES), min_size=1, max_size=8))]
    left, trades = sum(one.planned for one in bins), []
    while left:
        size = draw(st.integers(1, left)) if len(trades) < 10 else left
        trades.append(Trade(draw(st.integers(0, len(bins) - 1)), draw(PRICES), size))
        left -= size
    return bins, trades


def as_printed(side: int, bins: Sequence[Bin], trades: Sequence[Trade]) -> Terms:
    """The slide's formula, bin by bin with average prices, times the parent's size."""
    t1 = t2 = t3 = Fraction(0)
    for j, one in enumerate(bins):
        mine = [trade for trade in trades if trade.bin == j]
        size = sum(trade.size for trade in mine)
        average = sum((trade.price * trade.size for trade in mine), Fraction(0)) / size if size else one.market
        t1 += one.planned * (one.market - one.benchmark)
        t2 += one.planned * (average - one.market)
        t3 += (size - one.planned) * average
    return Terms(side * t1, side * t2, side * t3)


@given(SIDES, orders())
def test_fills_add_up_to_the_printed_formula(side: int, order: tuple[list[Bin], list[Trade]]) -> None:
    bins, trades = order
    found = slippage(side, bins, trades).total
    assert found == as_printed(side, bins, trades)
    paid = sum((trade.size * trade.price for trade in trades), Fraction(0))
    assert found.total == side * (paid - sum((one.planned * one.benchmark for one in bins), Fraction(0)))


@given(orders(), PRICES)
def test_a_sale_costs_what_the_purchase_costs_in_the_mirrored_market(
    order: tuple[list[Bin], list[Trade]], mirror: Fraction
) -> None:
    bins, trades = order
    turned = [Bin(one.planned, mirror - one.market, mirror - one.benchmark) for one in bins]
    sold = [trade._replace(price=mirror - trade.price) for trade in trades]
    assert slippage(-1, turned, sold).total == slippage(1, bins, trades).total


@given(SIDES, orders(), st.integers(1, 50), PRICES)
def test_terms_grow_with_size_and_price_and_do_not_know_the_price_level(
    side: int, order: tuple[list[Bin], list[Trade]], times: int, by: Fraction
) -> None:
    bins, trades = order
    once = slippage(side, bins, trades).total
    larger = slippage(
        side,
        [one._replace(planned=one.planned * times) for one in bins],
        [trade._replace(size=trade.size * times) for trade in trades],
    )
    dearer = slippage(
        side,
        [one._replace(market=one.market * times, benchmark=one.benchmark * times) for one in bins],
        [trade._replace(price=trade.price * times) for trade in trades],
    )
    higher = slippage(
        side,
        [one._replace(market=one.market + by, benchmark=one.benchmark + by) for one in bins],
        [trade._replace(price=trade.price + by) for trade in trades],
    )
    assert larger.total == dearer.total == Terms(*(times * term for term in once))
    assert higher.total == once


@given(SIDES, orders())
def test_a_perfect_follower_pays_the_volume_curve_alone(side: int, order: tuple[list[Bin], list[Trade]]) -> None:
    bins, _ = order
    followed = [Trade(j, one.market, one.planned) for j, one in enumerate(bins) if one.planned]
    found = slippage(side, bins, followed).total
    assert (found.t2, found.t3) == (0, 0)
    assert found.t1 == side * sum(one.planned * (one.market - one.benchmark) for one in bins)


@given(orders())
def test_a_perfect_forecast_of_the_volume_makes_the_first_term_zero(order: tuple[list[Bin], list[Trade]]) -> None:
    bins, trades = order
    size = sum(one.planned for one in bins)
    if size:
        vwap = sum((one.planned * one.market for one in bins), Fraction(0)) / size
        assert slippage(1, [one._replace(benchmark=vwap) for one in bins], trades).total.t1 == 0


@given(SIDES, orders(), st.data())
def test_cutting_a_fill_in_two_changes_nothing(
    side: int, order: tuple[list[Bin], list[Trade]], data: st.DataObject
) -> None:
    bins, trades = order
    cut = []
    for trade in trades:
        part = data.draw(st.integers(0, trade.size))
        cut += [trade._replace(size=size) for size in (part, trade.size - part) if size]
    assert slippage(side, bins, cut).total == slippage(side, bins, trades).total


@given(st.lists(st.fractions(-1_000, 1_000, max_denominator=60), min_size=1, max_size=30), st.booleans())
def test_money_shared_out_adds_up_and_no_share_is_further_than_one_away(parts: list[Fraction], up: bool) -> None:
    exact = sum(parts, Fraction(0))
    total = -floor(-exact) if up else floor(exact)
    shares = share_out(total, parts)
    assert sum(shares) == total
    assert all(abs(share - part) < 1 for share, part in zip(shares, parts, strict=True))


def test_fills_that_are_not_what_was_planned_are_refused() -> None:
    with pytest.raises(ArithmeticError, match="99 units, but 100 were planned"):
        slippage(1, [Bin(100, Fraction(10), Fraction(10))], [Trade(0, Fraction(10), 99)])


def test_a_total_that_is_not_the_sum_of_its_parts_is_refused() -> None:
    with pytest.raises(ArithmeticError, match="not the sum"):
        share_out(15, [Fraction(10, 3)] * 3)


def test_a_term_that_is_wrong_by_a_hair_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = execution_identity._of_trade

    def wrong(*terms: object) -> Terms:
        found = right(*terms)  # type: ignore[arg-type]
        return found._replace(t2=found.t2 + Fraction(1, 10**12))

    monkeypatch.setattr(execution_identity, "_of_trade", wrong)
    with pytest.raises(ArithmeticError, match="bin 0: T1 \\+ T2 \\+ T3 is"):
        slippage(1, [Bin(100, Fraction(10), Fraction(10))], [Trade(0, Fraction(10), 100)])
