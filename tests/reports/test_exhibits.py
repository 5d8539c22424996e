"""Verdicts: a planted premium is found and a fair market's is not, more tries make doubt, what is missing is named."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError, RunError
from engine.instruments import Instrument
from engine.rates.option_panel import OptionPanel
from engine.rates.short_gamma import Costs
from engine.rates.short_gamma_programme import STATISTICS, Market, returns, statistics, without_costs
from engine.reports.exhibits import FAILS, HOLDS, UNKNOWN, Claim, deviation, judge, judge_draws, judge_excess, plain
from engine.reports.exhibits_depth import DailyDepth, daily_depth, trailing_mean
from engine.reports.exhibits_page import write_exhibits_page, write_files
from engine.reports.exhibits_par_curve import par_curve_exhibits
from engine.reports.exhibits_short_gamma import Evidence, evidence, short_gamma_exhibits, verdicts_of
from engine.reports.exhibits_short_gamma_claims import CLAIMS, NAMES, Contrast, column
from engine.reports.exhibits_tables import Series, exhibit_1, exhibit_2, exhibit_4
from engine.reports.exhibits_z_spread import z_spread_exhibits
from engine.tape import ROW, Flag, Kind, Manifest, Tape

SALES, LIFE = 320, 21
CLAIM = Claim("7", "a rule pays", unit="%")
numbers = st.floats(-5, 5).filter(lambda x: abs(x) > 1e-3)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def market(seed: int, premium: float = 0.0) -> Market:
    """A normal walk of rates, and options at its vol or above."""
    days = SALES + LIFE
    walk = 0.03 + np.cumsum(rng(seed).normal(0.0, 0.0005, days))
    at = np.arange(SALES)[:, None] + np.arange(LIFE + 1)
    at = np.minimum(at, days - 1)
    shape = (SALES, LIFE + 1)
    years = np.broadcast_to((LIFE - 1 - np.arange(LIFE + 1)) / 252, shape)
    last = np.full(SALES, LIFE - 1)
    vol = 0.0005 * math.sqrt(252)
    quoted = vol * (1 + premium)
    smiles = np.full((*shape, 1), quoted)
    dates = np.datetime64("2010-01-01") + np.arange(days)
    panel = OptionPanel(dates, np.arange(SALES), last, walk[at], np.full(shape, 8.0), years, smiles)
    wobble = 1 + 0.01 * rng(seed + 1).normal(size=days)
    return Market(panel, quoted * wobble, np.full(days, quoted), walk)


@pytest.fixture(scope="module")
def worlds() -> np.ndarray:
    columns = without_costs()
    return np.array([statistics(returns(market(1_000 + k), Costs(), columns)) for k in range(200)])


@pytest.fixture(scope="module")
def paid(worlds: np.ndarray) -> Evidence:
    return evidence(market(7, premium=0.2), Costs(), worlds, rng(), draws=60)


def headline(found: Evidence) -> list[str]:
    return [verdict.verdict for verdict in verdicts_of(found) if verdict.exhibit == "1"]


# Verdicts


def test_a_number_beyond_its_error_holds_and_one_within_it_does_not():
    assert judge(CLAIM, 2.0, 1.0).verdict == HOLDS
    assert judge(CLAIM, 1.0, 1.0).verdict == FAILS
    assert "not told from 0" in judge(CLAIM, 1.0, 1.0).why


def test_the_opposite_is_called_the_opposite():
    assert judge(CLAIM, -2.0, 1.0).verdict == FAILS
    assert judge(CLAIM, -2.0, 1.0).why.startswith("the opposite")


@pytest.mark.parametrize(("number", "error"), [(math.nan, 1.0), (1.0, math.nan), (1.0, 0.0)])
def test_a_number_without_a_value_or_an_error_cannot_be_judged(number, error):
    assert judge(CLAIM, number, error).verdict == UNKNOWN


@given(number=numbers, error=st.floats(0.01, 5), tried=st.integers(1, 50))
def test_more_tries_never_make_a_claim_hold(number, error, tried):
    one, many = (judge(CLAIM._replace(tried=n), number, error).verdict for n in (tried, tried + 1))
    assert not (one != HOLDS and many == HOLDS)


@given(number=numbers, error=st.floats(0.01, 5))
def test_a_claim_and_its_opposite_never_both_hold(number, error):
    assert [judge(CLAIM, x, error).verdict for x in (number, -number)].count(HOLDS) <= 1


def test_a_number_that_fair_worlds_show_too_is_no_finding():
    fair = rng().normal(2.0, 0.1, 200)
    assert judge_excess(CLAIM, 2.0, rng(2).normal(2.0, 0.1, 99), fair).verdict == FAILS
    found = judge_excess(CLAIM, 3.0, rng(2).normal(3.0, 0.1, 99), fair)
    assert found.verdict == HOLDS
    assert found.number == pytest.approx(1.0, abs=0.03)
    assert found.error == pytest.approx(0.1, abs=0.03)


def test_a_ratio_that_explodes_upwards_is_judged_by_its_lower_side():
    draws = np.concatenate([np.linspace(1.0, 2.0, 50), np.linspace(2.0, 500.0, 50)])
    assert deviation(draws, above=True) == pytest.approx(0.7, abs=0.05)
    assert deviation(-draws, above=False) == pytest.approx(0.7, abs=0.05)
    assert judge_draws(CLAIM, 2.0, draws).verdict == HOLDS


def test_without_fair_worlds_a_rule_cannot_be_judged_and_few_are_refused():
    assert judge_excess(CLAIM, 3.0, np.zeros(9), []).verdict == UNKNOWN
    with pytest.raises(ConfigError, match="199 fair worlds are too few"):
        judge_excess(CLAIM, 3.0, np.arange(9.0), np.zeros(199))


# Contrasts


@given(shift=st.floats(-3, 3))
def test_what_all_rules_share_leaves_a_difference_unchanged(shift):
    table = rng().normal(size=(len(NAMES), len(STATISTICS)))
    for _, contrast in CLAIMS:
        moved = float(contrast.of(table + shift) - contrast.of(table))
        assert moved == pytest.approx(0.0 if contrast.minus else shift, abs=1e-12)


def test_the_change_between_halves_is_the_difference_of_differences():
    table = np.zeros((len(NAMES), len(STATISTICS)))
    for value, (structure, hedge, half) in {
        5.0: ("strangle", "never", 2), 3.0: ("straddle", "daily", 2), 2.0: ("strangle", "never", 1),
        1.5: ("straddle", "daily", 1),
    }.items():  # fmt: skip
        table[NAMES.index(column(structure, hedge, "gross", half=half))] = value
    contrast = next(c for claim, c in CLAIMS if claim.exhibit == "3" and "half" in claim.text)
    assert float(contrast.of(table)) == pytest.approx((5.0 - 3.0) - (2.0 - 1.5))


def test_the_best_of_others_is_not_their_mean():
    table = np.zeros((len(NAMES), len(STATISTICS)))
    table[1] = 4.0
    plus, minus = NAMES[:1], NAMES[1:3]
    assert float(Contrast("mean", plus, minus, is_of_best=True).of(table)) == -4.0
    assert float(Contrast("mean", plus, minus).of(table)) == -2.0


# Short gamma on constructed markets


@pytest.mark.slow
def test_a_planted_premium_holds(paid):
    assert headline(paid) == [HOLDS, HOLDS]
    implied = next(v for v in verdicts_of(paid) if v.claim == "implied vol pays for the daily volatility")
    assert implied.verdict == HOLDS


def test_a_fair_market_pays_nothing(worlds):
    found = [headline(evidence(market(50 + k), Costs(), worlds, rng(k), draws=60)) for k in range(4)]
    assert sum(told.count(HOLDS) for told in found) <= 1  # of 8; each is wrong one time in 20


def test_nothing_about_the_premium_is_judged_without_vols_or_without_worlds(paid):
    blind = short_gamma_exhibits(paid, has_vols=False)
    told = [verdict for one in blind for verdict in one.verdicts if one.number != "8"]
    assert {verdict.verdict for verdict in told} == {UNKNOWN}
    assert all("normal_vol" in one.missing for one in blind if one.number != "8")
    alone = evidence(market(7, premium=0.2), Costs(), paid.worlds[:0], rng(), draws=20)
    assert headline(alone) == [UNKNOWN, UNKNOWN]


def test_pricing_alone_gives_the_gamma_of_exhibit_8(paid):
    gamma = next(one for one in short_gamma_exhibits(paid, has_vols=False) if one.number == "8")
    at = list(gamma.table["shock_bp"]).index(20.0)
    shown = [gamma.table[name][at] for name in ("straddle", "strangle", "straddle, aged", "strangle, aged")]
    assert shown == pytest.approx([68.7289, 80.7914, 67.9465, 92.0684], abs=1e-3)


def test_a_history_of_less_than_two_blocks_is_refused():
    short = market(1)
    panel = short.panel
    few = OptionPanel(
        panel.dates, panel.sold[:80], panel.last[:80], panel.forward[:80], panel.annuity[:80], panel.years[:80],
        panel.smiles[:80],
    )  # fmt: skip
    with pytest.raises(ConfigError, match="80 sales are fewer than two blocks of 42"):
        evidence(short._replace(panel=few), Costs(), np.empty((0, 1, 7)), rng())


# A user's own tables


def monthly(**columns: np.ndarray) -> Series:
    size = len(next(iter(columns.values())))
    dates = (np.datetime64("2010-01") + np.arange(size)).astype("datetime64[D]")
    return Series(dates, columns)


def test_rates_that_pay_more_than_other_markets_hold_and_those_that_pay_alike_do_not():
    def noise(seed: int, mean: float) -> np.ndarray:
        return mean + rng(seed).normal(size=120)

    better = exhibit_1(monthly(**{"Rates USD": noise(1, 1.5), "FX EUR": noise(2, 0.0)}), [], rng())
    alike = exhibit_1(monthly(**{"Rates USD": noise(1, 0.3), "FX EUR": noise(2, 0.3)}), [], rng())
    assert [one.verdicts[0].verdict for one in (better, alike)] == [HOLDS, FAILS]
    assert better.table["printed"][1] == -0.11


def test_convexity_below_half_of_2009_holds():
    dates = np.array(["2009-03-01", "2009-09-01", "2016-01-01"], "datetime64[D]")
    assert exhibit_2(Series(dates, {"GSE": np.array([8.0, 8.0, 3.0])})).verdicts[0].verdict == HOLDS
    assert exhibit_2(Series(dates[1:], {"GSE": np.array([8.0, 5.0])})).verdicts[0].verdict == FAILS
    assert exhibit_2(Series(dates[2:], {"GSE": np.array([5.0])})).verdicts[0].verdict == UNKNOWN


def test_depth_that_fell_holds_and_a_short_history_cannot_be_judged():
    dates = np.datetime64("2010-01-01") + np.arange(6 * 366)
    size = np.where(dates < dates[-1] - 360, 10.0, 5.0) + rng().normal(0, 0.5, dates.size)
    assert exhibit_4(DailyDepth(dates, size), rng()).verdicts[0].verdict == HOLDS
    assert exhibit_4(DailyDepth(dates[:400], size[:400]), rng()).verdicts[0].verdict == UNKNOWN


def test_a_trailing_mean_has_no_value_before_its_years_are_full():
    dates = np.datetime64("2010-01-01") + np.arange(800)
    mean = trailing_mean(dates, np.arange(800.0), 1)
    assert np.isnan(mean[:365]).all()
    assert mean[365] == pytest.approx(np.arange(1.0, 366.0).mean())


def test_depth_is_the_mean_of_three_levels_a_side_over_the_time_they_stand():
    open_ns = 1_767_623_400_000_000_000  # 2026-01-05 09:30 New York
    levels = [(1, 99, 10), (1, 98, 20), (1, 97, 30), (1, 96, 900), (-1, 101, 40), (-1, 102, 50), (-1, 103, 60)]
    rows = np.zeros(9, ROW)
    rows["ts_event"][:7], rows["ts_event"][7:] = open_ns, [open_ns + 1_800_000_000_000, open_ns + 7_200_000_000_000]
    for row, (side, price, size) in zip(rows, [*levels, (1, 99, 70), (1, 99, 5)], strict=True):
        row["side"], row["price"], row["size"] = side, price, size
    rows["kind"], rows["flags"] = Kind.DEPTH, Flag.LAST
    tape = Tape(rows, Manifest(instruments=[Instrument(symbol="TY", book="L2", levels=10)]))
    found = daily_depth([tape])
    assert found.dates.tolist() == [np.datetime64("2026-01-05").item()]
    assert found.size[0] == pytest.approx((35.0 + 45.0) / 2)  # half an hour of each before 10:30


# What is missing, and files


def test_what_is_missing_is_named():
    alone = [exhibit_1(None, [], rng()), exhibit_2(None), exhibit_4(None, rng())]
    assert [one.missing.split(":")[0].removeprefix("no ") for one in alone] == ["--returns", "--convexity", "--depth"]
    bare = par_curve_exhibits({}, rng())
    assert "par_yield" in bare[0].missing
    assert all("bond_price" in one.missing for one in bare[1:])
    assert {v.verdict for one in [*alone, *bare] for v in one.verdicts} == {UNKNOWN}


def test_the_z_spread_exhibits_need_nothing_but_mark_what_cannot_be_right():
    shown = {one.number: one for one in z_spread_exhibits(why="the tape has no panel bond")}
    assert shown["2"].missing == "the tape has no panel bond"
    assert sum(shown["3"].table["agrees"]) == 24
    assert sum(bool(doubt) for doubt in shown["3"].table["doubt"]) == 3
    assert shown["6"].verdicts[0].verdict == HOLDS


def test_ten_year_prices_move_more_than_two_year_ones():
    yields = 0.03 + np.cumsum(rng().normal(0, 5e-4, (300, 2)), axis=0)
    panels = {
        "date": np.arange(300, dtype=np.int32) + 15_000,
        "par_yield": yields,
        "axis_par_tenor": np.array([2.0, 10.0]),
    }
    verdict = par_curve_exhibits(panels, rng())[0].verdicts[0]
    assert verdict.verdict == HOLDS
    assert verdict.number == pytest.approx(math.log(8.6 / 1.93), abs=0.15)


def test_files_and_page_are_written_once(tmp_path, paid):
    exhibits = short_gamma_exhibits(paid, has_vols=True)
    files = write_files(tmp_path / "new", exhibits)
    assert {file.name for file in files} == {*(f"exhibit_{one.number}.csv" for one in exhibits), "verdicts.csv"}
    page = write_exhibits_page(tmp_path / "new" / "page.html", "Title", ["fact"], exhibits)
    assert "hedged daily" in page.read_text(encoding="utf-8")
    assert plain(exhibits)[0]["exhibit"] == "3"
    with pytest.raises(RunError, match="exists; choose another --out folder"):
        write_files(tmp_path / "new", exhibits)
