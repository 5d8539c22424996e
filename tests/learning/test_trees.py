from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_trees import random_rows, random_trees

from engine.broker.trees import DEEPEST, KNOTS, NODE, Trees, _fractions, straight
from engine.errors import ConfigError
from engine.testing.trees_twin import calibrated_plain, fractions_plain

seeds = st.integers(0, 10_000)


@given(seed=seeds, n_trees=st.integers(1, 9))
def test_the_kernel_agrees_with_its_twin(seed: int, n_trees: int) -> None:
    trees, rows = random_trees(seed, n_trees=n_trees), random_rows(seed, 3)
    plain = [fractions_plain(trees, row) for row in rows]
    assert np.allclose(trees.fractions(rows), plain, rtol=0, atol=1e-14)
    worth = [calibrated_plain(trees, fractions) for fractions in plain]
    assert np.allclose(trees.probabilities(rows), worth, rtol=0, atol=1e-12)


@given(seed=seeds)
def test_probabilities_are_none_below_zero_and_sum_to_one(seed: int) -> None:
    found = random_trees(seed).probabilities(random_rows(seed, 5))
    assert (found >= 0).all()
    assert np.allclose(found.sum(axis=1), 1)


@given(seed=seeds, n_trees=st.integers(1, 9))
def test_a_forest_is_the_mean_of_its_trees(seed: int, n_trees: int) -> None:
    trees, rows = random_trees(seed, n_trees=n_trees), random_rows(seed, 3)
    each = []
    for first, end in zip(trees.roots[:-1], trees.roots[1:], strict=True):
        nodes = trees.nodes[first:end].copy()
        nodes["left"] -= first
        leaves = nodes["leaf"][nodes["leaf"] >= 0]
        nodes["leaf"][nodes["leaf"] >= 0] -= leaves[0]
        alone = Trees.of(nodes, np.array([0, end - first]), trees.values[leaves], n_features=4)
        each.append(alone.fractions(rows))
    assert np.allclose(trees.fractions(rows), np.mean(each, axis=0), rtol=0, atol=1e-14)


def test_the_straight_calibration_changes_nothing() -> None:
    trees, rows = random_trees(3), random_rows(3, 50)
    plain = Trees.of(trees.nodes, trees.roots, trees.values, n_features=4)
    assert np.allclose(plain.probabilities(rows), plain.fractions(rows), rtol=0, atol=1e-15)


def test_classes_that_are_all_worth_nothing_are_equally_likely() -> None:
    trees = random_trees(3)
    none = Trees.of(trees.nodes, trees.roots, trees.values, n_features=4, calibration=np.zeros((3, KNOTS)))
    assert (none.probabilities(random_rows(3, 4)) == 1 / 3).all()


def test_what_is_not_a_number_never_leaves_the_arrays() -> None:
    trees = random_trees(5)
    out = np.empty((1, 3))
    for wild in (np.nan, np.inf, -np.inf, 1e300):
        _fractions(trees.nodes, trees.roots, trees.depths, trees.values, np.full((1, 4), wild), out)
        assert np.isclose(out.sum(), 1)
    with pytest.raises(ConfigError, match="row 1 of x has a number that is not finite"):
        trees.fractions([[0, 0, 0, 0], [0, np.nan, 0, 0]])


@given(
    seed=seeds,
    place=st.integers(0, 10_000),
    field=st.sampled_from(["left", "leaf", "feature", "threshold"]),
    value=st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(-3, 60)),
)
def test_a_changed_node_is_refused_or_still_a_forest(seed: int, place: int, field: str, value: int) -> None:
    """Links have one right value; another feature or threshold is another forest, but one that ends inside."""
    trees = random_trees(seed)
    nodes = trees.nodes.copy()
    k = place % len(nodes)
    if nodes[k][field] == value:
        return
    nodes[field][k] = value
    try:
        changed = Trees.of(nodes, trees.roots, trees.values, n_features=4)
    except ConfigError:
        return
    assert field in ("feature", "threshold")
    assert np.allclose(changed.fractions(random_rows(seed, 2)).sum(axis=1), 1)


def test_a_tree_that_is_too_deep_is_refused() -> None:
    splits = DEEPEST + 1
    nodes = np.zeros(2 * splits + 1, NODE)  # each split's left child is a leaf, its right child the next split
    nodes["left"], nodes["leaf"], nodes["threshold"] = np.arange(len(nodes)), -1, np.inf
    down = [0, *range(2, 2 * splits, 2)]
    nodes["left"][down], nodes["threshold"][down] = 1 + 2 * np.arange(splits), 0
    leaves = np.setdiff1d(np.arange(len(nodes)), down)
    nodes["leaf"][leaves] = np.arange(len(leaves))
    values = np.full((len(leaves), 3), 1 / 3)
    with pytest.raises(ConfigError, match=f"deeper than {DEEPEST}"):
        Trees.of(nodes, np.array([0, len(nodes)]), values, n_features=1)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t: t.update(roots=t["roots"][:-1]), "roots must ascend from 0"),
        (lambda t: t.update(roots=t["roots"].astype(np.int32)), "roots is int32"),
        (lambda t: t.update(nodes=t["nodes"][["left", "leaf"]]), "nodes is "),
        (lambda t: t.update(values=t["values"][:-1]), "leaves are not in order"),
        (lambda t: t.update(values=np.vstack([t["values"], t["values"]])), "rows for"),
        (lambda t: t.update(values=t["values"] * 1.01), r"values\[0\] is .* sum to 1"),
        (lambda t: t.update(values=t["values"] * np.nan), r"values\[0\] is"),
        (lambda t: t.update(calibration=straight(2)), "calibration has shape"),
        (lambda t: t.update(calibration=-straight(3)), r"calibration\[0\] must be finite"),
        (lambda t: t.update(calibration=straight(3)[:, ::-1].copy()), r"calibration\[0\] must be finite"),
        (lambda t: t.update(n_features=1), r"nodes\[\d+\].feature is"),
    ],
)
def test_arrays_that_are_no_forest_are_refused(change, complaint: str) -> None:
    trees = random_trees(11)
    given_ = {"nodes": trees.nodes, "roots": trees.roots, "values": trees.values, "n_features": 4}
    change(given_)
    with pytest.raises(ConfigError, match=complaint):
        Trees.of(**given_)


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ConfigError, match="takes rows of 4 features"):
        random_trees(1).fractions(np.zeros((2, 5)))


def test_the_record_says_where_the_arrays_are() -> None:
    trees = random_trees(2)
    record = trees.record()[0]
    assert record["p_nodes"] == trees.nodes.ctypes.data
    assert (record["n_trees"], record["n_nodes"], record["n_classes"]) == (6, len(trees.nodes), 3)
