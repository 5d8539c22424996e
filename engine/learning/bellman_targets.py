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

In that mean the next alpha is spread as it was after all decisions of the ticker in the same alpha, not after the few
of the cell: the market does not ask what we do (Nevmyvaka, Feng and Kearns 2006, who learn from every market move for
every private state). A cell that was seen thirty times then has the luck of its fills in it, and no more. Of the states
that follow only those count that a decision was made in: of the others nothing is known, and a guess that is too good
would be believed for ever once no new episodes contradict it.

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
TINY = 1e-9  # less than any part of moves that was seen


class Experience(NamedTuple):
    """A memory as tensors."""

    seen: Tensor  # [n, T, lots + 1, a, p]
    filled: Tensor  # [n, T, lots + 1, a, p] of them
    reward: Tensor  # [n, T, lots + 1, a, p] summed
    left: Tensor  # int64[n, lots + 1, p] lots that remain after a fill
    move: Tensor  # [n, a, a] part of all decisions in an alpha that the next followed


class Targets(NamedTuple):
    """What the network is drawn to, and where."""

    advantage: Tensor  # [n, T, lots + 1, a, p] y - V, half-spreads
    baseline: Tensor  # [n, T, lots + 1, a] V
    running: Tensor  # int64[n, T (lots + 1) a p] running sum of the weights


def experience(problems: Problem, memory: Memory, device: str) -> Experience:
    """The memory on a device."""
    by_fill = memory.count.sum(-1)
    lots = np.arange(by_fill.shape[2])
    left = np.maximum(lots[None, :, None] - problems.size[:, None], 0)
    moved = memory.count.sum(axis=(1, 2, 4, 5), dtype=np.int64)
    numbers = (
        by_fill.sum(-1),
        by_fill[..., 1],
        memory.reward.sum(-1),
        left,
        moved / moved.sum(-1, keepdims=True).clip(1),
    )
    seen, filled, reward, left, move = (torch.from_numpy(array).to(device) for array in numbers)
    return Experience(seen.float(), filled.float(), reward.float(), left, move.float())


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
    known = torch.ones_like(worth)  # whether any decision was made in them
    for t in range(best.shape[1] - 1, -1, -1):
        y = (been.reward[:, t] + _later(been, t, worth, known)) / seen[:, t]
        baseline[:, t] = (share[:, t] * (y - advantage[:, t])).sum(-1)
        aim[:, t] = y - baseline[:, t, ..., None]
        worth = baseline[:, t] + best[:, t]
        known = (been.seen[:, t].sum(-1) > 0).float()
        worth[:, 0], known[:, 0] = 0, 1  # finished
    return Targets(aim, baseline, _running(weight))


def _later(been: Experience, t: int, worth: Tensor, known: Tensor) -> Tensor:
    """Sums of ``worth`` [n, lots + 1, a] over the states that followed: [n, lots + 1, a, p]."""
    n, _, a = worth.shape
    move = been.move[:, None] * known[:, :, None]  # [n, lots + 1, alpha before, alpha]
    expected = (worth[:, :, None] * move).sum(-1) / move.sum(-1).clamp(min=TINY)
    after = expected.gather(1, been.left.flatten(1)[..., None].expand(-1, -1, a)).view(n, *been.left.shape[1:], a)
    filled = been.filled[:, t]
    return (been.seen[:, t] - filled) * expected[..., None] + filled * after.transpose(2, 3)


def _running(weight: Tensor) -> Tensor:
    flat = weight.flatten(1).to(torch.float64)
    return (flat / flat.sum(1, keepdim=True).clamp(min=FAR_WEIGHT) * (1 << 40)).to(torch.int64).cumsum(1)


def drawn(running: Tensor, draws: Tensor) -> Tensor:
    """Pairs in proportion to their weights: int64[n, k] of uniform draws, float64[n, k]."""
    wanted = (draws * running[:, -1:]).to(torch.int64)
    return torch.searchsorted(running, wanted, right=True).clamp_(max=running.shape[1] - 1)
