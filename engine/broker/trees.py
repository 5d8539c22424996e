"""A forest as flat arrays, and its class probabilities: what the probe stage of the walk computes after a tick.

A forest is four arrays and nothing else (``engine.model_file`` keeps them on disk):

===========  =====================  ====================================================================================
nodes        NODE[n]                all trees, one after another; a tree breadth first, so that siblings are neighbours
roots        int64[t + 1]           where tree k begins; the last entry is n
values       float64[leaves, c]     fractions of the classes in each leaf; each row sums to 1
calibration  float64[c, KNOTS]      what a class's fraction j / (KNOTS - 1) is worth, before all are made to sum to 1;
                                    straight lines in between
===========  =====================  ====================================================================================

A node sends x left where float32(x[feature]) <= threshold, else right, which is ``left + 1``. That is what scikit-learn
does: it rounds x to float32 and compares with a float64 threshold, and so with the largest float32 not above it, which
is ours. A leaf is its own left child with threshold +inf: a walk of as many steps as the tree is deep ends in it,
whatever x is, and cannot leave the tree. Walks of four trees go side by side, so that one waits for memory while
another compares.

No power, exponential or logarithm is left for the walk, so machines agree to the last bit.
"""

from __future__ import annotations

from typing import Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.broker.kernel import kernel
from engine.compiled import compiled
from engine.errors import ConfigError

NODE = np.dtype([("threshold", "<f4"), ("feature", "<i4"), ("left", "<i4"), ("leaf", "<i4")])  # leaf -1: a split
_ADDRESSES = ("p_nodes", "p_roots", "p_depths", "p_values", "p_calibration")
_SIZES = ("n_nodes", "n_trees", "n_leaves", "n_classes", "n_features")
TREES = np.dtype([(name, "<i8") for name in _ADDRESSES + _SIZES])  # where a forest's arrays are, for a kernel's table
KNOTS = 257
DEEPEST = 255  # more is refused: a damaged file must not keep the walk busy
UNEVEN = 1e-9  # by how much a leaf's fractions may miss a sum of 1

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Trees(msgspec.Struct, frozen=True, eq=False):
    """A checked forest; make it with ``Trees.of``.

    Attributes
    ----------
    nodes, roots, values, calibration
        As above.
    depths : int64[t]
        Steps from each root to the deepest leaf.
    n_features : int
        Length of x.
    """

    nodes: NDArray[np.void]
    roots: NDArray[np.int64]
    depths: NDArray[np.int64]
    values: Floats
    calibration: Floats
    n_features: int

    @classmethod
    def of(
        cls,
        nodes: NDArray[np.void],
        roots: NDArray[np.int64],
        values: Floats,
        *,
        n_features: int,
        calibration: Floats | None = None,
    ) -> Self:
        """Check the arrays, which may come from anywhere.

        Raises
        ------
        ConfigError
            If a type or shape is wrong, a child lies outside its tree or is shared, a tree is deeper than ``DEEPEST``,
            or a number is not finite; with the array and the place.
        """
        table = straight(values.shape[-1] if values.ndim else 0) if calibration is None else calibration
        _check_shapes(nodes, roots, values, table)
        depths = _check_nodes(nodes, roots, len(values), n_features)
        _check_numbers(values, table)
        flat = np.ascontiguousarray
        return cls(flat(nodes), flat(roots), depths, flat(values), flat(table), n_features)

    @property
    def n_classes(self) -> int:
        return self.values.shape[1]

    def record(self) -> NDArray[np.void]:
        """TREES[1] for a kernel's table; this object must outlive it."""
        out = np.zeros(1, TREES)
        for address in _ADDRESSES:
            out[address] = getattr(self, address.removeprefix("p_")).ctypes.data
        out["n_nodes"], out["n_trees"], out["n_leaves"] = len(self.nodes), len(self.depths), len(self.values)
        out["n_classes"], out["n_features"] = self.n_classes, self.n_features
        return out

    def fractions(self, x: ArrayLike) -> Floats:
        """Mean over trees of the leaves' class fractions, scikit-learn's ``predict_proba``: float64[m, c]."""
        rows = self._rows(x)
        out = np.empty((len(rows), self.n_classes))
        _fractions(self.nodes, self.roots, self.depths, self.values, rows, out)
        return out

    def probabilities(self, x: ArrayLike) -> Floats:
        """Calibrated class probabilities, float64[m, c] of x[m, f]."""
        return calibrated(self.calibration, self.fractions(x))

    def _rows(self, x: ArrayLike) -> Floats:
        rows = np.ascontiguousarray(x, np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.n_features:
            raise ConfigError(f"x has shape {rows.shape}; this forest takes rows of {self.n_features} features")
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if bad.size:
            raise ConfigError(f"row {bad[0]} of x has a number that is not finite; leave out what is not ready")
        return rows


def calibrated(calibration: Floats, fractions: ArrayLike) -> Floats:
    """What fractions[m, c] are worth by a calibration, float64[m, c]."""
    out = np.array(fractions, np.float64, order="C")
    _calibrate(calibration, out)
    return out


def straight(n_classes: int) -> Floats:
    """The calibration that changes nothing."""
    return np.tile(np.linspace(0.0, 1.0, KNOTS), (n_classes, 1))


@kernel
def forecast_into(nodes, roots, depths, values, calibration, x, out):
    """Calibrated probabilities of the classes, in place: ``fractions_into``, then ``calibrate_into``.

    Parameters
    ----------
    nodes : NODE[n]
    roots : int64[t + 1]
    depths : int64[t]
    values : float64[leaves, c]
    calibration : float64[c, KNOTS]
        Of a checked ``Trees``. From the walk: carray views of the addresses in its ``record``.
    x : float64[f]
        Features in the order of the model. A NaN goes left everywhere; nothing is read outside the arrays.
    out : float64[c]
    """
    fractions_into(nodes, roots, depths, values, x, out)
    calibrate_into(calibration, out)


@kernel
def fractions_into(nodes, roots, depths, values, x, out):
    """Mean over trees of the class fractions of the leaf that x falls into."""
    t, classes = depths.size, values.shape[1]
    for c in range(classes):
        out[c] = 0.0
    k = 0
    while k + 4 <= t:
        i, j, m, n = roots[k], roots[k + 1], roots[k + 2], roots[k + 3]
        for _ in range(max(max(depths[k], depths[k + 1]), max(depths[k + 2], depths[k + 3]))):
            i, j, m, n = _step(nodes, i, x), _step(nodes, j, x), _step(nodes, m, x), _step(nodes, n, x)
        i, j, m, n = nodes[i].leaf, nodes[j].leaf, nodes[m].leaf, nodes[n].leaf
        for c in range(classes):  # one by one, as scikit-learn adds them
            out[c] = out[c] + values[i, c] + values[j, c] + values[m, c] + values[n, c]
        k += 4
    while k < t:
        i = roots[k]
        for _ in range(depths[k]):
            i = _step(nodes, i, x)
        i = nodes[i].leaf
        for c in range(classes):
            out[c] += values[i, c]
        k += 1
    for c in range(classes):
        out[c] /= t


@kernel
def calibrate_into(calibration, out):
    """Fractions of the classes become what the table says they are worth, in place; they sum to 1 again."""
    total = 0.0
    for c in range(out.size):
        place = out[c] * (KNOTS - 1)
        k = min(max(int(place), 0), KNOTS - 2)
        low, high = calibration[c, k], calibration[c, k + 1]
        out[c] = low + (high - low) * (place - k)
        total += out[c]
    for c in range(out.size):
        out[c] = out[c] / total if total > 0 else 1.0 / out.size


@kernel
def _step(nodes, i, x):
    """Down to a child; a leaf stays. Without a branch, whose side nobody could foresee."""
    node = nodes[i]
    return np.int64(node.left) + np.int64(np.float32(x[node.feature]) > node.threshold)


@compiled
def _fractions(nodes, roots, depths, values, rows, out):
    for r in range(rows.shape[0]):
        fractions_into(nodes, roots, depths, values, rows[r], out[r])


@compiled
def _calibrate(calibration, out):
    for r in range(out.shape[0]):
        calibrate_into(calibration, out[r])


def _check_shapes(nodes, roots, values, calibration) -> None:
    for name, array, dtype, ndim in (
        ("nodes", nodes, NODE, 1),
        ("roots", roots, np.dtype(np.int64), 1),
        ("values", values, np.dtype(np.float64), 2),
        ("calibration", calibration, np.dtype(np.float64), 2),
    ):
        if array.dtype != dtype or array.ndim != ndim or array.size == 0:
            raise ConfigError(f"{name} is {array.dtype}{list(array.shape)}; a forest has {dtype} in {ndim} dimensions")
    if calibration.shape != (values.shape[1], KNOTS):
        raise ConfigError(
            f"calibration has shape {calibration.shape}; {values.shape[1]} classes need ({values.shape[1]}, {KNOTS})"
        )
    if len(roots) < 2 or roots[0] != 0 or roots[-1] != len(nodes) or (np.diff(roots) < 1).any():
        raise ConfigError(f"roots must ascend from 0 to the {len(nodes)} nodes, one more than there are trees")


def _check_nodes(
    nodes: NDArray[np.void], roots: NDArray[np.int64], n_leaves: int, n_features: int
) -> NDArray[np.int64]:
    """Depths of the trees; refuses what is not breadth first, and so any child outside, shared or above its parent."""
    at = np.arange(len(nodes))
    is_leaf = nodes["leaf"] >= 0
    tree = np.searchsorted(roots, at, side="right") - 1
    splits_before = np.cumsum(~is_leaf) - ~is_leaf
    splits_before -= splits_before[roots[tree]]
    ours = np.where(is_leaf, at, roots[tree] + 1 + 2 * splits_before)
    is_above = ~is_leaf & (ours <= at)
    _refuse((nodes["left"] != ours) | is_above, "left", nodes["left"], "its tree is not breadth first, or damaged")
    splits = np.bincount(tree, ~is_leaf)
    whole = np.diff(roots) == 2 * splits + 1
    if not whole.all():
        raise ConfigError(f"tree {np.argmin(whole)} has nodes that nobody leads to, or children outside; make it again")
    leaves = np.where(is_leaf, np.cumsum(is_leaf) - 1, -1)
    _refuse((nodes["leaf"] != leaves) | (leaves >= n_leaves), "leaf", nodes["leaf"], "leaves are not in order")
    if is_leaf.sum() != n_leaves:
        raise ConfigError(f"values has {n_leaves} rows for {is_leaf.sum()} leaves; make the model again")
    feature, threshold = nodes["feature"], nodes["threshold"]
    _refuse((feature < 0) | (feature >= n_features), "feature", feature, f"there are {n_features}")
    _refuse(np.where(is_leaf, threshold != np.inf, ~np.isfinite(threshold)), "threshold", threshold, "not a forest's")
    return _depths(nodes, roots)


def _depths(nodes: NDArray[np.void], roots: NDArray[np.int64]) -> NDArray[np.int64]:
    depths = np.zeros(len(roots) - 1, np.int64)
    tree, level = np.arange(len(depths)), roots[:-1]
    for depth in range(DEEPEST + 1):
        splits = nodes["leaf"][level] < 0
        depths[tree] = depth
        if not splits.any():
            return depths
        tree, left = np.repeat(tree[splits], 2), nodes["left"][level[splits]].astype(np.int64)
        level = np.column_stack([left, left + 1]).ravel()
    raise ConfigError(f"tree {tree[0]} is deeper than {DEEPEST}; limit the depth of the forest")


def _check_numbers(values: Floats, calibration: Floats) -> None:
    bad = ~(values >= 0).all(axis=1) | ~(np.abs(values.sum(axis=1) - 1) <= UNEVEN)
    if bad.any():
        k = int(np.argmax(bad))
        raise ConfigError(f"values[{k}] is {values[k].tolist()}, but a leaf's fractions are >= 0 and sum to 1")
    bad = ~(np.isfinite(calibration) & (calibration >= 0)).all(axis=1)
    bad |= (np.diff(calibration, axis=1) < 0).any(axis=1)
    if bad.any():
        raise ConfigError(f"calibration[{np.argmax(bad)}] must be finite, >= 0 and never fall; fit it again")


def _refuse(bad: NDArray[np.bool_], name: str, array: NDArray[np.generic], why: str) -> None:
    if bad.any():
        k = int(np.argmax(bad))
        raise ConfigError(f"nodes[{k}].{name} is {array[k]}: {why}; make the model again")
