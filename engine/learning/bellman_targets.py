"""What Q-learning aims at, from everything that is remembered: Algorithm 1's ``y = r + max_a Q(s', a)``.

The network learns what a placement is worth beside its state; what the state is worth comes from a table (Wang et al.
2016, dueling networks, with a table for the part that needs no generalising):

    Q(s, a) = V(s) + A(s, a)        A the network, V the table

Greedy placements are the network's alone, so the table is not needed to trade. Most of Q is the state: on the test
problem 1 to 10 half-spreads, where two placements differ by 0.004, and a network that has to hold both gets the small
differences wrong. With the target copy's A held, one sweep from the last step to the first gives, for each state,

    y(s, a) = mean over remembered (s, a) of r + [V(s') + max_b A(s', b)]    0 at an end
    V(s)    = weighted mean over a of y(s, a) - A(s, a)

and the network is then drawn to y - V. Ends of horizons reach the first step in one sweep.

The weight of a pair is how often it was seen, times how near its A is to the best of its state: to know that crossing
the spread with a fifth of the parent is bad does not take three digits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.learning.placement_problem import Problem
from engine.learning.replay_memory import Memory

NEAR_WEIGHT, FAR_WEIGHT = 0.1, 0.001  # of pairs far from the best, beside 1 of the best
FAR = 10.0  # times the tolerance


class Experience(NamedTuple):
    """A memory as tensors."""

    count: Tensor  # [n, T, lots + 1, a, p, 2, a]
    seen: Tensor  # [n, T, lots + 1, a, p]
    reward: Tensor  # [n, T, lots + 1, a, p] summed
    left: Tensor  # int64[n, lots + 1, p] lots that remain after a fill


class Targets(NamedTuple):
    """What the network is drawn to, and where."""

    advantage: Tensor  # [n, T, lots + 1, a, p] y - V, half-spreads
    baseline: Tensor  # [n, T, lots + 1, a] V
    running: Tensor  # int64[n, T (lots + 1) a p] running sum of the weights


def experience(problems: Problem, memory: Memory, device: str) -> Experience:
    """The memory on a device."""
    count = torch.from_numpy(memory.count).to(device, torch.float32)
    reward = torch.from_numpy(memory.reward.sum(-1)).to(device, torch.float32)
    lots = np.arange(memory.count.shape[2])
    left = np.maximum(lots[None, :, None] - problems.size[:, None], 0)
    return Experience(count, count.sum((5, 6)), reward, torch.from_numpy(left).to(device))


def targets(been: Experience, advantage: Tensor, tolerance: float) -> Targets:
    """One sweep with the target copy's ``advantage`` [n, T, lots + 1, a, p] held; ``tolerance`` in half-spreads."""
    best = advantage.amax(-1)
    behind = best[..., None] - advantage
    near = torch.exp(behind * (-1 / tolerance)) + NEAR_WEIGHT * torch.exp(behind * (-1 / (FAR * tolerance)))
    weight = been.seen * (near + FAR_WEIGHT)
    share = weight / weight.sum(-1, keepdim=True).clamp(min=FAR_WEIGHT)
    seen = been.seen.clamp(min=1)
    aim, baseline = torch.zeros_like(advantage), torch.zeros_like(best)
    worth = torch.zeros_like(best[:, 0])  # of the states after the step
    for t in range(best.shape[1] - 1, -1, -1):
        y = (been.reward[:, t] + _later(been, t, worth)) / seen[:, t]
        baseline[:, t] = (share[:, t] * (y - advantage[:, t])).sum(-1)
        aim[:, t] = y - baseline[:, t, ..., None]
        worth = baseline[:, t] + best[:, t]
        worth[:, 0] = 0  # finished
    return Targets(aim, baseline, _running(weight))


def _later(been: Experience, t: int, worth: Tensor) -> Tensor:
    """Sums of ``worth`` [n, lots + 1, a] over the states that followed: [n, lots + 1, a, p]."""
    n, _, a = worth.shape
    stay, moved = been.count[:, t, :, :, :, 0], been.count[:, t, :, :, :, 1]
    after = worth.gather(1, been.left.flatten(1)[..., None].expand(-1, -1, a)).view(n, *been.left.shape[1:], a)
    return (stay * worth[:, :, None, None]).sum(-1) + (moved * after[:, :, None]).sum(-1)


def _running(weight: Tensor) -> Tensor:
    flat = weight.flatten(1).to(torch.float64)
    return (flat / flat.sum(1, keepdim=True).clamp(min=FAR_WEIGHT) * (1 << 40)).to(torch.int64).cumsum(1)


def drawn(running: Tensor, draws: Tensor) -> Tensor:
    """Pairs in proportion to their weights: int64[n, k] of uniform draws, float64[n, k]."""
    wanted = (draws * running[:, -1:]).to(torch.int64)
    return torch.searchsorted(running, wanted, right=True).clamp_(max=running.shape[1] - 1)
