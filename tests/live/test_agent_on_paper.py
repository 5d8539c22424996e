"""An agent that learned is attached live: on paper it does what its replay does."""

from pathlib import Path

from random_agent import random_agent
from test_paper_run import sealed

from engine.config import load
from engine.run import run_config
from engine.shipped import shipped_folder

MODEL = shipped_folder("configs") / "models" / "DEMO_20.model"
AGENT = """
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
[[probes]]
symbol = "XYZ"
model = "{model}"
clock = "quote"
[risk]
preset = "replay"
[broker.impact]
type = "none"
[live]
"""


def test_an_agent_gives_on_paper_what_its_replay_gives(tmp_path: Path, small_tape: Path) -> None:
    (tmp_path / "mine.toml").write_text(AGENT.format(tape=small_tape, model=MODEL))
    random_agent(tmp_path / "mine.agent", 2, lean_edge=0.02)
    config = load(tmp_path / "mine.toml")
    plain = run_config(config, out=tmp_path / "replay")
    random_agent(tmp_path / "mine.agent", 3, lean_edge=0.02)
    other = run_config(config, out=tmp_path / "other")
    random_agent(tmp_path / "mine.agent", 2, lean_edge=0.02)
    assert sealed(config, tmp_path / "paper").fingerprint == plain.fingerprint != other.fingerprint
    assert plain.parents[0].done > 0
