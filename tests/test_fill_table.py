"""Tables of fill probabilities: what is looked up, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.fill_table import ANY, DEEPER, NEAR, FillArrays, FillManifest, FillTable, load_fill_table, save_fill_table
from engine.model_file import InstrumentFacts
from engine.shipped import shipped_folder

UNIT = InstrumentFacts(symbol="XYZ", price_unit="1/100", tick=1, size_unit="1", lot=1)
FACTS = FillManifest(instrument=UNIT, estimator="empirical", mean_trade=100.0, every_s=10.0)
CHANCE = np.array([[0.3, 0.6], [0.2, 0.5], [0.1, 0.3]])  # sizes 1, 2, 4; horizons 10, 60


def arrays() -> FillArrays:
    """The same chances in every cell, halved on the deeper level, doubled counts where all are counted."""
    p = np.broadcast_to(CHANCE, (2, 4, 3, 3, 2)).copy()
    p[DEEPER - 1] /= 2
    p[NEAR - 1, 0] += 0.1  # where the other side shows more
    return FillArrays(
        np.array([-0.3, 0.3]),
        np.array([2.0]),
        np.array([1.0, 2, 4]),
        np.array([10.0, 60]),
        p,
        0 * p,
        np.ones((2, 4, 3)),
    )


def table() -> FillTable:
    return FillTable(FACTS, arrays())


@pytest.mark.parametrize(
    ("asked", "chance"),
    [
        ((NEAR, 1, 0.0, 10), 0.3),
        ((NEAR, 1, -0.9, 10), 0.4),
        ((NEAR, 1.5, 0.0, 35), 0.4),  # halfway between sizes and horizons
        ((NEAR, 0.1, 0.0, 5), 0.15),  # as the smallest size; halfway from nothing
        ((DEEPER, 4, ANY, 1_000), 0.15),  # no more time than was watched
        ((NEAR, 4.001, 0.0, 60), 0.0),  # no larger order was watched
    ],
)
def test_the_lookup_is_linear_inside_and_pessimistic_outside(asked: tuple[float, ...], chance: float) -> None:
    assert table().probability(int(asked[0]), *asked[1:]) == pytest.approx(chance)


sizes, horizons = st.floats(0.01, 5), st.floats(0, 100)


@given(size=sizes, other=sizes, horizon=horizons, later=horizons, imbalance=st.floats(-1, 1))
def test_chances_fall_with_size_and_rise_with_horizon(
    size: float, other: float, horizon: float, later: float, imbalance: float
) -> None:
    (size, other), (horizon, later) = sorted((size, other)), sorted((horizon, later))
    ask = table().probability
    assert ask(NEAR, other, imbalance, horizon) <= ask(NEAR, size, imbalance, horizon) + 1e-12
    assert ask(NEAR, size, imbalance, horizon) <= ask(NEAR, size, imbalance, later) + 1e-12


def test_a_table_that_was_saved_is_the_same_when_it_is_opened(tmp_path: Path) -> None:
    saved = save_fill_table(tmp_path / "XYZ.fills", FACTS, arrays())
    opened = load_fill_table(tmp_path / "XYZ.fills", content=saved.manifest.content)
    assert opened.manifest == saved.manifest
    assert all(np.array_equal(a, b) for a, b in zip(opened.arrays, arrays(), strict=True))


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    save_fill_table(tmp_path / "XYZ.fills", FACTS, arrays())
    file = tmp_path / "XYZ.fills" / "probability.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ConfigError, match="was changed or is damaged"):
        load_fill_table(tmp_path / "XYZ.fills")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("probability", lambda p: p + 0.8, "probabilities"),
        ("probability", lambda p: p[..., ::-1], "rises with size or falls with horizon"),
        ("sizes", lambda sizes: sizes[::-1], "which must rise"),
        ("horizons", lambda horizons: horizons - 10, "must be > 0"),
        ("count", lambda count: count[:, :1], "array shapes"),
    ],
)
def test_what_is_no_table_is_not_saved(tmp_path: Path, name: str, change, message: str) -> None:
    wrong = arrays()._replace(**{name: change(getattr(arrays(), name))})
    with pytest.raises(ConfigError, match=message):
        save_fill_table(tmp_path / "XYZ.fills", FACTS, wrong)


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="level is 3, but a table holds 1"):
        table().probability(3, 1.0)
    with pytest.raises(ConfigError, match="imbalance is 2"):
        table().probability(NEAR, 1.0, 2.0)


def test_the_table_that_ships_is_of_synthetic_days_and_near_orders_fill_sooner() -> None:
    found = load_fill_table(shipped_folder("configs") / "models" / "DEMO.fills")
    assert found.manifest.synthetic
    assert found.probability(NEAR, 1.0) > found.probability(DEEPER, 1.0) > 0.05
