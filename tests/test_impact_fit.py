"""Calibration finds what was planted, says how sure it is, and refuses what permits manipulation."""

import numpy as np
import pytest

from engine.broker.impact import REGIONS, Parameters
from engine.errors import ConfigError
from engine.impact_fit import check_forward, fit_executions
from engine.impact_path import mean_cost_bp

NAMES = Parameters.__struct_fields__
PARENTS, SEEDS = 20_000, 12


def executions(p, n, seed, *, noise=1.0):
    """Parents of many sizes, lengths and stocks; prices wander while they trade."""
    rng = np.random.default_rng(seed)
    v = np.exp(rng.uniform(np.log(0.005), np.log(0.4), n))
    duration = np.exp(rng.uniform(np.log(0.2), np.log(13), n))
    sigma = np.exp(rng.normal(np.log(0.02), 0.5, n))
    spread = np.exp(rng.normal(np.log(5), 0.8, n))
    a = 1 - p.omega
    cost = p.alpha * sigma**p.beta * v**p.gamma * duration**a / (a * (1 + a)) + p.delta * spread
    cost += noise * rng.normal(0, 1e4 * sigma * np.sqrt(duration / 39))
    return {"participation": v, "duration": duration, "volatility": sigma, "spread_bp": spread, "cost_bp": cost}


def test_the_fitted_cost_is_the_macro_forms():
    table = executions(REGIONS["NA"], 5, 1, noise=0.0)
    for k in range(5):
        v, duration, sigma, spread, cost = (table[name][k] for name in table)
        macro = mean_cost_bp(REGIONS["NA"], [v], [0, duration], daily_volatility=sigma, spread_bp=spread)
        assert macro == pytest.approx(cost)


@pytest.mark.parametrize("region", sorted(REGIONS))
def test_without_noise_the_planted_parameters_come_back(region):
    planted = REGIONS[region]
    found = fit_executions(executions(planted, 500, 3, noise=1e-6)).parameters
    for name in NAMES:
        assert getattr(found, name) == pytest.approx(getattr(planted, name), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("region", sorted(REGIONS))
def test_planted_parameters_are_recovered_within_two_standard_errors(region):
    """12 seeds of 20,000 parents, 60 estimates a region; whatever the region, the priors are North America's."""
    planted = REGIONS[region]
    off = np.empty((SEEDS, len(NAMES)))
    for seed in range(SEEDS):
        fit = fit_executions(executions(planted, PARENTS, seed), region="NA")
        off[seed] = [(getattr(fit.parameters, n) - getattr(planted, n)) / fit.errors[n] for n in NAMES]
        assert fit.noise == pytest.approx(1, abs=0.03)
    # 95 % lie within two standard errors if these are right; alpha and beta of one table are wrong together
    assert (np.abs(off) <= 2).mean() >= 0.88
    assert np.abs(off).max() < 4
    assert 0.6 < off.std() < 1.4


def along(paths, p, n, seed):
    """The same parents, each done in its own way over its duration; costs by the macro form, bin by bin."""
    table = executions(p, n, seed, noise=0.0)
    k = paths.shape[1]
    for row, path in enumerate(paths):
        v, duration, sigma, spread, _ = (table[name][row] for name in table)
        edges = np.linspace(0, duration, k + 1)
        table["cost_bp"][row] = mean_cost_bp(p, v * path * k, edges, daily_volatility=sigma, spread_bp=spread)
    return table


def test_along_their_paths_parents_give_back_what_was_planted_and_a_constant_rate_does_not():
    paths = np.random.default_rng(2).dirichlet(np.full(10, 0.7), 500)
    table = along(paths, REGIONS["APAC"], 500, 3)
    found = fit_executions({**table, "path": paths}, region="APAC").parameters
    for name in NAMES:
        assert getattr(found, name) == pytest.approx(getattr(REGIONS["APAC"], name), rel=1e-3)
    blind = fit_executions(table, region="APAC")
    assert blind.residual_bp > 0.1


def test_an_even_path_is_a_constant_rate():
    table = executions(REGIONS["NA"], 200, 3)
    even = fit_executions({**table, "path": np.full((200, 10), 0.1)})
    for name in NAMES:
        found = getattr(fit_executions(table).parameters, name)
        assert getattr(even.parameters, name) == pytest.approx(found, rel=1e-4)


def test_later_costs_are_told_better_by_parameters_fitted_to_earlier_ones_than_by_another_region():
    table = executions(REGIONS["APAC"], 20_000, 4)
    start = np.random.default_rng(1).permutation(20_000)
    found = check_forward(table, start, region="NA")
    assert (found.earlier, found.later) == (14_000, 6_000)
    assert found.fitted_r2 > found.region_r2


def test_too_few_parents_on_one_side_of_the_cut_are_refused():
    with pytest.raises(ConfigError, match="35 earlier and 15 later parents are too few"):
        check_forward(executions(REGIONS["NA"], 50, 1), np.arange(50))


def test_priors_decide_what_a_small_table_cannot_say():
    fit = fit_executions(executions(REGIONS["NA"], 40, 5), region="NA")
    assert fit.errors["omega"] <= 0.3
    assert abs(fit.parameters.gamma - REGIONS["NA"].gamma) < 0.6


def test_more_parents_make_smaller_errors():
    few, many = (fit_executions(executions(REGIONS["NA"], n, 5)).errors for n in (500, 50_000))
    assert all(many[name] < few[name] for name in NAMES)


@pytest.mark.parametrize(
    ("change", "says"), [({"gamma": 0.25}, "is below 1"), ({"omega": 0.3, "gamma": 0.8}, "below 2 - log2")]
)
def test_a_result_that_permits_manipulation_is_refused(change, says):
    planted = Parameters(**{**{name: getattr(REGIONS["NA"], name) for name in NAMES}, **change})
    with pytest.raises(ConfigError, match=f"impact fit of 2000 parents: .*{says}"):
        fit_executions(executions(planted, 2_000, 1, noise=0.01))


def broken(**change):
    table = executions(REGIONS["NA"], 50, 1)
    for name, (row, value) in change.items():
        table[name][row] = value
    return table


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"participation": [0.1]}, "no column duration, volatility, spread_bp, cost_bp"),
        (executions(REGIONS["NA"], 29, 1), "29 parents are too few"),
        (broken(duration=(7, 0.0)), "duration is 0.0 in row 7, but must be finite and > 0"),
        (broken(volatility=(2, np.nan)), "volatility is nan in row 2"),
        (broken(spread_bp=(1, -1.0)), "spread_bp is -1.0 in row 1"),
        (broken(cost_bp=(3, np.inf)), "cost_bp is inf in row 3"),
        ({**executions(REGIONS["NA"], 50, 1), "path": np.full((50, 4), 0.3)}, "parts >= 0 that add up to 1"),
    ],
)
def test_a_table_that_cannot_be_is_refused_with_its_row(table, says):
    with pytest.raises(ConfigError, match=says):
        fit_executions(table)


def test_columns_of_different_length_are_refused():
    table = executions(REGIONS["NA"], 50, 1)
    with pytest.raises(ConfigError, match="one row a parent"):
        fit_executions({**table, "cost_bp": table["cost_bp"][:-1]})
