"""The state of a training of ``deep_q`` and one round of it; the only file of the learners that touches a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import ConfigError
from engine.learning.bellman_targets import Experience, Targets, drawn, experience, targets
from engine.learning.deep_q import Ints, Trained, TrainSettings
from engine.learning.exact_policy import grid_inputs
from engine.learning.network_training import (
    Moments,
    Networks,
    Scaling,
    adam_step,
    all_values,
    first_networks,
    gradient,
)
from engine.learning.placement_problem import Problem, nth
from engine.learning.replay_memory import Memory, Tally, empty_memory, play
from engine.learning.training_history import History, empty_history, write_round
from engine.q_network import Weights

Seeds = NDArray[np.uint64]

MINI_BATCHES = 1  # what a ticker's draws are for
CHECKED = 2_000  # greedy episodes that early stopping looks at, the same every time
_CHECK_SEED = np.uint64(0x9E3779B97F4A7C15)


class DeepQLearner:
    """Everything that changes is in ``state``: the arrays that a checkpoint keeps."""

    def __init__(self, problems: Problem, settings: TrainSettings, seeds: Seeds) -> None:
        self.problems, self.settings, self.seeds = problems, settings, seeds
        self._device = torch_device(settings.device)
        n = len(seeds)
        own = [grid_inputs(nth(problems, i)) for i in range(n)]
        grid = np.stack([_padded(inputs, int(np.max(problems.lots))) for inputs in own])
        flat = grid.reshape(n, -1, grid.shape[-1])
        self._shape = grid.shape[:-1]
        self._scaling = _scaling(own)
        self._inputs = torch.from_numpy(self._scaling.apply(flat)).to(self._device)
        self._rows = self._inputs.flatten(0, 1)
        self._first_row = torch.arange(n, device=self._device)[:, None] * flat.shape[1]
        self.state = self._first_state(flat.shape[2])

    def _first_state(self, n_in: int) -> dict[str, NDArray[Any]]:
        first = first_networks(self.seeds, self.settings.hidden, n_in)
        memory, history = empty_memory(self.problems), empty_history(self.problems, self.settings.rounds)
        n, kept = len(first), self.settings.snapshots
        return {
            "networks": first,
            "first_moment": np.zeros_like(first),
            "second_moment": np.zeros_like(first),
            "average": first.copy(),
            "count": memory.count,
            "reward": memory.reward,
            "snapshots": np.zeros((n, kept, first.shape[1]), np.float32),
            "snapshot_episodes": np.zeros((n, kept), np.int64),
            "baseline": np.zeros(self._shape[:-1], np.float32),
            "best_cost": np.full(n, np.inf),
            "best_round": np.zeros(n, np.int64),
            "stopped": np.zeros(n, np.int64),  # after so many rounds; 0 while it learns
        } | {f"history_{name}": value for name, value in history._asdict().items()}

    @property
    def history(self) -> History:
        """What is kept of the rounds so far."""
        return History(*(self.state[f"history_{name}"] for name in History._fields))

    @property
    def memory(self) -> Memory:
        """What was seen so far."""
        return Memory(self.state["count"], self.state["reward"])

    def round(self, k: int) -> bool:
        """Round ``k``; False, and nothing done, when every ticker has stopped."""
        if self.state["stopped"].all():
            return False
        threads = torch.get_num_threads()
        torch.set_num_threads(self.settings.threads)
        try:
            self._whole_round(k)
        finally:
            torch.set_num_threads(threads)
        return True

    def _whole_round(self, k: int) -> None:
        if k < self.settings.rounds:
            self._play(k)
        self._learn(k)
        self._snapshot(k)
        if self.settings.patience:
            self._look(k)

    def trained(self) -> Trained:
        """What was learned."""
        state, last = self.state, self.settings.rounds + self.settings.settle
        n, kept, size = state["snapshots"].shape
        weights = self._exported(state["average"])
        repeated = Scaling(*(np.repeat(array, kept, axis=0) for array in self._scaling))
        rows = torch.from_numpy(state["snapshots"].reshape(n * kept, size))
        on_the_way = repeated.fold(Networks.of(rows, self.settings.hidden), self.settings.unit)
        return Trained(
            weights=weights,
            history=self.history,
            visited=state["count"].sum(axis=(3, 4, 5, 6), dtype=np.int64),
            snapshot_episodes=state["snapshot_episodes"],
            snapshots=Weights(*(array.reshape(n, kept, *array.shape[1:]) for array in on_the_way)),
            baseline=state["baseline"],
            rounds=np.where(state["stopped"] > 0, state["stopped"], last),
        )

    def _play(self, k: int) -> None:
        settings, n_rounds = self.settings, self.settings.rounds
        episodes = range(settings.episodes * k // n_rounds, settings.episodes * (k + 1) // n_rounds)
        fallen = min(1.0, 2 * k / n_rounds)
        epsilon = settings.first_explore + (settings.last_explore - settings.first_explore) * fallen
        value = self._advantage().cpu()
        near = torch.softmax(value / settings.tolerance, -1)
        explore = (settings.explore_all / self._shape[-1] + (1 - settings.explore_all) * near).numpy()
        policy = value.numpy().argmax(-1)
        live = self._live()
        tally = self._played(live, self.seeds, episodes, epsilon, policy, explore, self.memory)
        write_round(self.history, k, episodes, self.problems, tally, live)

    def _live(self) -> Ints:
        """The tickers that still learn. Nothing more is kept of one that stopped: it leaves what it would alone."""
        return np.flatnonzero(self.state["stopped"] == 0)

    def _played(
        self, live: Ints, seeds: Seeds, episodes: range, epsilon: float, policy: Ints, explore: Any, into: Memory
    ) -> Tally:
        """``play`` of those tickers: one by one, as a slice is a view and a choice of rows would be a copy."""
        tallies = []
        for i in live:
            own, seen = _row(self.problems, i), _row(into, i)
            row = slice(i, i + 1)
            tallies.append(play(own, seeds[row], episodes, epsilon, policy[row], explore[row], seen))
        return Tally(*(np.concatenate(column) for column in zip(*tallies, strict=True)))

    def _learn(self, k: int) -> None:
        settings = self.settings
        been = experience(self.problems, self.memory, settings.device)
        state = {name: torch.from_numpy(self.state[name]).to(self._device) for name in _ON_DEVICE}
        networks = Networks.of(state["networks"], settings.hidden)
        moments = Moments(state["first_moment"], state["second_moment"], state["average"])
        draws = torch.from_numpy(self._draws(k)).to(self._device)
        slope = Networks.of(torch.zeros_like(networks.all), settings.hidden)
        learns = torch.from_numpy(self.state["stopped"] == 0).to(self._device, torch.float32)[:, None]
        aim, step = None, k * settings.steps
        for j in range(settings.steps):
            if aim is None or j % settings.refresh == 0:
                aim = self._targets(been, moments.average)
            pairs = drawn(aim.running, draws[:, j])
            wanted = aim.advantage.flatten(1).gather(1, pairs) / settings.unit
            gradient(networks, self._rows[pairs + self._first_row], wanted, slope)
            step += 1
            adam_step(
                networks, slope.all, moments, step=step, rate=self._rate(step), average=settings.average, learns=learns
            )
        for name in _ON_DEVICE:
            self.state[name][...] = state[name].cpu().numpy()
        assert aim is not None
        live = self._live()
        self.state["baseline"][live] = aim.baseline.cpu().numpy()[live]

    def _targets(self, been: Experience, average: Tensor) -> Targets:
        return targets(been, self._advantage(average), self.settings.tolerance)

    def _advantage(self, average: Tensor | None = None) -> Tensor:
        """Of every state and placement, by the running mean of the networks, half-spreads."""
        rows = torch.from_numpy(self.state["average"]).to(self._device) if average is None else average
        networks = Networks.of(rows, self.settings.hidden)
        return all_values(networks, self._inputs).view(self._shape) * self.settings.unit

    def _rate(self, step: int) -> float:
        settings = self.settings
        part = step / (settings.steps * (settings.rounds + settings.settle))
        return settings.first_rate * (settings.last_rate / settings.first_rate) ** part

    def _draws(self, k: int) -> NDArray[np.float64]:
        """Uniform: [n, steps, batch] of round k."""
        shape = (self.settings.steps, self.settings.batch)
        return np.stack([generator(seed, k).random(shape) for seed in self.seeds])

    def _exported(self, rows: NDArray[np.float32]) -> Weights:
        return self._scaling.fold(Networks.of(torch.from_numpy(rows), self.settings.hidden), self.settings.unit)

    def _snapshot(self, k: int) -> None:
        """Networks at even distances of the logarithm of the rounds: most changes early; and at the end."""
        last = self.settings.rounds + self.settings.settle
        due = np.ceil(last ** (np.arange(1, self.settings.snapshots + 1) / self.settings.snapshots) - 1e-9)
        for s in np.flatnonzero(due >= k + 1):  # later ones repeat it until their turn, or for good where it stops
            self.state["snapshots"][:, s] = self.state["average"]
            self.state["snapshot_episodes"][:, s] = self.state["history_episodes"].max(axis=1)

    def _look(self, k: int) -> None:
        """Early stopping: the cost of the same greedy episodes after every round."""
        policy = self._advantage().cpu().numpy().argmax(-1)
        memory = empty_memory(self.problems)
        none = np.zeros((*policy.shape, self._shape[-1]), np.float32)
        seeds = self.seeds ^ _CHECK_SEED
        live, state = self._live(), self.state
        cost = np.full(len(seeds), np.inf)
        cost[live] = -self._played(live, seeds, range(CHECKED), 0.0, policy, none, memory).reward / CHECKED
        better = cost < state["best_cost"]
        state["best_cost"][better], state["best_round"][better] = cost[better], k + 1
        stops = (state["stopped"] == 0) & (k + 1 - state["best_round"] >= self.settings.patience)
        state["stopped"][stops] = k + 1


def generator(seed: np.uint64 | int, k: int) -> np.random.Generator:
    """Of a ticker's mini-batches in round k. The key is uint64, as a list of numbers from 2^63 on would be rounded."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, (k << 8) + MINI_BATCHES], np.uint64)))


_ON_DEVICE = ("networks", "first_moment", "second_moment", "average")


def _row(batch: Any, i: int) -> Any:
    """A batch of one out of a batch."""
    return type(batch)(*(array[i : i + 1] for array in batch))


def _scaling(grids: Sequence[NDArray[np.float32]]) -> Scaling:
    """Each ticker's by its own states: what pads it to the largest parent of the batch does not count."""
    found = [Scaling.of(inputs.reshape(1, -1, inputs.shape[-1])) for inputs in grids]
    return Scaling(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _padded(inputs: NDArray[np.float32], lots: int) -> NDArray[np.float32]:
    """A ticker's inputs, with room for the lots of the largest parent."""
    more = lots + 1 - inputs.shape[1]
    return np.pad(inputs, [(0, 0), (0, more), (0, 0), (0, 0), (0, 0)], mode="edge")


def torch_device(name: str) -> torch.device:
    """The device, on which a tensor was made to see that it works.

    Raises
    ------
    ConfigError
        If it cannot be used.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {name!r} cannot be used ({str(error).splitlines()[0]}); use 'cpu'") from None
    return device
