"""Our own backpropagation: autograd's numbers, central differences, laws of the loss, and a fault that is noticed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.learning import backprop_kernels
from engine.learning.backprop_kernels import (
    Network,
    activation,
    descend,
    layers,
    loss_and_gradient,
    predict,
    slopes,
    starting_point,
)

seeds = st.integers(0, 2**32 - 1)
hidden = st.lists(st.integers(1, 9), min_size=0, max_size=4)
kinds = st.sampled_from(["sigmoid", "relu"])
QUICK = settings(max_examples=25, deadline=None)


def example(seed: int, inner: list[int], kind: Any, rows: int = 17) -> tuple[Network, Any, Any, Any]:
    """(network, weights with biases, x, y)."""
    rng = np.random.Generator(np.random.Philox(seed))
    network = Network((3, *inner, 1), kind)
    params = starting_point(network, rng) + rng.normal(size=network.parameters) * 0.1
    return network, params, rng.normal(size=(rows, 3)), rng.normal(size=rows)


def autograd(network: Network, params: Any, x: Any, y: Any) -> tuple[float, Any]:
    torch = pytest.importorskip("torch")
    leaf = torch.from_numpy(params).requires_grad_()
    value, at = torch.from_numpy(x), 0
    for k, (n_in, n_out) in enumerate(pairwise(network.widths)):
        end = at + n_in * n_out
        value = value @ leaf[at:end].reshape(n_in, n_out) + leaf[end : end + n_out]
        at = end + n_out
        if k < len(network.widths) - 2:
            value = getattr(torch, network.activation)(value)
    loss = ((value[:, 0] - torch.from_numpy(y)) ** 2).mean()
    loss.backward()
    return loss.item(), leaf.grad.numpy()


@given(seed=seeds, inner=hidden, kind=kinds)
@QUICK
def test_the_gradient_is_autograds_to_1e_10_in_float64(seed: int, inner: list[int], kind: str) -> None:
    network, params, x, y = example(seed, inner, kind)
    loss, gradient = loss_and_gradient(network, params, x, y)
    theirs, wanted = autograd(network, params, x, y)
    assert loss == pytest.approx(theirs, rel=1e-10)
    np.testing.assert_allclose(gradient, wanted, rtol=0, atol=1e-10 * max(1.0, abs(wanted).max()))


@given(seed=seeds, inner=hidden, kind=kinds)
@QUICK
def test_the_gradient_is_autograds_to_1e_6_in_float32(seed: int, inner: list[int], kind: str) -> None:
    network, *arrays = example(seed, inner, kind)
    params, x, y = (array.astype(np.float32) for array in arrays)
    _, gradient = loss_and_gradient(network, params, x, y)
    _, wanted = autograd(network, params, x, y)
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(gradient, wanted, rtol=0, atol=1e-6 * max(1.0, abs(wanted).max()))


@given(seed=seeds, inner=hidden)
@QUICK
def test_the_gradient_is_central_differences_to_1e_4(seed: int, inner: list[int]) -> None:
    network, params, x, y = example(seed, inner, "sigmoid")
    assert worst_difference(network, params, x, y) < 1e-4


def test_the_gradient_of_relu_is_central_differences_away_from_its_kinks() -> None:
    network, params, x, y = example(4, [6, 5], "relu", rows=3)
    assert worst_difference(network, params, x, y) < 1e-4


def worst_difference(network: Network, params: Any, x: Any, y: Any, step: float = 1e-6) -> float:
    """Largest miss of a central difference, against the largest gradient."""
    _, gradient = loss_and_gradient(network, params, x, y)
    numeric = np.empty_like(params)
    for k in range(len(params)):
        sides = []
        for sign in (1, -1):
            moved = params.copy()
            moved[k] += sign * step
            sides.append(loss_and_gradient(network, moved, x, y)[0])
        numeric[k] = (sides[0] - sides[1]) / (2 * step)
    return float(abs(numeric - gradient).max() / max(1.0, abs(gradient).max()))


def test_central_differences_notice_a_slope_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    network, params, x, y = example(4, [3, 2], "sigmoid", rows=4)
    for name in ("_forward", "_backward", "_activate", "_gradient", "_inner", "_slope"):
        monkeypatch.setattr(backprop_kernels, name, getattr(backprop_kernels, name).py_func)
    assert worst_difference(network, params, x, y) < 1e-4
    monkeypatch.setattr(backprop_kernels, "_slope", lambda kind, value: value * (1.0 - value * value))
    assert worst_difference(network, params, x, y) > 1e-3


@given(seed=seeds, inner=hidden, kind=kinds)
@QUICK
def test_the_gradient_of_all_rows_is_the_mean_of_each_rows(seed: int, inner: list[int], kind: str) -> None:
    network, params, x, y = example(seed, inner, kind, rows=5)
    each = [loss_and_gradient(network, params, x[k : k + 1], y[k : k + 1])[1] for k in range(5)]
    np.testing.assert_allclose(loss_and_gradient(network, params, x, y)[1], np.mean(each, axis=0), atol=1e-12)


@given(seed=seeds, width=st.integers(2, 9), kind=kinds)
@QUICK
def test_hidden_units_may_change_places(seed: int, width: int, kind: str) -> None:
    network, params, x, y = example(seed, [width], kind)
    (w, b), (z, c) = layers(network, params)
    order = np.arange(width)[::-1]
    other = np.concatenate([w[:, order].ravel(), b[order], z[order].ravel(), c])
    np.testing.assert_allclose(predict(network, other, x), predict(network, params, x), atol=1e-12)
    moved = layers(network, loss_and_gradient(network, other, x, y)[1])[0][0]
    still = layers(network, loss_and_gradient(network, params, x, y)[1])[0][0]
    np.testing.assert_allclose(moved, still[:, order], atol=1e-12)


@given(seed=seeds)
@QUICK
def test_without_a_hidden_layer_it_is_least_squares(seed: int) -> None:
    network, params, x, y = example(seed, [], "relu")
    design = np.column_stack([x, np.ones(len(x))])
    loss, gradient = loss_and_gradient(network, params, x, y)
    miss = design @ params - y
    assert loss == pytest.approx(miss @ miss / len(y))
    np.testing.assert_allclose(gradient, 2 * design.T @ miss / len(y), atol=1e-12)
    best = np.linalg.lstsq(design, y, rcond=None)[0]
    np.testing.assert_allclose(loss_and_gradient(network, best, x, y)[1], 0, atol=1e-12)


def test_the_activations_are_the_notes_figures() -> None:
    x = np.linspace(-6, 6, 121)
    value, gradient = activation("sigmoid", x)
    np.testing.assert_allclose(value, 1 / (1 + np.exp(-x)), rtol=1e-15)
    assert gradient.max() == 0.25
    value, gradient = activation("relu", x)
    assert np.array_equal(value, np.maximum(x, 0))
    assert np.array_equal(gradient, (x > 0).astype(float))


@given(seed=seeds, kind=kinds)
@QUICK
def test_slopes_are_the_activations_at_the_units_inputs(seed: int, kind: Any) -> None:
    network, params, x, _ = example(seed, [5], kind)
    w, b = layers(network, params)[0]
    np.testing.assert_allclose(slopes(network, params, x)[0], activation(kind, x @ w + b)[1], atol=1e-12)


@given(seed=seeds, kind=kinds)
@QUICK
def test_an_epoch_of_the_full_batch_is_one_step_down_the_gradient(seed: int, kind: Any) -> None:
    network, params, x, y = example(seed, [4], kind)
    loss, gradient = loss_and_gradient(network, params, x, y)
    orders = np.arange(len(y))[None]
    moved, losses = descend(network, params, x, y, orders=orders, batch=len(y), rates=np.array([1e-3]))
    np.testing.assert_allclose(moved, params - 1e-3 * gradient, atol=1e-14)
    assert losses[0] == pytest.approx(loss)
    assert losses[1] <= losses[0]


def test_descent_that_diverges_says_so_with_inf() -> None:
    network, params, x, y = example(1, [4], "relu")
    losses = descend(network, params, x, y, orders=np.arange(17)[None], batch=17, rates=np.full(50, 1e3))[1]
    assert np.isinf(losses[-1])
    assert np.isfinite(losses[0])


def test_bad_input_says_what_and_where() -> None:
    network, params, x, y = example(1, [4], "relu")
    with pytest.raises(ConfigError, match=r"params is float64\[20\], but \(3, 4, 1\) needs float32 or float64\[21\]"):
        loss_and_gradient(network, params[1:], x, y)
    with pytest.raises(ConfigError, match=r"x is \(17, 2\) and y \(17,\), but the network needs \(rows, 3\)"):
        loss_and_gradient(network, params, x[:, 1:], y)
    with pytest.raises(ConfigError, match="batch is 18, but must be 1 to 17"):
        descend(network, params, x, y, orders=np.arange(17)[None], batch=18, rates=np.ones(1))
    with pytest.raises(ConfigError, match=r"widths is \(3, 0, 1\)"):
        predict(Network((3, 0, 1)), params, x)
    x[4, 1] = np.inf
    with pytest.raises(ConfigError, match=r"x\[4\] is not finite; leave that row out"):
        loss_and_gradient(network, params, x, y)
