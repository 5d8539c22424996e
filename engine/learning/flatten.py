"""A scikit-learn forest as the flat arrays that our own kernel walks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.broker.trees import NODE, Trees
from engine.errors import ConfigError


def flatten(forest: Any, *, classes: int = 3) -> Trees:
    """Trees with the probabilities of ``forest.predict_proba``, to rounding.

    Parameters
    ----------
    forest : RandomForestClassifier or ExtraTreesClassifier
        Fitted to class numbers below ``classes``; a class that training did not have gets fraction 0.
    classes : int
        Columns of the probabilities.

    Raises
    ------
    ConfigError
        If it is not fitted, has several outputs, or its classes are no such numbers.
    """
    if getattr(forest, "n_outputs_", 1) != 1 or not hasattr(forest, "estimators_"):
        raise ConfigError("the forest is not fitted, or forecasts several things at once; fit it to one class column")
    columns = np.asarray(forest.classes_)
    if not np.isin(columns, np.arange(classes)).all():
        raise ConfigError(f"the forest's classes are {columns.tolist()}, but must be among 0 to {classes - 1}")
    columns = columns.astype(np.int64)
    nodes, values, roots, leaves = [], [], [0], 0
    for one in forest.estimators_:
        tree, part = _tree(one.tree_, columns, classes)
        split = tree["leaf"] < 0
        tree["left"] += roots[-1]
        tree["leaf"][~split] += leaves
        leaves += len(part)
        roots.append(roots[-1] + len(tree))
        nodes.append(tree)
        values.append(part)
    return Trees.of(
        np.concatenate(nodes), np.array(roots), np.concatenate(values), n_features=int(forest.n_features_in_)
    )


def _tree(tree: Any, columns: NDArray[np.int64], classes: int) -> tuple[NDArray[np.void], NDArray[np.float64]]:
    """(nodes, leaves) of one tree, breadth first."""
    order = _breadth_first(tree.children_left, tree.children_right)
    is_leaf = tree.children_left[order] < 0
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    out = np.zeros(len(order), NODE)
    out["threshold"] = np.where(is_leaf, np.inf, round_down(tree.threshold[order]))
    out["feature"] = np.where(is_leaf, 0, tree.feature[order])
    out["left"] = np.where(is_leaf, place[order], place[tree.children_left[order]])
    out["leaf"] = np.where(is_leaf, np.cumsum(is_leaf) - 1, -1)
    shares = tree.value[order[is_leaf], 0, :]
    values = np.zeros((len(shares), classes))
    values[:, columns] = shares / shares.sum(axis=1, keepdims=True)
    return out, values


def _breadth_first(left: NDArray[np.integer], right: NDArray[np.integer]) -> NDArray[np.int64]:
    """Numbers of the nodes, level by level."""
    levels, level = [], np.zeros(1, np.int64)
    while level.size:
        levels.append(level)
        splits = level[left[level] >= 0]
        level = np.column_stack([left[splits], right[splits]]).ravel().astype(np.int64)
    return np.concatenate(levels)


def round_down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is not above: no float32 lies between it and the threshold."""
    rounded = threshold.astype(np.float32)
    return np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
