"""Linear Q: ``Q(s, a) = theta · phi``, learned by the slides' eq 5, on-policy as printed or with Algorithm 1's max.

    theta += rate (r + gamma Q(s', a') - Q(s, a)) phi          "sarsa", eq 5
    theta += rate (r + gamma max_b Q(s', b) - Q(s, a)) phi     "max", Algorithm 1

phi is the network's input vector and a constant 1 (``q_network.linear_q``). A value that is linear in a fill
probability and in time cannot say "wait now, cross later" of two placements, so this is the baseline that the network
has to beat, not a way to trade.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.errors import ConfigError
from engine.learning.exact_policy import greedy, grid_inputs
from engine.learning.placement_env import draws, first_alpha
from engine.learning.placement_problem import COMMON, PER_PLACEMENT, Problem, inputs, nth, step
from engine.learning.q_learning import EpisodeSettings, epsilon_at, epsilon_greedy, rounds_of, seeds_of
from engine.learning.replay_memory import add_decision, empty_tally
from engine.learning.training_history import History, empty_history, write_round
from engine.q_network import linear_q

Ints = NDArray[np.int64]


class LinearSettings(EpisodeSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How linear values learn."""

    first_rate: float = 0.02  # alpha of eq 5, falling by the same factor every episode
    last_rate: float = 0.0002

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.last_rate <= self.first_rate < 0.5:
            raise ConfigError(
                f"rates are {self.first_rate} to {self.last_rate}, but must fall, within 0 ... 0.5: "
                "beyond it a step overshoots the longest input vectors"
            )


class Linear(NamedTuple):
    """What n tickers learned."""

    theta: NDArray[np.float32]  # [n, 8] of pov, progress, elapsed, alpha, spread_cost, fill, size and 1
    visited: Ints  # [n, T, lots + 1]
    history: History

    def policy(self, problem: Problem, i: int) -> Ints:
        """Ticker i's greedy placements, int64[T, lots + 1, a]."""
        return greedy(grid_inputs(problem) @ self.theta[i, :-1])


def train_linear(problems: Problem, settings: LinearSettings, *, seeds: Sequence[int] | None = None) -> Linear:
    """Eq 5 for every problem of a batch; ``seeds`` of each ticker, or all the settings'.

    Raises
    ------
    ConfigError
        If ``problems`` is no batch, the seeds are not one for each, or the values run away.
    """
    own = seeds_of(problems, settings.seed, seeds)
    n, steps, p, _ = problems.fill.shape
    theta = np.zeros((n, COMMON + PER_PLACEMENT + 1), np.float32)
    learned = Linear(
        theta, np.zeros((n, steps, int(np.max(problems.lots)) + 1), np.int64), empty_history(problems, settings.rounds)
    )
    for k, episodes in enumerate(rounds_of(settings)):
        tally = empty_tally(n, p)
        _train(
            problems,
            own,
            *(episodes.start, episodes.stop, settings.episodes),
            *(settings.first_explore, settings.last_explore, settings.first_rate, settings.last_rate),
            *(settings.rule == "max", settings.gamma),
            theta,
            learned.visited,
            tally,
        )
        write_round(learned.history, k, episodes, problems, tally)
        for i in np.flatnonzero(~np.isfinite(theta).all(axis=1)):
            raise ConfigError(f"problem {i}: linear values ran away in round {k}; lower first_rate")
    return learned


@compiled
def _train(
    problems, seeds, first, last, episodes, explore, explore_last, rate, rate_last, is_max, gamma, theta, visited, tally
):
    for i in range(seeds.size):
        problem = nth(problems, i)
        n = problem.size.size
        common, each = np.zeros(4, np.float32), np.zeros((n, 3), np.float32)
        value, phi, later = np.zeros(n, np.float32), np.zeros(theta.shape[1], np.float32), np.zeros(n, np.float32)
        for episode in range(first, last):
            epsilon = epsilon_at(episode, episodes, explore, explore_last)
            size = rate * (rate_last / rate) ** (episode / episodes)
            t, remaining, alpha, done = 0, problem.lots, first_alpha(problem, seeds[i], 0, episode), False
            _, _, whether, which = draws(seeds[i], 0, episode, 0)
            inputs(problem, t, remaining, alpha, common, each)
            linear_q(theta[i], common, each, value)
            action = epsilon_greedy(value, epsilon, whether, which)
            while not done:
                fill, move, _, _ = draws(seeds[i], 0, episode, t)
                reward, left, moved, done = step(problem, t, remaining, alpha, action, fill, move)
                add_decision(problem, i, action, remaining - left, reward, tally)
                visited[i, t, remaining] += 1
                _features(common, each[action], phi)
                target, now, chosen = reward, value[action], 0
                if not done:
                    inputs(problem, t + 1, left, moved, common, each)
                    linear_q(theta[i], common, each, later)
                    _, _, whether, which = draws(seeds[i], 0, episode, t + 1)
                    chosen = epsilon_greedy(later, epsilon, whether, which)
                    target += gamma * (later.max() if is_max else later[chosen])
                theta[i] += np.float32(size * (target - now)) * phi
                if not done:
                    linear_q(theta[i], common, each, value)  # after the update, before the next
                t, remaining, alpha, action = t + 1, left, moved, chosen


@compiled
def _features(common, own, out):
    for j in range(common.size):
        out[j] = common[j]
    for j in range(own.size):
        out[common.size + j] = own[j]
    out[out.size - 1] = 1.0
