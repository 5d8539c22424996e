"""Forests drawn at random, for laws of the kernel and of the model file."""

from __future__ import annotations

import numpy as np

from engine.broker.trees import KNOTS, NODE, Trees


def random_trees(
    seed: int, *, n_trees: int = 6, most_splits: int = 12, n_features: int = 4, n_classes: int = 3
) -> Trees:
    """A valid forest; thresholds are few, so that rows hit them."""
    rng = np.random.Generator(np.random.Philox(seed))
    nodes, roots, n_leaves = [], [0], 0
    for _ in range(n_trees):
        tree, root = [], roots[-1]
        unseen = rng.integers(0, most_splits + 1)
        waiting = 1
        while waiting:
            waiting -= 1
            at = root + len(tree)
            if unseen and (rng.random() < 0.7 or waiting == 0):
                splits = sum(1 for node in tree if node[3] < 0)
                tree.append((rng.integers(-3, 4) / 2, rng.integers(n_features), root + 1 + 2 * splits, -1))
                unseen -= 1
                waiting += 2
            else:
                tree.append((np.inf, 0, at, n_leaves))
                n_leaves += 1
        nodes += tree
        roots.append(len(nodes))
    values = rng.dirichlet(np.ones(n_classes), n_leaves)
    calibration = np.cumsum(rng.random((n_classes, KNOTS)), axis=1)
    return Trees.of(np.array(nodes, NODE), np.array(roots), values, n_features=n_features, calibration=calibration)


def random_rows(seed: int, n: int, n_features: int = 4) -> np.ndarray:
    """Some of them on the thresholds."""
    rng = np.random.Generator(np.random.Philox([seed, 1]))
    rows = rng.normal(size=(n, n_features))
    return np.where(rng.random(rows.shape) < 0.5, rng.integers(-3, 4, rows.shape) / 2, rows)
