"""Relative value in Treasuries: who is traded, that packages are neutral, and that the split of P/L is the ledger's."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_treasuries import BONDS, SYMBOL, bonds, isin, planted, small_treasuries

from engine import KeptJournal, run
from engine.broker.impact import NoImpact
from engine.broker.models import BrokerConfig, Otc, OtcLimits, OtcRisk, RiskConfig
from engine.config import load
from engine.contracts import TERMS, Bond, as_row, pack, unpack
from engine.contracts import Packed as PackedTerms
from engine.errors import ConfigError, StrategyError
from engine.instruments import MICRO
from engine.journal import RecordKind
from engine.panels import Panels
from engine.rates.contract_values import open_market
from engine.reports.banner import banner
from engine.result import Result
from engine.run import run_config
from engine.shipped import shipped_configs
from engine.tape import Tape
from engine.testing.laws import StrategyLaws
from engine.verify import verify
from feeds.replay import TapeFeed
from feeds.synthetic_rates import WORLD, RatesParams, synthetic_rates
from strategies.bond_packages import Book, Quotes, Rules, make_legs, review
from strategies.bond_rv import BondRv

RULES = Rules(entry_bp=5.0, exit_bp=2.0, entry_z=0.0, hedge_bp=4.0, lot=1, max_closes=5, buckets=(1.0, 5.0, 11.0))
CHEAP, DEAR = [10, 27, 44, 60], [18, 35, 52]


def strategy(rules: Rules = RULES, **params: Any) -> BondRv:
    return BondRv(symbol=SYMBOL, knots=2, rules=rules, **params)


class Ran:
    """One strategy on one tape."""

    def __init__(self, tape: Tape, one: BondRv | None = None, *, risk: RiskConfig | None = None, **otc: Any) -> None:
        self.tape, self.strategy, self.journal = tape, one or strategy(), KeptJournal()
        broker = BrokerConfig(otc=Otc(**otc), impact=NoImpact())
        self.result: Result = run(self.strategy, TapeFeed(tape), broker=broker, risk=risk, seed=1, journal=self.journal)
        self.state = self.strategy.state

    def deals(self) -> list[tuple[int, str, int]]:
        """(close, bond, signed notional) of what filled, in order."""
        records, names = self.journal.records, {}
        for record in records[records["kind"] == RecordKind.CONTRACT]:
            terms = unpack(PackedTerms(*(int(record[name]) for name in PackedTerms._fields)))
            assert isinstance(terms, Bond)
            names[int(record["number"])] = terms.isin
        closes = self.tape.rows["ts_event"].tolist()
        fills = records[records["kind"] == RecordKind.FILL]
        return [(closes.index(f["ts"]), names[int(f["number"])], int(f["side"] * f["size"])) for f in fills]

    def held(self) -> dict[str, int]:
        """Signed notional of each bond at the end, as the journal has it."""
        total = Counter[str]()
        for _, name, units in self.deals():
            total[name] += units
        return {name: units for name, units in total.items() if units}


def dv01s(tape: Tape, day: int) -> dict[str, float]:
    """As the dealer has them, per unit of notional."""
    panels = Panels(tape.panels, tape.instruments)
    panels.close(SYMBOL, day)
    isins = [isin(bond) for bond in range(BONDS)]
    terms = np.array([as_row(pack(Bond(isin=name))) for name in isins], TERMS)
    values = open_market(panels.of_market(SYMBOL, 0), "USD 2016").values(terms, np.full(BONDS, np.nan))
    return dict(zip(isins, values.dv01.tolist(), strict=True))


def noise(seed: int, days: int = 3) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, 4, (days, BONDS))


class TestTheLaws(StrategyLaws):
    """The shipped laws, on closes with random errors."""

    def make_strategy(self) -> BondRv:
        return strategy()

    def _draw_tape(self, data: st.DataObject) -> Tape:
        return data.draw(st.sampled_from(TAPES))


TAPES = [small_treasuries(noise(seed)) for seed in range(2)]


def test_bonds_on_the_curve_are_never_traded() -> None:
    ran = Ran(small_treasuries(np.zeros((3, BONDS))))
    assert ran.deals() == []
    assert ran.state.book.opened == ran.state.shadow.opened == []


@given(cheap=st.sets(st.sampled_from(CHEAP), min_size=1), dear=st.sets(st.sampled_from(DEAR), min_size=1))
@settings(max_examples=settings().max_examples // 4, deadline=None)
def test_cheap_bonds_are_bought_dear_ones_sold_and_all_others_left_alone(cheap: set[int], dear: set[int]) -> None:
    ran = Ran(small_treasuries(planted(list(cheap), list(dear))))
    for _, name, units in ran.deals():
        assert name in {isin(b) for b in (cheap if units > 0 else dear)}


@pytest.mark.parametrize("signal", ["par_curve", "z_spread_adjusted", "both"])
def test_each_signal_buys_the_cheap_and_sells_the_dear(signal: Any) -> None:
    ran = Ran(small_treasuries(planted(CHEAP, DEAR)), strategy(signal=signal))
    held = ran.held()
    assert {name for name, units in held.items() if units > 0} <= {isin(bond) for bond in CHEAP}
    assert {name for name, units in held.items() if units < 0} <= {isin(bond) for bond in DEAR}
    assert len(ran.state.book.opened) >= 4


@given(
    seed=st.integers(0, 10**6), rules=st.builds(Rules, entry_z=st.just(0.0), lot=st.sampled_from([1, 1_000, 100_000]))
)
@settings(max_examples=settings().max_examples // 4, deadline=None)
def test_every_package_is_dv01_neutral_at_the_close_at_which_it_is_dealt(seed: int, rules: Rules) -> None:
    tape = small_treasuries(noise(seed, days=1))
    ran, risk = Ran(tape, strategy(rules)), dv01s(tape, 0)
    for package in ran.state.book.packages:
        risks = [units * risk[name] for name, units in package.legs.items()]
        last = list(package.legs)[-1]
        assert abs(sum(risks)) <= (rules.lot / 2 + 1e-6) * risk[last]
        assert risks[0] == pytest.approx(package.side * rules.package_dv01, abs=rules.lot * risk[package.isin])
    assert ran.held() == {name: units for name, units in ran.state.book.wanted().items() if units}


numbers = st.floats(1e-5, 3e-3)


@given(
    dv01=st.lists(numbers, min_size=3, max_size=3),
    share=st.floats(0, 1),
    hedges=st.sampled_from([1, 2]),
    side=st.sampled_from([1, -1]),
    lot=st.sampled_from([1, 1_000]),
)
def test_two_hedges_share_the_risk_so_that_a_tilt_does_not_move_the_package(
    dv01: list[float], share: float, hedges: int, side: int, lot: int
) -> None:
    years = [5 + share, 5.0, 6.0]
    names = ["A", "B", "C"]
    legs = make_legs(Rules(lot=lot), side, names, years, dv01, hedges)
    risks = {name: legs.get(name, 0) * dv01[i] for i, name in enumerate(names)}
    rounding = lot * max(dv01)
    assert abs(sum(risks.values())) <= rounding / 2 * (1 + 1e-9)
    assert all(units % lot == 0 for units in legs.values())
    if hedges == 2:
        tilt = sum(risk * (years[i] - 5) for i, risk in enumerate(risks.values()))
        assert abs(tilt) <= 1.5 * rounding
    mirrored = make_legs(Rules(lot=lot), -side, names, years, dv01, hedges)
    assert mirrored == {name: -units for name, units in legs.items()}


@given(seed=st.integers(0, 10**6))
@settings(max_examples=settings().max_examples // 4, deadline=None)
def test_errors_of_the_other_sign_give_the_mirrored_trades(seed: int) -> None:
    rng = np.random.default_rng(seed)
    errors = planted([], [])
    errors[:, CHEAP + DEAR] = rng.choice([-8.0, 8.0], len(CHEAP + DEAR))
    errors = np.repeat(errors, 2, axis=0) * [[1.0], [0.0]]  # they are gone on the second day
    rules = msgspec.structs.replace(RULES, max_bond_dv01=1e9)  # or who comes first would matter
    one, other = (Ran(small_treasuries(e), strategy(rules)) for e in (errors, -errors))
    assert [(day, name, np.sign(units)) for day, name, units in one.deals()] == [
        (day, name, -np.sign(units)) for day, name, units in other.deals()
    ]
    largest = max((abs(units) for _, _, units in one.deals()), default=0)
    for (_, _, units), (_, _, mirrored) in zip(one.deals(), other.deals(), strict=True):
        assert abs(units + mirrored) <= 0.03 * largest  # a cheap bond has a smaller DV01 than the same bond dear


@given(seed=st.integers(0, 10**6), day=st.integers(1, 2))
@settings(max_examples=settings().max_examples // 4, deadline=None)
def test_what_happens_later_changes_no_deal_before(seed: int, day: int) -> None:
    errors = noise(seed)
    other = errors.copy()
    other[day:] = noise(seed + 1)[day:]
    before = [[deal for deal in Ran(small_treasuries(e)).deals() if deal[0] < day] for e in (errors, other)]
    assert before[0] == before[1]


@pytest.mark.parametrize("fill", ["same_close", "next_close"])
def test_price_interest_funding_and_cost_add_up_to_the_ledger(fill: str) -> None:
    ran = Ran(small_treasuries(noise(3, days=60)), fill=fill, bond_bp=0.25)
    pnl, tally = ran.result.pnl["USD"] / MICRO, ran.state.tally
    assert tally.deals > 50
    assert tally.earned == pytest.approx(pnl, abs=1e-2)
    assert sum(tally.daily) == pytest.approx(pnl, abs=1e-2)
    assert tally.interest != 0
    assert tally.cost > 0


def test_the_shadow_follows_the_unadjusted_z_spread_and_deals_nothing() -> None:
    ran = Ran(small_treasuries(planted(CHEAP, DEAR, days=2)))
    assert ran.state.shadow.opened
    assert ran.state.shadow_tally.cost == pytest.approx(
        0.5
        * sum(
            abs(units) * ran.state.shadow_tally.marks[name].dv01 for name, units in ran.state.shadow_tally.units.items()
        ),
        rel=0.05,
    )
    assert ran.held() == dict(ran.state.book.wanted())


def test_on_a_steep_curve_the_shadow_trades_coupons_where_nothing_is_cheap() -> None:
    flat = np.full((1, 12), 0.01)  # swaps, where government yields rise by 1.2 %
    rules = msgspec.structs.replace(RULES, entry_bp=0.8, exit_bp=0.2, hedge_bp=0.6)
    state = Ran(small_treasuries(planted([], []), swap_rate=flat), strategy(rules, signal="z_spread_adjusted")).state
    assert state.book.opened == []
    coupons = dict(zip(bonds()["isin"].astype(str), bonds()["coupon"], strict=True))
    sides = [[coupons[name] for _, name, side in state.shadow.opened if side == way] for way in (1, -1)]
    assert max(sides[0], default=0.0) < min(sides[1], default=1.0)  # low coupons look cheap, high ones dear
    assert state.shadow.opened


def test_a_bond_without_a_price_of_today_is_not_dealt_and_its_packages_wait() -> None:
    errors = planted(CHEAP, DEAR, days=4)
    errors[1:] = 0.0
    age = np.zeros((4, BONDS), np.uint8)
    age[1:3, CHEAP] = 1
    ran = Ran(small_treasuries(errors, age_bond_price=age))
    assert {day for day, name, _ in ran.deals() if name in {isin(bond) for bond in CHEAP}} == {0, 3}
    assert ran.result.declined["end waits: no fresh price"] > 0
    assert ran.state.left_out["unpriced"] == 2 * len(CHEAP)
    assert not ran.state.book.packages


def test_missing_quotes_are_counted_by_reason() -> None:
    errors = planted(CHEAP, DEAR, days=2)
    no_repo, no_swaps = np.full((2, 4), np.nan), np.full((2, 12), np.nan)
    assert Ran(small_treasuries(errors, gc_repo=no_repo)).result.declined == {"gc_repo missing or stale": 2}
    ran = Ran(small_treasuries(errors, swap_rate=no_swaps), strategy(signal="both"))
    assert ran.result.declined == {"no z-spreads: swap_rate missing or stale": 2}
    assert ran.deals() == []
    short = small_treasuries(errors, swap_rate=np.full((2, 3), 0.02), axis_swap_tenor=np.arange(1.0, 4.0))
    ran = Ran(short)
    assert ran.result.declined["no z-spreads: the swap curve does not reach these bonds"] == 2
    assert ran.state.book.opened
    few = bonds()
    few["kind"][4:] = b"TIPS"
    assert Ran(small_treasuries(errors, axis_bond=few)).result.declined == {"no curve fits these bonds": 2}


def test_a_package_with_a_refused_leg_is_taken_off_at_the_next_close() -> None:
    limit = RiskConfig(otc=OtcRisk(bond=OtcLimits(max_notional=20_000_000 * MICRO)))
    ran = Ran(small_treasuries(planted(CHEAP, DEAR, days=2)), strategy(), risk=limit)
    assert ran.result.orders.rejected["MAX_NOTIONAL"] > 0
    refused = ran.state.book.ended["refused: MAX_NOTIONAL"]
    assert refused > 0
    assert ran.tape.rows["order_id"][-1] == 1


def test_packages_end_when_the_bond_is_fair_again_or_after_their_time() -> None:
    errors = planted(CHEAP, DEAR, days=8)
    fair = errors.copy()
    fair[3:] = 0.0
    ended = Ran(small_treasuries(fair)).state.book.ended
    assert set(ended) == {"no longer cheap or dear"}
    assert Ran(small_treasuries(fair)).state.tally.units == {}
    assert set(Ran(small_treasuries(errors)).state.book.ended) == {"held too long"}


def quotes(signal_bp: list[float], funding_bp: float = 0.0) -> Quotes:
    n = len(signal_bp)
    names = [f"B{i}" for i in range(n)]
    columns = np.linspace(2, 4, n), np.zeros(n, np.int64), np.full(n, 5e-4), np.full(n, funding_bp), np.array(signal_bp)
    return Quotes(0, names, *columns, frozenset(names))


def test_a_bond_that_was_always_cheap_is_not_unusual() -> None:
    rules, book = Rules(window=5, entry_z=1.5), Book()
    rng = np.random.default_rng(0)
    for _ in range(5):
        assert review(book, rules, quotes([8.0 + rng.normal(0, 0.5), -8.0])) == ["history too short"] * 2
    assert review(book, rules, quotes([8.0, -8.0])) == ["not unusual against its past"] * 2
    assert review(book, rules, quotes([12.0, -8.0])) == ["not unusual against its past"]
    assert [package.isin for package in book.packages] == ["B0"]


def test_dear_funding_keeps_a_long_out_and_a_special_bond_a_short() -> None:
    rules = Rules(entry_z=0.0, carry_days=10)
    for funding, refused in ((0.2, [4.0, -2.0]), (-0.2, [-4.0, 2.0])):
        book = Book()
        assert review(book, rules, quotes(refused, funding)) == ["funding takes too much"]
        assert review(book, rules, quotes(refused, -funding)) == []


def test_the_shipped_config_runs_on_another_tape_says_its_conventions_and_verifies(tmp_path: Path) -> None:
    tape = small_treasuries(noise(5))
    tape.save(tmp_path / "tape")
    sets = [f"feed_params.tapes={[str(tmp_path / 'tape')]}", "params.rules.entry_z=0.0", "params.knots=2"]
    config = load(shipped_configs()["bond_rv"], sets=sets)
    result = run_config(config, out=tmp_path / "run", chunks=2)
    assert result.orders.fills > 0
    assert verify(tmp_path / "run").matches
    told = "\n".join(banner(config, tape.manifest, 0))
    assert "bonds 0.25 bp of yield x DV01" in told
    assert "USD as USD 2016" in told
    assert "bonds max_notional 500,000,000.00, max_open_dv01 2,000,000.00" in told


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"exit_bp": 3.0}, r"exit at 3 bp and z 0 is not below entry at 3 bp and z 1\.5"),
        ({"buckets": (1.0, 1.0)}, r"buckets is \(1\.0, 1\.0\), but must be two or more years that ascend"),
        ({"max_bond_dv01": 5_000.0}, r"max_bond_dv01 is 5000, less than package_dv01, 10000"),
    ],
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Rules(**wrong)


def test_repo_of_other_terms_is_refused() -> None:
    tape = small_treasuries(planted([], []), axis_repo_tenor=np.array([0.0027, 0.1, 0.25, 1.0]))
    with pytest.raises(StrategyError, match=r"axis_repo_tenor is .* overnight and of 1, 3 and 6 months"):
        Ran(tape)


def year(half_life: float, seed: int) -> tuple[float, float]:
    """(earned before costs, cost) of a year of the world, in millions."""
    params = RatesParams(years=1, mispricing_half_life_days=half_life)
    rules = Rules(entry_z=0.0)
    ran = Ran(synthetic_rates(params, seed=seed), BondRv(symbol=SYMBOL, rules=rules), bond_bp=0.25)
    assert len(ran.state.book.opened) > 40
    return (ran.state.tally.earned + ran.state.tally.cost) / 1e6, ran.state.tally.cost / 1e6


@pytest.mark.slow
def test_without_mean_reversion_it_loses_its_costs_and_no_more() -> None:
    gross, cost = np.array([year(0.0, seed) for seed in range(8)]).T
    error = gross.std(ddof=1) / np.sqrt(len(gross))
    assert abs(gross.mean()) < 3 * error
    assert (cost > 0).all()
    assert error < cost.mean()  # it could have seen a gain of the size of the costs


@pytest.mark.slow
def test_with_mean_reversion_planted_it_earns() -> None:
    gross, cost = np.array([year(WORLD.mispricing_half_life_days, seed) for seed in range(4)]).T
    assert (gross > 2 * cost).all()
