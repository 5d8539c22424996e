"""Q-learning as the slides print it: a table of values, epsilon-greedy, one update after each step.

Algorithm 1 for a batch of placement problems, each of its tickers by itself:

1. start from a value function, here ``first_value`` everywhere, and alpha (``rate``), epsilon (``explore``)
2. for each episode, for each step t:
   observe s; take a by epsilon-greedy; observe r (spread cost and impact of what filled; at the end completion and
   duration penalties) and s'; then

       rule "max":     y = r + gamma max_b Q(s', b)     Algorithm 1 prints it without gamma, which is gamma = 1
       rule "sarsa":   y = r + gamma Q(s', a')          eq 5: a' is what is done next, exploring or not

       Q(s, a) += rate (y - Q(s, a)),   rate = visits(s, a)^-rate_power

At an end of an episode y = r. ``order="end"`` does the same updates once the episode is over, the last step first: a
terminal reward then reaches the first step in one episode, where it takes as many episodes as steps otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.errors import ConfigError
from engine.learning.placement_env import draws, first_alpha
from engine.learning.placement_problem import Problem, nth, step
from engine.learning.replay_memory import add_decision, empty_tally
from engine.learning.training_history import History, empty_history, write_round

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class EpisodeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Episodes and exploring, alike for a table and for linear values."""

    seed: int = 1
    episodes: int = 20_000
    rounds: int = 40  # parts of the episodes by which the history looks back
    rule: Literal["max", "sarsa"] = "max"
    gamma: float = 1.0
    first_explore: float = 1.0  # epsilon, falling in a straight line from the first episode to the last
    last_explore: float = 0.02

    def __post_init__(self) -> None:
        for name in ("gamma", "first_explore", "last_explore"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, but must be in 0 ... 1")
        if not 1 <= self.rounds <= self.episodes:
            raise ConfigError(f"rounds is {self.rounds}, but must be in 1 ... episodes ({self.episodes})")
        if not 0 <= self.seed < 2**64:
            raise ConfigError(f"seed is {self.seed}, but must be in 0 ... 2^64 - 1")


class TableSettings(EpisodeSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a table learns."""

    first_value: float = 0.0  # half-spreads
    rate_power: float = 0.6  # between 0.5 and 1 the rates add up to infinity and their squares do not
    order: Literal["step", "end"] = "step"


class Table(NamedTuple):
    """What n tickers learned."""

    value: Floats  # [n, T, lots + 1, a, p] half-spreads, the greatest is best
    seen: Ints  # [n, T, lots + 1, a, p] updates
    history: History

    @property
    def visited(self) -> Ints:
        """Decisions at a step with so many lots left: [n, T, lots + 1]."""
        return self.seen.sum(axis=(3, 4))

    def policy(self, i: int) -> Ints:
        """Ticker i's greedy placements among those that were tried, int64[T, lots + 1, a]; 0 where none was."""
        return np.where(self.seen[i] > 0, self.value[i], -np.inf).argmax(axis=-1)


def train_table(problems: Problem, settings: TableSettings, *, seeds: Sequence[int] | None = None) -> Table:
    """Algorithm 1 for every problem of a batch; ``seeds`` of each ticker, or all the settings'.

    Raises
    ------
    ConfigError
        If ``problems`` is no batch or the seeds are not one for each.
    """
    own = seeds_of(problems, settings.seed, seeds)
    n, steps, p, a = problems.fill.shape
    shape = (n, steps, int(np.max(problems.lots)) + 1, a, p)
    history = empty_history(problems, settings.rounds)
    table = Table(np.full(shape, settings.first_value), np.zeros(shape, np.int64), history)
    for k, episodes in enumerate(rounds_of(settings)):
        tally = empty_tally(n, p)
        _train(
            problems,
            own,
            *(episodes.start, episodes.stop, settings.episodes),
            *(settings.first_explore, settings.last_explore),
            *(settings.rule == "max", settings.order == "step", settings.gamma, settings.rate_power),
            table.value,
            table.seen,
            tally,
        )
        write_round(table.history, k, episodes, problems, tally)
    return table


def seeds_of(problems: Problem, seed: int, seeds: Sequence[int] | None) -> NDArray[np.uint64]:
    """A seed for each problem of a batch.

    Raises
    ------
    ConfigError
        If ``problems`` is no batch or the seeds are not one for each.
    """
    if np.ndim(problems.lots) != 1:
        raise ConfigError("training needs a batch of problems; pass stack([problem])")
    own = np.array([seed] * len(problems.size) if seeds is None else seeds, np.uint64)
    if len(own) != len(problems.size):
        raise ConfigError(f"there are {len(own)} seeds for {len(problems.size)} problems; give one for each")
    return own


def rounds_of(settings: EpisodeSettings) -> list[range]:
    """The episodes of each round."""
    bounds = [settings.episodes * k // settings.rounds for k in range(settings.rounds + 1)]
    return [range(first, last) for first, last in pairwise(bounds)]


@compiled
def epsilon_at(episode, episodes, first, last):
    """Epsilon of an episode."""
    return first + (last - first) * episode / max(episodes - 1, 1)


@compiled
def epsilon_greedy(values, epsilon, whether, which):
    """Any placement with probability epsilon, by two uniform draws; else the best, the lowest of equals."""
    if whether < epsilon:
        return int(which * values.size)
    return np.argmax(values)


@compiled
def _train(
    problems, seeds, first, last, episodes, explore, explore_last, is_max, at_once, gamma, power, value, seen, tally
):
    for i in range(seeds.size):
        problem = nth(problems, i)
        path, rewards = np.zeros((problem.steps + 1, 3), np.int64), np.zeros(problem.steps)
        for episode in range(first, last):
            epsilon = epsilon_at(episode, episodes, explore, explore_last)
            t, done = 0, False
            path[0, 0], path[0, 1] = problem.lots, first_alpha(problem, seeds[i], 0, episode)
            path[0, 2] = _chosen(value[i, 0], path[0], epsilon, seeds[i], episode, 0)
            while not done:
                remaining, alpha, action = path[t, 0], path[t, 1], path[t, 2]
                fill, move, _, _ = draws(seeds[i], 0, episode, t)
                rewards[t], left, moved, done = step(problem, t, remaining, alpha, action, fill, move)
                add_decision(problem, i, action, remaining - left, rewards[t], tally)
                path[t + 1, 0], path[t + 1, 1] = left, moved
                if not done:
                    path[t + 1, 2] = _chosen(value[i, t + 1], path[t + 1], epsilon, seeds[i], episode, t + 1)
                if at_once:
                    _update(value[i], seen[i], path, rewards, t, done, is_max, gamma, power)
                t += 1
            if not at_once:
                for back in range(t - 1, -1, -1):
                    _update(value[i], seen[i], path, rewards, back, back == t - 1, is_max, gamma, power)


@compiled
def _chosen(value, state, epsilon, seed, episode, t):
    _, _, whether, which = draws(seed, 0, episode, t)
    return epsilon_greedy(value[state[0], state[1]], epsilon, whether, which)


@compiled
def _update(value, seen, path, rewards, t, is_end, is_max, gamma, power):
    """Draw the value of step t's decision to its target."""
    remaining, alpha, action = path[t, 0], path[t, 1], path[t, 2]
    target = rewards[t]
    if not is_end:
        later = value[t + 1, path[t + 1, 0], path[t + 1, 1]]
        target += gamma * (later.max() if is_max else later[path[t + 1, 2]])
    seen[t, remaining, alpha, action] += 1
    rate = seen[t, remaining, alpha, action] ** -power
    value[t, remaining, alpha, action] += rate * (target - value[t, remaining, alpha, action])
