"""Calibrated problems: what is planted is found, and nothing is taken from what it is judged on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.broker.impact import NoImpact, Propagator
from engine.errors import ConfigError
from engine.learning.calibrate import (
    Displayed,
    ParentTerms,
    alpha_states,
    calibrate,
    drift_slope,
    shown_part,
    shrunk,
    volume_shares,
)
from engine.learning.exact_policy import solve
from engine.learning.placement_problem import AGGRESSIVE
from engine.learning.step_facts import Forecast, Periods, step_facts
from engine.learning.ticker_days import ForecastTerms, Measuring, ticker_days
from engine.signals import NAMES
from engine.tape import Tape
from feeds.synthetic import MarketParams, Stock, synthetic_market

HOUR = MarketParams(
    stocks=(Stock(symbol="SYN", regime="large", price="20.00", daily_volatility=0.02),), window_minutes=(60, 150)
)
MEASURING = Measuring(periods=Periods(after_open_s=300, before_close_s=0, each_s=600), every_s=15.0)
TERMS = ParentTerms(steps=40)


@pytest.fixture(scope="module")
def tapes() -> list[Tape]:
    return synthetic_market(HOUR, seed=5, date="2026-03-02", days=2, view="L1")


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


@given(seed=st.integers(0, 1_000))
@settings(max_examples=25, deadline=None)
def test_states_of_alpha_are_alike_to_buyers_and_sellers(seed: int) -> None:
    states = alpha_states(rng(seed).normal(size=(6, 40)))
    assert states.start.sum() == pytest.approx(1)
    assert states.start[0] == pytest.approx(states.start[2])
    assert states.move.sum(axis=1) == pytest.approx(1)
    assert states.move == pytest.approx(states.move[::-1, ::-1])
    assert np.mean(states.alpha == 0) == pytest.approx(1 / 3, abs=0.01)


def test_how_long_a_state_of_alpha_lasts_is_found() -> None:
    draw, stay = rng(1), 0.85
    chain = np.zeros((200, 40))
    chain[:, 0] = draw.integers(3, size=200)
    for t in range(1, 40):
        moves = draw.random(200) > stay
        chain[:, t] = np.where(moves, (chain[:, t - 1] + draw.integers(1, 3, size=200)) % 3, chain[:, t - 1])
    found = alpha_states((chain - 1) * 0.3 + 1e-3 * draw.normal(size=chain.shape)).move
    assert np.diag(found) == pytest.approx([stay] * 3, abs=0.03)


@given(seed=st.integers(0, 1_000), slope=st.floats(-1, 1))
@settings(max_examples=25, deadline=None)
def test_a_planted_drift_is_found_within_five_errors(seed: int, slope: float) -> None:
    draw = rng(seed)
    alpha = draw.integers(-1, 2, size=(50, 40))
    found, error = drift_slope(slope * alpha + draw.normal(size=alpha.shape), alpha)
    assert abs(found - slope) < 5 * error
    assert error == pytest.approx(1 / np.sqrt((alpha**2).sum()), rel=0.2)


@given(slope=st.floats(-10, 10), error=st.floats(0, 10))
def test_shrinking_takes_no_sign_away_and_gives_nothing_that_chance_may_be(slope: float, error: float) -> None:
    found = shrunk(slope, error)
    assert abs(found) <= abs(slope)
    assert found * slope >= 0
    assert found == 0 or abs(slope) > error


def test_a_busy_period_counts_no_more_in_the_volume_curve_than_a_quiet_one() -> None:
    quiet, busy = np.array([1.0, 3.0]), 1_000 * np.array([3.0, 1.0])
    assert volume_shares(np.array([quiet, busy, [0.0, 0.0]])) == pytest.approx([0.5, 0.5])
    with pytest.raises(ConfigError, match="nothing was traded in the periods"):
        volume_shares(np.zeros((2, 4)))


def test_a_tape_becomes_a_problem_that_can_be_solved(tapes: list[Tape]) -> None:
    days = ticker_days(tapes, "SYN", terms=TERMS, povs=[0.05, 0.2], measuring=MEASURING)
    found = {pov: calibrate(days, ParentTerms(steps=40, pov=pov), impact=Propagator()) for pov in (0.05, 0.2)}
    small, large = found[0.05], found[0.2]
    assert small.lot_size * 4 == pytest.approx(large.lot_size)
    assert 1.0 <= small.spread_ticks < 1.5  # a large tick
    assert (small.problem.fill[:, 1] >= large.problem.fill[:, 1]).all()  # smaller orders fill no less
    assert (small.problem.fill[:, 1] >= small.problem.fill[:, 2]).all()
    assert (small.problem.fill[:, 1] > small.problem.fill[:, 3]).all()  # nearer to the touch
    assert -1 < small.marks[0].cost < 1  # they earn less than the half-spread: the price came to them
    assert solve(small.problem).cost < solve(large.problem).cost


def test_impact_is_charged_to_who_crosses_and_stands_for_all(tapes: list[Tape]) -> None:
    days = ticker_days(tapes, "SYN", terms=TERMS, povs=[0.2], measuring=MEASURING)
    terms = ParentTerms(steps=40, pov=0.2)
    moved, still = (calibrate(days, terms, impact=impact) for impact in (Propagator(), NoImpact()))
    passive, crossing = moved.problem.level < AGGRESSIVE, moved.problem.level == AGGRESSIVE
    charged = moved.problem.impact * moved.problem.size / 20
    assert not charged[passive].any()
    assert 0 < charged[crossing][0] < charged[crossing][1] < charged[crossing][2]
    assert moved.impact.standing > 0
    stands = moved.problem.spread_cost - still.problem.spread_cost
    assert stands == pytest.approx(np.where(moved.problem.size > 0, moved.impact.standing, 0.0))
    assert not still.problem.impact.any()
    assert moved.problem.leftover[0] == pytest.approx(terms.leftover + moved.impact.standing)


@given(seed=st.integers(0, 1_000))
@settings(max_examples=25, deadline=None)
def test_who_crosses_gets_what_is_displayed_at_such_an_imbalance(seed: int) -> None:
    draw = rng(seed)
    thin, thick = draw.integers(1, 100, 50), draw.integers(100, 200, 70)
    displayed = Displayed(np.repeat([0.5, -0.5], [50, 70]), np.concatenate([thin, thick]).astype(float))
    found = shown_part(displayed, np.array([0.0, 0.9]), np.array([0.0, 100.0, 400.0]))
    assert found[1] == pytest.approx([1.0, thin.mean() / 100, thin.mean() / 400])
    assert found[0] == pytest.approx([1.0, 1.0, thick.mean() / 400])
    assert found[2] == pytest.approx((50 * found[1] + 70 * found[0]) / 120)  # none was seen: as all


def test_without_fills_nothing_can_be_marked(tapes: list[Tape]) -> None:
    days = ticker_days(tapes, "SYN", terms=TERMS, povs=[0.1], measuring=MEASURING)
    none = [one._replace(orders=one.orders.some(np.arange(10))) for one in days.marking]
    with pytest.raises(ConfigError, match="virtual orders of"):
        calibrate(days._replace(marking=none), TERMS, impact=Propagator())


def test_a_fold_is_held_against_a_table_of_the_others(tapes: list[Tape]) -> None:
    whole = ticker_days(tapes, "SYN", terms=TERMS, povs=[0.1], measuring=MEASURING)
    changed = Tape(tapes[1].rows.copy(), tapes[1].manifest)
    changed.rows["size"][changed.rows["kind"] == 8] *= 3  # what trades on the second day
    other = ticker_days([tapes[0], changed], "SYN", terms=TERMS, povs=[0.1], measuring=MEASURING, period_volume=1e5)
    same = ticker_days(tapes, "SYN", terms=TERMS, povs=[0.1], measuring=MEASURING, period_volume=1e5)
    assert len(whole.tables) == 2
    assert np.array_equal(other.tables[1].count, same.tables[1].count)  # of the first day
    unit = other.mean_trade / same.mean_trade
    assert other.tables[1].sizes * unit == pytest.approx(same.tables[1].sizes)
    assert np.array_equal(other.tables[1].probability[:, -1, -1], same.tables[1].probability[:, -1, -1])
    assert not np.array_equal(other.tables[0].probability[:, -1, -1], same.tables[0].probability[:, -1, -1])


def test_no_step_knows_anything_later_than_its_start(tapes: list[Tape]) -> None:
    tape, seen = tapes[0], []

    def lean(signals: np.ndarray) -> np.ndarray:
        seen.append(signals)
        return signals[:, NAMES.index("queue_imbalance")]

    forecast = Forecast("trade", lean)
    whole = step_facts(tape, "SYN", MEASURING.periods, 40, forecast)
    cut = int(whole.start[2])
    early = Tape(tape.rows[tape.rows["ts_event"] <= cut], tape.manifest)
    part = step_facts(early, "SYN", MEASURING.periods, 40, forecast)
    for name in ("imbalance", "lean", "spread", "mid"):
        assert np.array_equal(getattr(part, name)[:2], getattr(whole, name)[:2])
    assert np.array_equal(part.volume[:2], whole.volume[:2])


def test_a_model_that_knew_a_day_is_not_calibrated_with(tapes: list[Tape]) -> None:
    from engine.shipped import shipped_folder

    early = synthetic_market(HOUR, seed=5, date="2026-01-06", view="L1")
    terms = ForecastTerms(by=str(shipped_folder("configs") / "models" / "DEMO_20.model"))
    measuring = Measuring(periods=MEASURING.periods, forecast=terms)
    for days in (early, [tapes[0], *early]):  # wherever it stands in the list
        with pytest.raises(ConfigError, match="was trained on the first of these days or later"):
            ticker_days(days, "SYN", terms=TERMS, povs=[0.1], measuring=measuring)


def test_one_period_is_too_little(tapes: list[Tape]) -> None:
    measuring = Measuring(periods=Periods(after_open_s=600, before_close_s=0, each_s=3_600))
    with pytest.raises(ConfigError, match="only one period can be measured"):
        ticker_days(tapes[:1], "SYN", terms=TERMS, povs=[0.1], measuring=measuring)
