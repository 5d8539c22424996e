"""Full replay behind Gymnasium's interface: the same parents, costs and observations as the replay itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_agent import random_agent

from engine.config import load
from engine.errors import ConfigError
from engine.tape import Tape

gymnasium = pytest.importorskip("gymnasium", reason="the extra `learn` is not installed")

from engine.learning.gym_env import ID, problem_of  # noqa: E402  (needs gymnasium)
from engine.learning.placement_spaces import observed  # noqa: E402
from engine.learning.replay_gym import ReplayGym  # noqa: E402
from engine.learning.replay_parents import ReplayParents  # noqa: E402

RUN = """
strategy = "strategies.vwap_agent:VwapAgent"
seed = 3
[feed_params]
tapes = ["{tape}"]
[params]
agent_folder = "mine.agent"
[[params.orders]]
symbol = "XYZ"
side = "buy"
shares = 2_000
[params.market.XYZ]
daily_volume = 1_000_000
daily_volatility = 0.02
[risk]
preset = "replay"
[broker.impact]
type = "none"
"""
SHORT: dict[str, Any] = {"after_open_s": 60, "before_close_s": 30}


@pytest.fixture
def run(tmp_path: Path, small_tape: Path) -> str:
    told: dict[str, Any] = {"lot_size": 20.0, "half_spread": 100.0, "forecast": "imbalance"}
    random_agent(tmp_path / "mine.agent", 2, trained_on="XYZ", **told)
    (tmp_path / "run.toml").write_text(RUN.format(tape=small_tape))
    return str(tmp_path / "run.toml")


def test_gymnasium_finds_nothing_to_complain_about(run: str) -> None:
    from gymnasium.utils.env_checker import check_env

    check_env(gymnasium.make(ID, preset="replay", run=run, **SHORT).unwrapped)


def test_an_episode_is_that_of_the_replay(run: str, small_tape: Path) -> None:
    env, parents = ReplayGym(run, **SHORT), ReplayParents(load(Path(run)))
    chance = np.random.default_rng(1)
    for seed in range(4):
        seen, info = env.reset(seed=seed)
        drawn = env._env.episode
        replayed = parents.env(Tape.load(small_tape), drawn.start, drawn.side)
        state, done = replayed.reset(), False
        while not done:
            assert state is not None
            assert np.array_equal(seen, observed(env.problem, state.step, state.remaining, state.alpha))
            assert np.array_equal(info["action_mask"], state.allowed)
            assert env.observation_space.contains(seen)
            action = int(chance.integers(len(state.allowed)))
            expected, state, done = replayed.step(action if state.allowed[action] else 0)
            seen, reward, is_over, is_cut, info = env.step(action)
            assert (reward, is_over, is_cut) == (expected, done, False)
            assert info["remaining"] == state.remaining
        assert env._env.episode == replayed.episode
        with pytest.raises(ConfigError, match="the episode is over"):
            env.step(0)


def test_a_seed_draws_period_and_side_and_all_of_them_come(run: str) -> None:
    env = ReplayGym(run, **SHORT)

    def drawn(seed: int | None) -> tuple[int, int]:
        env.reset(seed=seed)
        return env._env.episode.start, env._env.episode.side

    assert [drawn(5), drawn(None), drawn(None)] == [drawn(5), drawn(None), drawn(None)]
    found = {drawn(seed) for seed in range(120)}
    assert len(found) == 2 * 12  # eight minutes and a half of parents of 40 s, bought and sold


def test_what_cannot_be_replayed_is_told(run: str, small_tape: Path) -> None:
    with pytest.raises(ConfigError, match=r"no period of 40 s fits into .*name other tapes"):
        ReplayGym(run, after_open_s=590)
    with pytest.raises(ConfigError, match="its strategy has no agent_folder"):
        ReplayGym("twap_demo")
    with pytest.raises(ConfigError, match="'replay' is no table of many parents"):
        problem_of("replay")
    parents = ReplayParents(load(Path(run)), "ABC")
    with pytest.raises(ConfigError, match="has no ABC; it has XYZ"):
        parents.env(Tape.load(small_tape), 0, 1)
    random_agent(Path(run).with_name("mine.agent"), 2, lot_size=20.0, half_spread=100.0)
    with pytest.raises(ConfigError, match=r"trained with a model's forecast; add \[\[probes\]\] with that model for X"):
        ReplayGym(run)
    random_agent(Path(run).with_name("mine.agent"), 2)
    with pytest.raises(ConfigError, match="was trained on a problem of no market"):
        ReplayGym(run)


@pytest.mark.slow
def test_the_shipped_agents_problem_is_replayed_many_at_once() -> None:
    many = gymnasium.make_vec(ID, num_envs=2, vectorization_mode="sync", preset="replay")
    many.reset(seed=1)
    for _ in range(5):
        seen, reward, _, _, _ = many.step(np.array([1, 2]))
        assert many.observation_space.contains(seen)
        assert np.isfinite(reward).all()
