from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.learning.metrics import NAMES, Ranking, Scorer, constant_guesses, evaluate

seeds = st.integers(0, 10_000)


def drawn(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with ties, and classes that follow them a little."""
    rng = np.random.Generator(np.random.Philox(seed))
    p = np.round(rng.dirichlet(np.ones(3), n), 1)
    p /= p.sum(axis=1, keepdims=True)
    return p, np.where(rng.random(n) < 0.5, np.argmax(p, axis=1), rng.integers(0, 3, n))


def scores(p: np.ndarray, y: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, Scorer(p, y).score(np.ones(len(y))), strict=True))


@given(seed=seeds)
def test_the_numbers_are_scikit_learns(seed: int) -> None:
    theirs = pytest.importorskip("sklearn.metrics", reason="the extra `learn` is not installed")
    p, y = drawn(seed)
    if len(np.unique(y)) < 3:
        return
    ours, told, came = scores(p, y), np.argmax(p, axis=1), np.eye(3)[y]
    moved = y != 1
    lean = np.divide(p[:, 2], p[:, 0] + p[:, 2], out=np.full(len(y), 0.5), where=p[:, 0] + p[:, 2] > 0)
    expected = {
        "accuracy": theirs.accuracy_score(y, told),
        "one_vs_rest": np.mean([theirs.accuracy_score(y == c, told == c) for c in range(3)]),
        "balanced": theirs.balanced_accuracy_score(y, told),
        "auc": np.mean([theirs.roc_auc_score(y == c, p[:, c]) for c in range(3)]),
        "brier": np.mean(((p - came) ** 2).sum(axis=1)),
        "log_loss": -np.mean(np.log(np.maximum(p[np.arange(len(y)), y], 1e-6))),
        "moved_auc": theirs.roc_auc_score(y[moved] == 2, lean[moved]),
    }
    for name, number in expected.items():
        assert ours[name] == pytest.approx(number, abs=1e-12), name


@given(seed=seeds)
def test_a_weight_counts_a_sample_so_many_times(seed: int) -> None:
    p, y = drawn(seed, 20)
    times = np.random.Generator(np.random.Philox(seed)).integers(0, 4, len(y))
    if not times.sum():
        return
    weighted = Scorer(p, y).score(times.astype(np.float64))
    repeated = Scorer(p.repeat(times, axis=0), y.repeat(times)).score(np.ones(times.sum()))
    assert np.allclose(weighted, repeated, equal_nan=True)


@given(seed=seeds)
def test_any_rising_change_of_the_scores_leaves_the_area(seed: int) -> None:
    p, y = drawn(seed)
    ones = np.ones(len(y))
    if 0 < (y == 2).sum() < len(y):
        area = Ranking(np.round(p[:, 2], 6), y == 2).area(ones)
        assert Ranking(np.exp(3 * np.round(p[:, 2], 6)), y == 2).area(ones) == pytest.approx(area)
        assert Ranking(-np.round(p[:, 2], 6), y == 2).area(ones) == pytest.approx(1 - area)


def test_perfect_foresight_and_constant_guesses_score_as_they_must() -> None:
    y = np.array([0, 1, 1, 2, 1, 1, 1])
    best = scores(np.eye(3)[y], y)
    assert [best[name] for name in NAMES] == pytest.approx([1, 1, 1, 1, 0, 0, 1, 1])
    guesses = constant_guesses(y, len(y))
    for p in guesses.values():
        found = scores(p, y)
        assert found["accuracy"] == pytest.approx(5 / 7)
        assert found["balanced"] == pytest.approx(1 / 3)
        assert [found[name] for name in ("auc", "moved_accuracy", "moved_auc")] == pytest.approx([0.5, 0.5, 0.5])
    assert scores(guesses["base rates"], y)["brier"] == pytest.approx(1 - ((np.bincount(y) / 7) ** 2).sum())


def test_classes_that_did_not_come_are_left_out() -> None:
    found = scores(np.full((4, 3), 1 / 3), np.ones(4, np.int64))
    assert found["balanced"] == 1 or found["balanced"] == 0
    assert np.isnan([found["auc"], found["moved_accuracy"], found["moved_auc"]]).all()


def test_the_errors_of_independent_samples_are_the_binomials() -> None:
    rng = np.random.Generator(np.random.Philox(5))
    y = rng.integers(0, 3, 20_000)
    p = rng.dirichlet(np.ones(3), len(y))
    found = evaluate({"m": p}, y, horizon=1, rng=rng, draws=200)["m"]
    hit = np.mean(np.argmax(p, axis=1) == y)
    assert found.value[0] == hit
    assert found.error[0] == pytest.approx(np.sqrt(hit * (1 - hit) / len(y)), rel=0.2)


def test_errors_grow_with_what_samples_share() -> None:
    rng = np.random.Generator(np.random.Philox(6))
    y, p = rng.integers(0, 3, 1_000).repeat(20), rng.dirichlet(np.ones(3), 1_000).repeat(20, axis=0)
    found = evaluate({"m": p}, y, horizon=20, rng=rng, draws=200)["m"]
    alone = np.sqrt(found.value[0] * (1 - found.value[0]) / len(y))
    assert found.error[0] == pytest.approx(np.sqrt(20) * alone, rel=0.25)


def test_a_model_does_not_differ_from_itself() -> None:
    p, y = drawn(3, 500)
    found = evaluate({"a": p, "b": p.copy()}, y, horizon=3, rng=np.random.Generator(np.random.Philox(1)), draws=20)
    difference, error = found["a"].less(found["b"])
    assert (difference == 0).all()
    assert (error == 0).all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="3 samples and 3 classes"):
        Scorer(np.zeros((2, 3)), np.array([0, 1, 2]))
    with pytest.raises(ConfigError, match="no sample"):
        evaluate({}, np.empty(0, np.int64), horizon=1, rng=np.random.Generator(np.random.Philox(1)))
