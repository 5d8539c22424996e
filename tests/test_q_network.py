"""The network that chooses placements: torch's numbers, one arithmetic for every way in, and plain refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.q_network import Weights, best_allowed, checked, linear_q, q_columns, q_value, values

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 60), st.integers(4, 7), st.integers(1, 19))  # hidden, inputs, placements


def network(seed: int, hidden: int = 50, n_in: int = 7, placements: int = 8) -> tuple[Weights, Any, Any]:
    """(weights as training leaves them, common, per_placement)."""
    rng = np.random.Generator(np.random.Philox(seed))
    w1 = rng.normal(size=(hidden, n_in)) * np.sqrt(2 / n_in)
    z = rng.normal(size=hidden) / np.sqrt(hidden)
    parts = w1, rng.normal(size=hidden) * 0.1, z, rng.normal(size=1)
    common, own = rng.uniform(-1, 1, n_in - 3), rng.uniform(-1, 1, (placements, 3))
    return Weights(*(part.astype(np.float32) for part in parts)), common.astype("f4"), own.astype("f4")


def rows_of(common: Any, own: Any) -> Any:
    return np.column_stack([np.tile(common, (len(own), 1)), own])


@given(seed=seeds, size=sizes)
@settings(max_examples=60, deadline=None)
def test_q_is_what_torch_computes_to_1e_6(seed: int, size: tuple[int, int, int]) -> None:
    torch = pytest.importorskip("torch")
    weights, common, own = network(seed, *size)
    w1, b1, z, b2 = (torch.from_numpy(part) for part in weights)
    theirs = torch.relu(torch.from_numpy(rows_of(common, own)) @ w1.T + b1) @ z + b2
    np.testing.assert_allclose(values(weights, common, own), theirs.numpy(), rtol=1e-6, atol=1e-6)


@given(seed=seeds, size=sizes)
@settings(max_examples=60, deadline=None)
def test_every_way_in_gives_the_same_bits(seed: int, size: tuple[int, int, int]) -> None:
    weights, common, own = network(seed, *size)
    together = values(weights, common, own)
    alone = np.array([q_value(*weights, x) for x in rows_of(common, own)], np.float32)
    columns = np.empty_like(together)
    q_columns(*weights, common, *np.ascontiguousarray(own.T), columns)
    assert together.tobytes() == alone.tobytes() == columns.tobytes()


@given(seed=seeds, size=sizes)
@settings(max_examples=30, deadline=None)
def test_the_bits_are_those_of_the_printed_order_of_sums(seed: int, size: tuple[int, int, int]) -> None:
    weights, common, own = network(seed, *size)
    w1, b1, z, b2 = weights
    plain = np.repeat(b2, len(own))
    for j in range(len(b1)):
        shared = b1[j]
        for i, x in enumerate(common):
            shared = shared + w1[j, i] * x
        part = (w1[j, -3] * own[:, 0] + w1[j, -2] * own[:, 1]) + w1[j, -1] * own[:, 2]
        plain = plain + z[j] * np.maximum(shared + part, np.float32(0))
    assert values(weights, common, own).tobytes() == plain.tobytes()


@given(seed=seeds, scale=st.sampled_from([0.5, 2.0, 8.0]))
@settings(max_examples=30, deadline=None)
def test_scaling_the_hidden_layer_up_and_the_output_down_changes_nothing(seed: int, scale: float) -> None:
    weights, common, own = network(seed)
    by = np.float32(scale)  # a power of two: exact
    other = Weights(weights.w1 * by, weights.b1 * by, weights.z / by, weights.b2)
    assert np.array_equal(values(weights, common, own), values(other, common, own))


@given(
    q=st.lists(st.sampled_from([-1.0, 0.0, 2.0]), min_size=1, max_size=12),
    bits=st.integers(0, 2**12 - 1),
)
@settings(deadline=None)
def test_the_best_allowed_is_the_first_of_the_greatest(q: list[float], bits: int) -> None:
    allowed = np.array([bool(bits >> k & 1) for k in range(len(q))])
    best = best_allowed(np.array(q, np.float32), allowed)
    if not allowed.any():
        assert best == -1
    else:
        masked = np.where(allowed, q, -np.inf)
        assert best == np.argmax(masked)


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_linear_q_is_the_inner_product(seed: int) -> None:
    _, common, own = network(seed)
    theta = np.random.Generator(np.random.Philox(seed)).normal(size=8).astype(np.float32)
    out = np.empty(len(own), np.float32)
    linear_q(theta, common, own, out)
    np.testing.assert_allclose(out, rows_of(common, own) @ theta[:-1] + theta[-1], rtol=1e-5, atol=1e-5)


def test_a_bad_shape_says_which() -> None:
    weights, common, own = network(1)
    with pytest.raises(ConfigError, match=r"b1 is \(49,\), but a network has w1"):
        checked(weights._replace(b1=weights.b1[1:]))
    with pytest.raises(ConfigError, match=r"common is \(3,\) and per_placement \(8, 3\), but the network reads \(4,\)"):
        values(weights, common[1:], own)


def test_a_number_that_is_not_finite_says_where() -> None:
    weights, common, own = network(1)
    own[2, 1] = np.nan
    with pytest.raises(ConfigError, match=r"per_placement\[2, 1\] is nan"):
        values(weights, common, own)
    weights.z[3] = np.inf
    with pytest.raises(ConfigError, match=r"z\[3\] is inf, but must be finite"):
        checked(weights)
