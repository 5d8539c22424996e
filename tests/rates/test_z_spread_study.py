"""The z-spread paper's printed numbers, and the sense of its exhibits on data of our own and of the market."""

import numpy as np
import pytest

from engine.errors import ConfigError
from engine.rates.bonds import Bonds, accrued, cash_flows
from engine.rates.curves import DiscountCurve
from engine.rates.z_spread import price_on_curve
from engine.rates.z_spread_exhibits import EXHIBIT_6, SUSPECT
from engine.rates.z_spread_proxies import PROXIES
from engine.rates.z_spread_study import (
    adjusted_french_spreads,
    coupon_neighbours,
    french_bonds,
    mispricing_table,
    optical_spreads,
    peripheral_spread,
    proxy_curves,
    relative_value,
)

OURS_WHERE_THE_PRINT_IS_WRONG = {
    ("Italy", "Govt level -100bp"): -1.079,
    ("Germany", "Swap curve +100bp"): -6.432,
    ("Germany", "Swap curve -100bp"): 6.246,
}


def test_exhibit_3_agrees_with_the_print_in_24_of_27_cells_and_says_why_not_in_the_others():
    cells = mispricing_table()
    assert len(cells) == 27
    for cell in cells:
        key = cell.country, cell.scenario
        assert cell.agrees == (key not in OURS_WHERE_THE_PRINT_IS_WRONG)
        assert bool(cell.doubt) == (not cell.agrees)
        if cell.agrees:
            assert round(cell.ours_bp, 1) == cell.printed_bp
        else:
            assert cell.ours_bp == pytest.approx(OURS_WHERE_THE_PRINT_IS_WRONG[key], abs=5e-4)
    assert set(SUSPECT) == set(OURS_WHERE_THE_PRINT_IS_WRONG)


def test_italy_to_the_third_decimal():
    italy = [cell.ours_bp for cell in mispricing_table() if cell.country == "Italy"]
    assert italy == pytest.approx([12.396, 1.105, -1.079, 0, 0, 9.247, -7.951, -7.455, 7.241], abs=5e-4)


def test_the_sign_flips_where_the_print_has_two_stars():
    flips = {(cell.country, cell.scenario) for cell in mispricing_table() if cell.flips}
    steep_swaps = {("France", "Swap curve +100bp"), ("Germany", "Swap curve +100bp")}
    assert flips == steep_swaps | {("France", "Govt curve -100bp"), ("Germany", "Govt curve -100bp")}


def test_germanys_suspect_cells_are_printed_against_frances_proxy():
    table = {(cell.country, cell.scenario): cell for cell in mispricing_table()}
    germany, france = table["Germany", "Proxy"].ours_bp, table["France", "Proxy"].ours_bp
    for scenario in ("Swap curve +100bp", "Swap curve -100bp"):
        cell = table["Germany", scenario]
        assert round(cell.ours_bp + germany - france, 1) == cell.printed_bp


def test_exhibit_4_and_5_fair_french_bonds_look_up_to_a_basis_point_cheap_or_dear():
    found = optical_spreads()
    assert found.beta_bp == pytest.approx(-0.37, abs=0.005)
    assert 0.8 < found.residual_bp.max() < 1
    assert -1 < found.residual_bp.min() < -0.8
    assert np.corrcoef(found.coupon, found.residual_bp)[0, 1] < -0.9


def test_exhibit_6_the_printed_adjustment_has_our_slope_and_october_2032_is_cheaper_than_both_neighbours():
    rows = {row.maturity: row for row in adjusted_french_spreads()}
    printed = np.polyfit([bond.coupon_percent for bond in EXHIBIT_6], [bond.adjustment_bp for bond in EXHIBIT_6], 1)
    assert printed[0] == pytest.approx(0.37, abs=0.005)
    for row in rows.values():
        assert row.adjustment_bp == pytest.approx(row.printed_adjustment_bp, abs=0.06)
    may_31, october_32, may_34 = (rows[day] for day in ("2031-05-25", "2032-10-25", "2034-05-25"))
    assert october_32.z_spread_bp < may_34.z_spread_bp
    assert october_32.adjusted_bp > max(may_31.adjusted_bp, may_34.adjusted_bp)


def test_exhibit_7_is_the_papers_recursion():
    curves = proxy_curves()
    for name, (y0, f) in PROXIES.items():
        rate = y0
        for year, found in zip(curves["years"], curves[name], strict=True):
            rate += f / year
            assert found == pytest.approx(100 * rate, abs=1e-12)


def test_exhibit_2_swap_spreads_mislead_most_z_spreads_less_and_adjusted_ones_least():
    dates = ["2048-05-25", "2048-02-25", *(f"20{year}-04-25" for year in range(30, 38))]
    bonds = Bonds(dates, [0.06, 0.01, *np.tile([0.01, 0.06], 4)], frequency=1)
    italy, swap = PROXIES["Italy"].curve(), PROXIES["EUR swap"].curve()
    settle = "2018-04-19"
    clean = price_on_curve(cash_flows(bonds, settle), italy) - accrued(bonds, settle)
    found = relative_value(bonds, settle, clean, italy, swap)
    high, low = coupon_neighbours(found.years, found.coupon)
    assert (high.tolist(), low.tolist()) == ([0], [1])
    assert found.swap_spread_bp == pytest.approx(found.fair_spread_bp, abs=1e-8)  # all are fair by construction
    assert found.cheapness_bp == pytest.approx(0, abs=1e-8)
    by_swap, by_z, by_adjusted = (
        column[1] - column[0] for column in (found.swap_spread_bp, found.z_spread_bp, found.adjusted_z_spread_bp)
    )
    assert by_swap > by_z + 10
    assert by_z > abs(by_adjusted) + 5


def test_exhibit_1_puts_the_volatility_that_followed_beside_each_spread():
    rng = np.random.Generator(np.random.Philox(3))
    days = np.arange("2010-01-01", "2012-01-01", dtype="datetime64[D]")
    sizes = np.where(np.arange(days.size) < 365, 1e-4, 5e-4)  # quiet, then not
    italy, spain = 0.05 + np.cumsum(rng.normal(size=(2, days.size)) * sizes, axis=1)
    found = peripheral_spread(days, np.column_stack((italy, spain)), np.full(days.size, 0.02), [3, 1])
    assert found.spread_bp == pytest.approx(1e4 * (0.75 * italy + 0.25 * spain - 0.02))
    assert np.isnat(found.dates).sum() == 0
    assert np.flatnonzero(np.isnan(found.volatility_bp)).tolist() == list(range(days.size - 63, days.size))
    k = 100
    after = np.diff(found.spread_bp)[k : k + 63]
    assert found.volatility_bp[k] == pytest.approx(after.std(ddof=1) * np.sqrt(252))
    assert found.volatility_bp[370] > 3 * found.volatility_bp[280]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weights": [1.0]}, r"yields \(100, 2\) and core \(100,\) do not fit 100 days, 1 weights"),
        ({"weights": [1.0, -1.0]}, r"weights\[0\] is 1.0, but must be >= 0, one of them > 0"),
        ({"core": np.full(100, np.nan)}, r"core\[0\] is nan, but must be a number"),
        ({"window": 100}, "100 days have no 100 days to follow"),
    ],
)
def test_a_bad_history_of_spreads_is_one_sentence(change, sentence):
    days = np.arange(100).astype("datetime64[D]")
    good = {"dates": days, "yields": np.full((100, 2), 0.03), "core": np.full(100, 0.01), "weights": [1.0, 1.0]}
    with pytest.raises(ConfigError, match=sentence):
        peripheral_spread(**{**good, **change})


def test_german_high_coupon_bonds_of_2008_are_measured_against_their_neighbours(recorded_data):
    """On real prices: the euro area's AAA curve stands in for both curves, so the coupon adjustment must vanish."""
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(recorded_data / "rates/bonds/eur_govbonds_snapshot.parquet")
    table = table[(table["country"] == "GERMANY") & table["maturity"].between("2014-02-15", "2037-12-31")]
    curves = pandas.read_parquet(recorded_data / "rates/curves/eur_usd_gbp_curves_fx_1999_2024.parquet")
    day = curves[(curves["CURRENCY"] == "EUR") & (curves["DATE"] == "2008-01-30")].sort_values("MONTHS")
    curve = DiscountCurve.from_zero_rates(
        day["MONTHS"] / 12, day["VALUE"], compounding="continuous", interpolation="linear zero"
    )
    bonds = Bonds(table["maturity"].to_numpy("datetime64[D]"), table["coupon"], frequency=1)
    found = relative_value(bonds, "2008-02-01", table["clean_price"], curve, curve)
    assert found.adjusted_z_spread_bp == pytest.approx(found.z_spread_bp, abs=1e-8)
    assert np.abs(found.cheapness_bp).max() < 40
    high, low = coupon_neighbours(found.years, found.coupon, within=1.1, gap=0.01)
    assert high.size
    assert (found.coupon[high] - found.coupon[low] >= 0.01).all()
    assert (np.abs(found.years[high] - found.years[low]) <= 1.1).all()


def test_french_bonds_are_those_of_exhibit_6():
    assert len(french_bonds()) == 13
    assert str(french_bonds().maturity[-1]) == "2048-05-25"
