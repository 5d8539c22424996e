"""Many small ReLU networks trained at once in torch: forward, gradient, adaptive rates, average; CPU or CUDA.

Network i of n reads its own rows, ``q = z · relu(W x) + b2`` with x ending in 1 (the column of W for it is b1). All
that is learned of a network is one row of ``Networks.all``, so that a step of Adam is a few calls whatever n is.
Nothing mixes networks, and no sum runs across them: one learns the same alone and beside others.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.q_network import Weights

FIRST_DECAY, SECOND_DECAY, FLOOR = 0.9, 0.999, 1e-8  # Adam's, as its paper sets them
CHUNK = 16  # networks at a time through all of their states: bounds the memory


class Networks(NamedTuple):
    """n networks; the fields behind the first are views of it."""

    all: Tensor  # [n, hidden (n_in + 3) + 1]
    w: Tensor  # [n, hidden, n_in + 1]
    z: Tensor  # [n, hidden]
    b2: Tensor  # [n, 1]

    @classmethod
    def of(cls, row: Tensor, hidden: int) -> Self:
        """Views of rows."""
        n, size = row.shape
        end = size - 1 - hidden
        return cls(row, row[:, :end].view(n, hidden, -1), row[:, end:-1], row[:, -1:])


class Moments(NamedTuple):
    """What Adam remembers, and the running mean of the networks that plays and is kept."""

    first: Tensor
    second: Tensor
    average: Tensor


class Scaling(NamedTuple):
    """How inputs are centred and scaled for training: float32[n, n_in]; an input that is constant gets width 0."""

    centre: NDArray[np.float32]
    width: NDArray[np.float32]

    @classmethod
    def of(cls, inputs: NDArray[np.float32]) -> Self:
        """Of inputs float32[n, rows, n_in]."""
        centre = inputs.mean(axis=1, dtype=np.float64)
        width = inputs.std(axis=1, dtype=np.float64)
        return cls(centre.astype(np.float32), np.where(width > 1e-6, width, 0).astype(np.float32))

    def apply(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scaled inputs with a last column of ones."""
        scaled = (inputs - self.centre[:, None]) * self._inverse()[:, None]
        return np.concatenate([scaled, np.ones((*scaled.shape[:2], 1), np.float32)], axis=2)

    def fold(self, networks: Networks, unit: float) -> Weights:
        """Networks that read inputs as they are and answer in half-spreads: one more axis in front of every field."""
        w, z, b2 = (part.detach().cpu().numpy() for part in networks[1:])
        w1 = w[:, :, :-1] * self._inverse()[:, None]
        b1 = w[:, :, -1] - (w1.astype(np.float64) * self.centre[:, None]).sum(axis=2)
        single = np.float32
        return Weights(w1.astype(single), b1.astype(single), (z * unit).astype(single), (b2 * unit).astype(single))

    def _inverse(self) -> NDArray[np.float32]:
        return np.divide(1, self.width, out=np.zeros_like(self.width), where=self.width > 0)


def first_networks(seeds: NDArray[np.uint64], hidden: int, n_in: int) -> NDArray[np.float32]:
    """Random rows of ``Networks.all``: of variance 2 / n_in before the ReLU, and close to 0 after it."""
    rows = []
    for seed in seeds:
        rng = np.random.Generator(np.random.Philox(key=int(seed)))
        w = np.concatenate(
            [rng.normal(size=(hidden, n_in)) * np.sqrt(2 / n_in), 0.5 * rng.normal(size=(hidden, 1))], axis=1
        )
        rows.append(np.concatenate([w.ravel(), 0.1 / np.sqrt(hidden) * rng.normal(size=hidden), [0.0]]))
    return np.array(rows, np.float32)


def all_values(networks: Networks, inputs: Tensor) -> Tensor:
    """q of every row: [n, rows] of inputs [n, rows, n_in + 1]."""
    out = torch.empty(inputs.shape[:2], device=inputs.device)
    for i in range(0, len(inputs), CHUNK):
        some = slice(i, i + CHUNK)
        out[some] = _forward(Networks(*(part[some] for part in networks)), inputs[some])[1]
    return out


def gradient(networks: Networks, inputs: Tensor, targets: Tensor, out: Networks) -> None:
    """Of the mean squared error over [n, rows] into ``out``, written out: the network is too small for autograd."""
    h, q = _forward(networks, inputs)
    error = (q - targets).mul_(2 / targets.shape[1])
    torch.sum(error, 1, keepdim=True, out=out.b2)
    out.z.copy_(torch.sum(h * error[:, :, None], 1))
    back = (error[:, :, None] * networks.z[:, None]).mul_(h > 0)
    out.w.copy_(torch.bmm(back.transpose(1, 2), inputs))


def adam_step(
    networks: Networks, slope: Tensor, moments: Moments, *, step: int, rate: float, average: float, learns: Tensor
) -> None:
    """Step number ``step`` (from 1) of Adam; then the running mean follows by 1 - average.

    ``learns`` [n, 1] is 1, or 0 for a network that stays as it is.
    """
    moments.first.lerp_(slope, 1 - FIRST_DECAY)
    moments.second.mul_(SECOND_DECAY).addcmul_(slope, slope, value=1 - SECOND_DECAY)
    size = (moments.second / (1 - SECOND_DECAY**step)).sqrt_().add_(FLOOR)
    networks.all.sub_(moments.first / size * (rate / (1 - FIRST_DECAY**step)) * learns)
    early = (1 + step) / (10 + step)  # or the first networks would stay in the mean for long
    moments.average.lerp_(networks.all, (1 - min(average, early)) * learns)


def _forward(networks: Networks, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """(h [n, rows, hidden], q [n, rows])"""
    h = torch.bmm(inputs, networks.w.transpose(1, 2)).relu_()
    return h, torch.sum(h * networks.z[:, None], 2) + networks.b2
