from __future__ import annotations

import numpy as np
import pytest

from engine.errors import ConfigError
from engine.learning.flatten import flatten, round_down

ensemble = pytest.importorskip("sklearn.ensemble", reason="the extra `learn` is not installed")


def sample(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.Generator(np.random.Philox(seed))
    x = rng.normal(size=(n, 18))
    x[:, :6] = np.round(x[:, :6] * 4) / 4  # ties, as in market data
    return x, (x[:, 0] + x[:, 7] + rng.normal(size=n) > 0).astype(int) + (rng.random(n) < 0.2)


@pytest.mark.parametrize("options", [{"max_depth": 6}, {"min_samples_leaf": 1}, {"max_depth": 1}])
def test_the_kernel_gives_what_scikit_learn_gives(options: dict[str, int]) -> None:
    x, y = sample(1_500)
    forest = ensemble.RandomForestClassifier(13, random_state=1, **options).fit(x, y)
    trees = flatten(forest)
    thresholds = np.concatenate([one.tree_.threshold[one.tree_.feature >= 0] for one in forest.estimators_])
    rng = np.random.Generator(np.random.Philox(2))
    near = rng.choice(thresholds, (500, 18))  # on a threshold, and one float64 beside it
    rows = np.vstack([x, near, np.nextafter(near, np.inf), np.nextafter(near, -np.inf)])
    assert np.abs(trees.fractions(rows) - forest.predict_proba(rows)).max() <= 1e-12


def test_a_class_that_training_did_not_have_gets_nothing() -> None:
    x, _ = sample(300)
    y = np.where(x[:, 7] > 0, 2, 0)
    found = flatten(ensemble.RandomForestClassifier(5, random_state=1).fit(x, y)).fractions(x)
    assert (found[:, 1] == 0).all()
    assert np.allclose(found.sum(axis=1), 1)


def test_classes_that_are_no_numbers_are_refused() -> None:
    x, _ = sample(100)
    with pytest.raises(ConfigError, match=r"classes are \[1, 5\]"):
        flatten(ensemble.RandomForestClassifier(2).fit(x, np.where(x[:, 0] > 0, 5, 1)))
    with pytest.raises(ConfigError, match="not fitted"):
        flatten(ensemble.RandomForestClassifier(2))


def test_no_float32_lies_between_a_threshold_and_where_it_is_rounded_to() -> None:
    rng = np.random.Generator(np.random.Philox(3))
    threshold = np.concatenate([rng.normal(size=1_000), [0.0, 1.0, -1.0, 1e-40, -1e-40]])
    found = round_down(threshold)
    assert (found <= threshold).all()
    assert (np.nextafter(found, np.float32(np.inf)).astype(np.float64) > threshold).all()
