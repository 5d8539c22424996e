"""The backpropagation study: laws of what it measures, the same numbers for the same seed, and its command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.backprop_views import RELU, SIGMOID, backprop_exhibits
from engine.cli import main
from engine.learning.backprop_depth import ARMS, chain_rule_miss, through_depth
from engine.learning.backprop_descent import FULL, LBFGS, RATES, SAME, WAYS, levels
from engine.learning.backprop_kernels import DIVERGED
from engine.learning.backprop_study import Study, study
from engine.learning.backprop_task import placement_task
from engine.reports.exhibits import FAILS, HOLDS, UNKNOWN, plain

SMALLEST: dict[str, Any] = {"pov": 0.1, "starts": 4, "epochs": 20, "rows": 64}


@pytest.fixture(scope="module")
def found() -> Study:
    return study(**SMALLEST, seed=5)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def test_the_task_is_standardised_and_holds_out_other_rows() -> None:
    task = placement_task(0.1, 200, rng())
    np.testing.assert_allclose(task.x.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose([task.y.mean(), task.y.std()], [0, 1], atol=1e-12)
    assert task.states == 40 * 20 * 3 * 8
    assert not {tuple(row) for row in task.x} & {tuple(row) for row in task.held_x}


def test_the_notes_product_of_four_terms_is_the_gradient() -> None:
    assert chain_rule_miss(rng(), tries=50) < 1e-12


def test_products_of_activation_gradients_stay_below_a_quarter_a_layer_and_below_one() -> None:
    found = through_depth(placement_task(0.1, 64, rng()), 4, 3, rng())
    for arm, largest in zip(ARMS, found.largest, strict=True):
        bound = (0.25 if arm.activation == "sigmoid" else 1.0) ** found.depth
        assert (largest <= bound[:, None]).all()
    assert (found.product <= found.largest).all()
    assert np.array_equal(found.first[:, 0], found.last[:, 0])  # one layer is the first and the last


def test_every_way_starts_where_the_others_do_and_lbfgs_never_rises(found: Study) -> None:
    starts = found.race.loss[:, :, 0]
    np.testing.assert_allclose(starts, np.broadcast_to(starts[FULL], starts.shape), rtol=1e-12)
    assert (np.diff(found.race.loss[LBFGS], axis=1) <= 0).all()
    assert found.race.loss.shape == (len(WAYS), 4, 21)


def test_the_highest_rates_diverge_and_the_lowest_do_not(found: Study) -> None:
    assert (found.sweep.outcome[:, -1] == "diverged").all()
    assert (found.sweep.outcome[:, 0] != "diverged").all()
    assert (found.sweep.end[:, 0] < DIVERGED).all()
    assert set(found.sweep.best) <= set(RATES)


def test_minima_are_one_where_they_are_near() -> None:
    np.testing.assert_array_equal(levels([2.0, 1.0, 1.0 + SAME / 2, 2.0 * (1 + SAME / 2)]), [1.0, 2.0])


def test_what_has_no_chance_in_it_comes_out_as_it_must(found: Study) -> None:
    verdicts = {verdict.claim: verdict for one in backprop_exhibits(found) for verdict in one.verdicts}
    assert verdicts["The gradient of the sigmoid is always less than 1"].number == 0.25
    assert verdicts["The gradient of the sigmoid is always less than 1"].verdict == HOLDS
    assert verdicts["Each layer shrinks the product of sigmoid gradients"].verdict == HOLDS
    assert verdicts["ReLU's product of gradients does not shrink"].verdict == FAILS
    assert {verdict.verdict for verdict in verdicts.values()} <= {HOLDS, FAILS, UNKNOWN}


def test_a_sigmoid_in_relus_place_is_noticed(found: Study) -> None:
    swapped = found.depths.first.copy()
    swapped[RELU] = swapped[SIGMOID]
    exhibit = backprop_exhibits(found._replace(depths=found.depths._replace(first=swapped)))[3]
    assert {v.claim: v.verdict for v in exhibit.verdicts}["ReLU loses less of it"] == FAILS


@pytest.mark.slow
def test_the_command_leaves_files_and_a_page_with_the_same_numbers_for_the_same_seed(
    found: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["exhibits", "backprop", "--out", str(tmp_path / "out"), "--html", "--json", "--seed", "5"]
    assert main([*words, *(f"--{name}={value}" for name, value in SMALLEST.items())]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["exhibits"] == json.loads(json.dumps(plain(backprop_exhibits(found))))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "exhibits.html", "verdicts.csv", *(f"exhibit_{k}.csv" for k in (1, 2, 4, 5, 6, 7, 8)),
    }  # fmt: skip


def test_too_few_starts_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exhibits", "backprop", "--starts", "3", "--out", str(tmp_path / "out")]) == 1
    assert "starts is 3, but must be at least 4" in capsys.readouterr().err
