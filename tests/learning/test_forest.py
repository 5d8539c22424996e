from __future__ import annotations

import sys

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.broker.trees import calibrated, straight
from engine.errors import ConfigError
from engine.learning.calibration import fit_calibration
from engine.learning.dataset import Dataset
from engine.learning.forest import MODELS, Fitted, ForestSettings, fit_forest, fit_models
from engine.learning.known_process import SPREAD, best_probabilities, known_process
from engine.learning.labels import band_of, classes
from engine.learning.metrics import NAMES, Scorer, evaluate
from engine.learning.splits import within_day
from engine.model_file import Band

pytest.importorskip("sklearn", reason="the extra `learn` is not installed")

SMALL = ForestSettings(trees=25, depth=6, leaf=40)
AUC = NAMES.index("auc")


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def test_the_known_process_comes_as_often_as_its_best_forecast_says() -> None:
    known, band = known_process(60_000, rng(1)), Band()
    data = Dataset.of([known.samples], 5)
    y, best = classes(data.change, data.spread, band), best_probabilities(known.pressure[data.start], 5, band)
    for s in range(5):
        here = known.pressure[data.start] == s
        error = np.sqrt(best[here][0] * (1 - best[here][0]) / here.sum() * 5)  # labels of neighbours overlap
        assert (np.abs(np.bincount(y[here], minlength=3) / here.sum() - best[here][0]) < 4 * error).all()


@given(horizon=st.integers(1, 12), half=st.integers(0, 900), fraction=st.floats(0, 3))
def test_the_best_forecast_is_a_probability_and_as_symmetric_as_the_process(
    horizon: int, half: int, fraction: float
) -> None:
    best = best_probabilities(np.arange(5), horizon, Band(rule="spread", half_width=half, fraction=fraction))
    assert np.allclose(best.sum(axis=1), 1)
    assert (best > -1e-12).all()
    assert np.allclose(best, best[::-1, ::-1])
    assert SPREAD > 0


def beaten_by(horizon: int, n: int, grown: ForestSettings) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """How far each model is from the best forecast on the same test, with errors, by NAMES."""
    known = known_process(n, rng(horizon))
    data = Dataset.of([known.samples], horizon)
    split = within_day(data)
    band = band_of("thirds", data.change[split.fit])
    y = classes(data.change, data.spread, band)
    fitted = fit_models(data, y, split, settings=grown, seed=1)
    x, test = data.x[split.test], split.test
    models = {name: predict(x) for name, predict in fitted.predict.items()}
    models["best"] = best_probabilities(known.pressure[data.start[test]], horizon, band)
    found = evaluate(models, y[test], horizon=horizon, rng=rng(2))
    return {name: found[name].less(found["best"]) for name in MODELS}


@pytest.mark.parametrize(
    ("horizon", "n", "grown"),
    [
        (3, 12_000, SMALL),
        pytest.param(10, 100_000, ForestSettings(), marks=pytest.mark.slow),
        pytest.param(50, 100_000, ForestSettings(), marks=pytest.mark.slow),
    ],
)
def test_a_process_with_a_known_best_forecast_is_matched_and_not_beaten(
    horizon: int, n: int, grown: ForestSettings
) -> None:
    for name, (gap, error) in beaten_by(horizon, n, grown).items():
        for k, metric in enumerate(NAMES):
            is_loss = metric in ("brier", "log_loss")
            ahead = -gap[k] if is_loss else gap[k]
            # each of these but balanced accuracy is greatest in expectation for the true probabilities
            if metric in ("accuracy", "brier", "log_loss", "auc", "moved_auc"):
                assert ahead <= 3 * error[k] + 1e-9, f"{name} beats the best {metric} by {ahead / error[k]:.1f} errors"
            assert ahead >= -max(800 / n, 0.02), f"{name} falls short in {metric} by {-ahead:.3f}"


def test_a_signal_that_looks_ahead_beats_the_best_forecast() -> None:
    """The law above does see a leak."""
    known = known_process(12_000, rng(3))
    data = Dataset.of([known.samples], 3)
    leaking = data.x.copy()
    leaking[:, 17] = data.change + rng(4).normal(size=len(data)) * 300
    data = msgspec.structs.replace(data, x=leaking)
    split, band = within_day(data), Band()
    y = classes(data.change, data.spread, band)
    predict = fit_models(data, y, split, settings=SMALL, seed=1, baselines=False).predict["forest"]
    best = best_probabilities(known.pressure[data.start[split.test]], 3, band)
    models = {"forest": predict(data.x[split.test]), "best": best}
    found = evaluate(models, y[split.test], horizon=3, rng=rng(2))
    gap, error = found["forest"].less(found["best"])
    assert gap[AUC] > 3 * error[AUC]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "within", "grown"),
    [(15_000, 0.03, SMALL), (400_000, 0.01, ForestSettings())],
)
def test_labels_of_pure_noise_cannot_be_forecast(n: int, within: float, grown: ForestSettings) -> None:
    data = Dataset.of([known_process(n, rng(7)).samples], 1)
    y = rng(8).integers(0, 3, len(data))
    split = within_day(data)
    fitted = fit_models(data, y, split, settings=grown, seed=1)
    for name, predict in fitted.predict.items():
        found = Scorer(predict(data.x[split.test]), y[split.test]).score(np.ones(len(split.test)))
        assert abs(found[AUC] - 0.5) <= within, name


@pytest.fixture(scope="module")
def rare() -> tuple[Dataset, np.ndarray, Fitted]:
    """Mostly flat: what weights and calibration are for."""
    data = Dataset.of([known_process(12_000, rng(9)).samples], 2)
    y = classes(data.change, data.spread, Band(half_width=200))
    return data, y, fit_models(data, y, within_day(data), settings=SMALL, seed=1, baselines=False)


@pytest.mark.parametrize("balance", ["weights", "resample", "none"])
def test_probabilities_are_as_frequent_as_the_classes_whatever_was_done_about_rare_ones(
    rare: tuple[Dataset, np.ndarray, Fitted], balance: str
) -> None:
    data, y, _ = rare
    split = within_day(data)
    grown = msgspec.structs.replace(SMALL, balance=balance)
    fitted = fit_models(data, y, split, settings=grown, seed=1, baselines=False)
    told = fitted.predict["forest"](data.x[split.test]).mean(axis=0)
    assert np.abs(told - np.bincount(y[split.test], minlength=3) / len(split.test)).max() < 0.02


def test_the_same_seed_gives_the_same_bits(rare: tuple[Dataset, np.ndarray, Fitted]) -> None:
    data, y, first = rare
    again = fit_models(data, y, within_day(data), settings=SMALL, seed=1, baselines=False)
    for name in ("nodes", "roots", "values", "calibration"):
        assert getattr(first.trees, name).tobytes() == getattr(again.trees, name).tobytes()


def test_the_signal_that_shows_the_pressure_matters_most(rare: tuple[Dataset, np.ndarray, Fitted]) -> None:
    assert np.argmax(rare[2].importance) == 3
    assert rare[2].importance.sum() == pytest.approx(1)


@settings(max_examples=8)
@given(seed=st.integers(0, 999), power=st.floats(0.3, 3))
def test_calibration_finds_the_power_and_the_weights_that_were_put_in(seed: int, power: float) -> None:
    p = rng(seed).dirichlet(np.ones(3) * 2, 20_000)
    weights = rng(seed + 1).uniform(0.5, 2, 3)
    true = weights * np.maximum(p, 1e-3) ** power
    true /= true.sum(axis=1, keepdims=True)
    y = (rng(seed + 2).random((len(p), 1)) > np.cumsum(true, axis=1)).sum(axis=1)
    found = calibrated(fit_calibration(p, np.minimum(y, 2)), p)
    assert np.abs(found - true).mean() < 0.02


def test_calibration_of_what_is_right_already_changes_little() -> None:
    p = rng(1).dirichlet(np.ones(3), 40_000)
    y = np.minimum((rng(2).random((len(p), 1)) > np.cumsum(p, axis=1)).sum(axis=1), 2)
    assert np.abs(calibrated(fit_calibration(p, y), p) - p).max() < 0.03
    assert np.allclose(calibrated(straight(3), p), p)


def test_calibration_with_a_class_that_never_came_is_finite() -> None:
    p = rng(1).dirichlet(np.ones(3), 500)
    table = fit_calibration(p, np.argmax(p[:, :2], axis=1))
    assert np.isfinite(table).all()
    assert calibrated(table, p)[:, 2].mean() < 0.05


def test_without_the_extra_training_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(ConfigError, match=r"install the extra: pip install tickwright\[learn\]"):
        fit_forest(np.zeros((9, 2)), np.arange(9) % 3, SMALL, seed=1)


def test_what_cannot_be_fitted_is_refused(rare: tuple[Dataset, np.ndarray, Fitted]) -> None:
    data, y, _ = rare
    with pytest.raises(ConfigError, match="of one class"):
        fit_models(data, np.ones_like(y), within_day(data), settings=SMALL, seed=1)
    with pytest.raises(ConfigError, match=r"forest.trees is 0, but must be from 1 to"):
        ForestSettings(trees=0)
    with pytest.raises(ConfigError, match="as many, and some"):
        fit_calibration(np.ones((2, 3)) / 3, np.array([1]))
