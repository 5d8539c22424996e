from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.errors import ConfigError
from engine.learning import placement_problem as placement
from engine.learning.exact_policy import exact_cost, grade, solve, twap
from engine.learning.placement_problem import stack

gymnasium = pytest.importorskip("gymnasium", reason="the extra `learn` is not installed")

from engine.learning import gym_env  # noqa: E402  (needs gymnasium)
from engine.learning.gym_env import ID, PlacementGym, PlacementVector, policy_table, problem_of  # noqa: E402


def test_gymnasium_finds_nothing_to_complain_about() -> None:
    from gymnasium.utils.env_checker import check_env

    check_env(gymnasium.make(ID, preset="test", pov=0.20).unwrapped)


def test_many_are_made_by_name_and_stay_inside_their_spaces() -> None:
    many = gymnasium.make_vec(f"engine.learning.gym_env:{ID}", num_envs=50, preset="test", pov=0.05)
    assert isinstance(many.unwrapped, PlacementVector)
    seen, _ = many.reset(seed=1)
    many.action_space.seed(1)
    ends = 0
    for _ in range(60):
        assert many.observation_space.contains(seen)
        seen, reward, done, cut, infos = many.step(many.action_space.sample())
        assert np.isfinite(reward).all()
        assert not cut.any()
        for i in np.flatnonzero(done):
            last, remaining = infos["final_obs"][i], infos["remaining"][i]
            assert many.single_observation_space.contains(last)
            assert last[1] == pytest.approx(last[2] - (1 - remaining / 20), abs=1e-6)  # progress, where it ended
        assert (seen[done, 2] == 0).all()  # and time begins anew
        ends += done.sum()
    assert ends > 50


def test_the_same_seed_gives_the_same_parents() -> None:
    def rewards(env: Any, seed: int, action: Any) -> np.ndarray:
        env.reset(seed=seed)
        return np.array([env.step(action)[1] for _ in range(30)])

    problem = placement.test_problem(0.10)
    many, one, few = PlacementVector(20, problem), PlacementGym(problem), np.full(20, 1)
    assert np.array_equal(rewards(many, 7, few), rewards(many, 7, few))
    assert not np.array_equal(rewards(many, 7, few), rewards(many, 8, few))
    assert np.array_equal(rewards(one, 7, 1), rewards(one, 7, 1))


def test_what_cannot_be_placed_is_refused() -> None:
    env = PlacementGym(placement.test_problem(0.10))
    env.reset(seed=1)
    for wrong in (8, -1, 500):
        with pytest.raises(ConfigError, match=rf"action is {wrong}, but must be in 0 \.\.\. 7"):
            env.step(wrong)
    while not env.step(7)[2]:
        pass
    with pytest.raises(ConfigError, match="the episode is over"):
        env.step(5)


@pytest.mark.parametrize("kind", ["one", "many"])
def test_episodes_cost_what_the_policy_costs_exactly(kind: str) -> None:
    problem = placement.test_problem(0.10)
    action = solve(problem).action
    paid = played_alone(problem, action, 400) if kind == "one" else played_together(problem, action, 4000)
    assert abs(paid.mean() - exact_cost(problem, action)) < 4 * paid.std() / np.sqrt(len(paid))


def played_alone(problem: placement.Problem, action: np.ndarray, episodes: int) -> np.ndarray:
    env, paid = PlacementGym(problem), np.zeros(episodes)
    for episode in range(episodes):
        seen, _ = env.reset(seed=4 if episode == 0 else None)
        done, steps = False, 0
        while not done:
            assert seen[2] == pytest.approx(steps / 40)  # the time of the state that it shows
            seen, reward, done, _, _ = env.step(chosen(action, seen[None])[0])
            paid[episode] -= reward
            steps += 1
    return paid


def played_together(problem: placement.Problem, action: np.ndarray, parents: int) -> np.ndarray:
    env, paid, ended = PlacementVector(parents, problem), np.zeros(parents), np.zeros(parents, np.bool_)
    seen, _ = env.reset(seed=4)
    while not ended.all():
        seen, reward, done, _, _ = env.step(chosen(action, seen))
        paid -= np.where(ended, 0, reward)
        ended |= done
    return paid


def chosen(action: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """A table's placements, from what observations say of the state."""
    t = np.rint(seen[:, 2] * 40).astype(int)
    remaining = np.rint(20 * (1 - seen[:, 2] + seen[:, 1])).astype(int)
    return action[t, remaining, np.rint(seen[:, 3] + 1).astype(int)]


def test_a_policy_of_observations_is_graded_by_its_table() -> None:
    problem = placement.test_problem(0.10)
    action = solve(problem).action
    assert np.array_equal(policy_table(problem, lambda seen: chosen(action, seen)), action)


def test_presets_say_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="preset is 'tset', but must be 'test', 'calibrated' or 'replay'"):
        problem_of("tset")
    with pytest.raises(ConfigError, match="preset 'calibrated' needs folder="):
        problem_of("calibrated")
    runs = [SimpleNamespace(ticker="AAA"), SimpleNamespace(ticker="BBB")]
    batch = stack([placement.test_problem(0.05), placement.test_problem(0.20)])
    kept = SimpleNamespace(results=SimpleNamespace(runs=runs), problems=batch)
    monkeypatch.setattr(gym_env, "load_results", lambda folder: kept)
    assert problem_of("calibrated", folder=Path("trained")).pov == 0.05
    assert problem_of("calibrated", folder="trained", ticker="BBB").pov == 0.20
    with pytest.raises(ConfigError, match="trained: no ticker 'CCC'; there are AAA, BBB"):
        problem_of("calibrated", folder="trained", ticker="CCC")


@pytest.mark.slow
def test_a_peers_algorithm_learns_to_beat_twap() -> None:
    """Stable-Baselines3's PPO, for less than a minute, and its own check of the environment."""
    theirs = pytest.importorskip("stable_baselines3", reason="the extra `peers` is not installed")
    torch = pytest.importorskip("torch")
    from stable_baselines3.common.env_checker import check_env
    from stable_baselines3.common.env_util import make_vec_env

    problem, threads = placement.test_problem(0.10), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        check_env(PlacementGym(problem))
        env = make_vec_env(lambda: PlacementGym(problem), n_envs=8, seed=1)
        model = theirs.PPO("MlpPolicy", env, gamma=1.0, n_steps=256, batch_size=256, seed=1, device="cpu")
        model.learn(24_576)
    finally:
        torch.set_num_threads(threads)
    learned = grade(problem, policy_table(problem, lambda seen: model.predict(seen, deterministic=True)[0]))
    assert learned.cost < exact_cost(problem, twap(problem))
    assert learned.gap_closed > 0.5
