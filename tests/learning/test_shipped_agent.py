"""The agent that ships is the one of its config, and says what it is."""

from __future__ import annotations

import numpy as np
import pytest

from engine.agent_model import Agent, load_agent
from engine.learning.agent_export import problem_of
from engine.learning.vwap_config import VwapConfig, load_vwap_config
from engine.shipped import shipped_folder
from engine.tape import Tape


@pytest.fixture(scope="module")
def config() -> VwapConfig:
    return load_vwap_config(shipped_folder("configs") / "training" / "vwap_agent.toml")


@pytest.fixture(scope="module")
def agent() -> Agent:
    return load_agent(shipped_folder("configs") / "models" / "DEMO_VWAP.agent")


def test_it_tells_that_its_market_was_made_up_and_what_its_problem_was_in_the_market(agent, config):
    facts = agent.manifest
    assert facts.is_synthetic
    assert facts.lot_size > 0
    assert facts.half_spread > 0
    assert (facts.pov, facts.objective, facts.seed) == (*config.povs, config.parent.objective, *config.seeds)
    assert facts.forecast == "model"
    assert len(facts.trained) == config.tickers[0].synthetic["days"]


def test_it_saw_no_day_that_it_is_run_on(agent):
    demo_day = Tape.load(shipped_folder("replay_data") / "demo_day")
    assert max(last for _, last in agent.manifest.trained) < demo_day.sessions[0][0]


@pytest.mark.slow
def test_its_problem_is_what_its_config_calibrates(agent, config):
    from engine.vwap_command import prepare

    (posed,) = prepare(config, config.tickers[0])
    kept = problem_of(agent)
    for name, value in posed.problem._asdict().items():
        assert np.asarray(value) == pytest.approx(np.asarray(getattr(kept, name)), abs=1e-9), name
    assert posed.told["lot_size"] == pytest.approx(agent.manifest.lot_size)
