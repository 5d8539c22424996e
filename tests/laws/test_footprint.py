"""Our own trades displace the market we replay (rulebook section 12)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replace_fields
from scenarios import assert_same, compiled, moving_scenarios, scenarios

from engine.broker.impact import AlmgrenChriss, Impact, Market, NoImpact, Propagator, SquareRoot
from engine.broker.models import BrokerConfig, Fees, Latency, RiskConfig
from engine.events import Quote
from engine.instruments import Instrument
from engine.journal import RecordKind
from engine.orders import OrderType, TimeInForce
from engine.strategy import Wake
from engine.tape import ROW, CorporateAction, Flag, Kind, Manifest, Tape
from engine.testing.drive import Scenario, Transcript, drive
from engine.testing.generators import Step, cuts
from engine.testing.reference import ReferenceBroker
from engine.testing.reference_book import Book, Row

BROKERS = {"reference": lambda: ReferenceBroker, "compiled": compiled}
on_both = pytest.mark.parametrize(
    "name",
    [
        "reference",
        "compiled",
    ],
)
NO_LIMITS = RiskConfig(stale_ns=0, collar_ppm=0, max_notional=0, self_trade="allow")
NOTHING = Step("nothing", 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0)
DAY = {"A": Market(daily_volume=100, daily_volatility=0.4)}
MONEY = Instrument(symbol="A").value(1, 1)
LASTING = SquareRoot(prefactor=0.5, market=DAY)  # 25 bought of 100 a day: 1000 bp, at 100 ticks 10 of them
QUOTE = (Kind.QUOTE, 0, 99, 50, 101, 50)
PRINT = (Kind.TRADE, -1, 300, 10, 0, 0)  # fills none of the offers that these tests rest


def order(side: int, ticks: int, size: int, tif: TimeInForce = TimeInForce.GTC) -> Step:
    return Step("new", 0, side, int(OrderType.LIMIT), int(tif), 0, ticks, size, 0, 0, 0, 0)


def taking(side: int, size: int) -> Step:
    return order(side, 40 * side, size, TimeInForce.IOC)


def play(
    name: str,
    impact: Impact,
    rows: list[tuple],
    program: list[Step],
    actions: tuple[CorporateAction, ...] = (),
    book: str = "L1",
) -> Transcript:
    """A tape from (kind, side, price, size, price2, size2), a row each 10 ns, all of which wake."""
    array = np.zeros(len(rows), ROW)
    for at, (kind, side, price, size, price2, size2) in enumerate(rows):
        array[at] = (1_000 + 10 * at, 0, 0, price, size, price2, size2, 0, kind, side, 0, Flag.LAST)
    stock = Instrument(symbol="A", tick=1, book=book, levels=1 if book == "L1" else 0)
    manifest = Manifest(instruments=[stock], sessions=[(0, 10**9)], actions=list(actions))
    config = BrokerConfig(
        latency=Latency(feed=1, entry=2, response=3),
        fees=Fees(maker_per_unit=0, taker_per_unit=0),
        impact=impact,
    )
    wakes, wants = [Wake(on_quote=True, on_trade=True)], [(False, False)]
    return drive(BROKERS[name](), Scenario(Tape(array, manifest), [program], wakes, config, NO_LIMITS, wants=wants))


def fills(records: np.ndarray) -> list[tuple[int, int]]:
    return [(int(r["price"]), int(r["size"])) for r in records if r["kind"] == RecordKind.FILL]


def charges(transcript: Transcript) -> list[int]:
    """Money, of each fill; these runs have no other fees."""
    return [int(r["extra"]) for r in transcript.records if r["kind"] == RecordKind.FILL]


def asks(transcript: Transcript) -> list[int]:
    return [sight.quotes[0][1] for sight in transcript.sights]


@given(moving_scenarios())
@pytest.mark.slow
def test_one_pass_and_two_cursors_show_the_same_displaced_market(scenario: Scenario) -> None:
    assert_same(drive(ReferenceBroker, scenario), drive(ReferenceBroker, scenario, two_cursors=True))


@given(moving_scenarios(one_pass=False), st.data())
def test_cutting_the_tape_leaves_the_same_footprint(scenario: Scenario, data: st.DataObject) -> None:
    at = data.draw(cuts(len(scenario.tape)))
    assert_same(drive(ReferenceBroker, scenario), drive(ReferenceBroker, scenario, at))


@pytest.mark.slow
@on_both
@given(scenario=scenarios(one_pass=False, impact=False))
def test_impact_of_size_nothing_changes_nothing(name: str, scenario: Scenario) -> None:
    days = {
        instrument.symbol: Market(daily_volume=50, daily_volatility=0.5) for instrument in scenario.tape.instruments
    }
    nothing = AlmgrenChriss(permanent=0.0, temporary=0.0, market=days)
    with_model = replace(scenario, config=replace_fields(scenario.config, impact=nothing))
    assert_same(drive(BROKERS[name](), with_model), drive(BROKERS[name](), scenario))


@given(moving_scenarios())
@pytest.mark.slow
def test_a_displaced_book_less_the_displacement_is_the_recorded_one(scenario: Scenario) -> None:
    class Checked(ReferenceBroker):
        """Compares the venue's books with ones that see the tape alone."""

        def _take_in(self, row: Row) -> Any:
            yield from super()._take_in(row)
            if row.kind == Kind.CLOCK:
                return
            alone.setdefault(row.instrument, Book(self.instruments[row.instrument].levels)).apply(row)
            for index, book in alone.items():
                market = self.venue.markets[index]
                for side, sizes in market.book.sizes.items():
                    assert {price - market.displacement: size for price, size in sizes.items()} == book.sizes[side]

    alone: dict[int, Book] = {}
    drive(Checked, scenario)


@given(moving_scenarios())
@pytest.mark.slow
def test_as_a_cost_impact_changes_fees_and_neither_prices_nor_fills(scenario: Scenario) -> None:
    charged, free = (
        replace(scenario, config=replace_fields(scenario.config, impact=impact))
        for impact in (replace_fields(scenario.config.impact, mode="cost"), NoImpact())
    )
    left, right = drive(ReferenceBroker, charged).records, drive(ReferenceBroker, free).records
    told = [field for field in ROW_OF_RECORD if field != "extra"]
    assert np.array_equal(left[told], right[told])
    money = (left["kind"] == RecordKind.FILL) | (left["kind"] == RecordKind.MARK)
    assert np.array_equal(left["extra"][~money], right["extra"][~money])


@on_both
@pytest.mark.parametrize("side", [1, -1])
def test_what_we_trade_moves_the_quotes_that_follow_and_no_earlier_one(name: str, side: int) -> None:
    told = play(name, LASTING, [QUOTE, PRINT, PRINT], [taking(side, 25)])
    # bought on the first quote; the market moves with its own next row, not before
    assert [sight.quotes[0][:2] for sight in told.sights] == [(99, 101)] + 3 * [(99 + 10 * side, 101 + 10 * side)]
    quotes = [sight.event for sight in told.sights if isinstance(sight.event, Quote)]
    assert [quote.ts_event for quote in quotes] == [1_000, 1_010], "a shift of the touch is a quote, told once"


@on_both
def test_the_second_child_order_pays_for_the_first(name: str) -> None:
    told = play(name, LASTING, [QUOTE, PRINT, PRINT], [taking(1, 25), taking(1, 5)])
    assert fills(told.records) == [(101, 25), (111, 5)]


@on_both
def test_transient_impact_decays_with_the_markets_volume(name: str) -> None:
    busy = Propagator(market={"A": Market(daily_volume=3_900, daily_volatility=0.9)})
    seen = asks(play(name, busy, [QUOTE, *[PRINT] * 30], [taking(1, 40)]))
    top = seen.index(max(seen))
    assert seen[top] >= 104
    assert seen[-1] < seen[top] - 1
    assert seen[top:] == sorted(seen[top:], reverse=True)
    assert seen[-1] >= 101


@on_both
def test_no_sale_however_large_moves_the_mid_below_a_tick(name: str) -> None:
    crushing = replace_fields(LASTING, prefactor=50.0)
    told = play(name, crushing, [QUOTE, PRINT, PRINT], [taking(-1, 40)])
    bid, ask = told.sights[-1].quotes[0][:2]
    assert (bid + ask) / 2 == 1


@on_both
def test_without_trades_of_anybody_nothing_moves(name: str) -> None:
    quotes = [QUOTE, (Kind.QUOTE, 0, 99, 40, 101, 40), (Kind.QUOTE, 0, 89, 50, 91, 50)]
    seen = asks(play(name, LASTING, [QUOTE, QUOTE, *quotes], [taking(1, 25)]))
    assert seen[-1] - 91 == 10, "ten ticks were counted at the old mid, and nobody has traded since"


@on_both
@given(rests=st.lists(st.integers(2, 8), min_size=1, max_size=3), size=st.integers(25, 50))
def test_a_shift_alone_fills_nobody(name: str, rests: list[int], size: int) -> None:
    offers = [order(-1, ticks, 5) for ticks in rests]
    rows = [QUOTE, *[PRINT] * (len(offers) + 4)]
    told = play(name, LASTING, rows, [*offers, taking(1, size)])
    assert fills(told.records) == [(101, size)]
    assert asks(told)[-1] >= 101 + 10, "so the bid is at or through every offer"


@on_both
@pytest.mark.parametrize(("bid", "filled"), [(99, False), (98, False), (100, True)])
def test_a_held_order_fills_once_the_market_itself_comes_nearer(name: str, bid: int, filled: bool) -> None:
    """Offers at 105, then buys 25: the bid of 99 stands at 109, and holds the offer until a better one comes."""
    rows = [QUOTE, PRINT, PRINT, PRINT, (Kind.QUOTE, 0, bid, 50, 101, 50), PRINT]
    told = play(name, LASTING, rows, [order(-1, 5, 3), taking(1, 25)])
    assert ((105, 3) in fills(told.records)) == filled


@on_both
def test_a_trade_fills_a_held_order_at_its_own_price(name: str) -> None:
    rows = [QUOTE, PRINT, PRINT, PRINT, (Kind.TRADE, 1, 101, 4, 0, 0), PRINT]
    told = play(name, LASTING, rows, [order(-1, 5, 3), taking(1, 25)])
    assert (105, 3) in fills(told.records), "a buyer who paid 101 as recorded pays 111 now, so 105 first"


def root_mean(start: int, end: int) -> float:
    """Mean of the square root from ``start`` to ``end``."""
    return (end**1.5 - start**1.5) * 2 / 3 / (end - start)


@on_both
def test_cost_mode_charges_the_second_order_what_the_first_moved(name: str) -> None:
    told = play(name, replace_fields(LASTING, mode="cost"), [QUOTE, PRINT, PRINT], [taking(1, 25), taking(1, 5)])
    assert fills(told.records) == [(101, 25), (101, 5)]
    ticks = [2 * root_mean(0, 25), 2 * root_mean(25, 30)]  # 10 ticks stand after 25, 2 sqrt(q) after q
    assert charges(told) == pytest.approx([MONEY * ticks[0] * 25, MONEY * ticks[1] * 5], abs=1)


@on_both
@pytest.mark.parametrize("side", [1, -1])
def test_a_fill_is_charged_what_its_price_does_not_hold_of_its_own_impact(name: str, side: int) -> None:
    told = play(name, LASTING, [QUOTE, PRINT, PRINT], [taking(side, 25), taking(side, 5)])
    moved = [2 * root_mean(0, 25), 2 * root_mean(25, 30) - 10]  # ten ticks are shown when the second order comes
    assert charges(told) == pytest.approx([MONEY * moved[0] * 25, MONEY * moved[1] * 5], abs=1)


@on_both
def test_levels_behind_the_touch_count_towards_it(name: str) -> None:
    """25 bought at 101 are pushed up 6.7 ticks on average; bought at 110 as recorded, 9 are in the price already."""
    both = [(Kind.DEPTH, 1, 99, 50, 0, 0), (Kind.DEPTH, -1, 101, 5, 0, 0), (Kind.DEPTH, -1, 110, 50, 0, 0)]
    told = play(name, LASTING, [*both, PRINT, PRINT], [NOTHING, NOTHING, taking(1, 25)], book="L2")
    assert [price for price, _ in fills(told.records)] == [101, 110]
    first, second = charges(told)
    assert first == pytest.approx(MONEY * 2 * root_mean(0, 5) * 5, abs=1)
    assert second == 0


@on_both
def test_who_rests_is_charged_nothing(name: str) -> None:
    through = (Kind.TRADE, 1, 106, 9, 0, 0)
    told = play(name, LASTING, [QUOTE, PRINT, through, PRINT], [order(-1, 5, 3)])
    assert fills(told.records) == [(105, 3)]
    assert charges(told) == [0]


@on_both
def test_a_split_scales_the_displacement(name: str) -> None:
    split = CorporateAction(ts_event=1_025, symbol="A", kind="split", numerator=2, denominator=1)
    after = (Kind.QUOTE, 0, 49, 100, 51, 100)
    seen = asks(play(name, LASTING, [QUOTE, PRINT, PRINT, after, after], [taking(1, 25)], (split,)))
    assert seen == [101, 111, 111, 111, 56]


ROW_OF_RECORD = (
    "ts",
    "order_no",
    "price",
    "size",
    "cause",
    "kind",
    "account",
    "instrument",
    "reason",
    "number",
    "flags",
)
