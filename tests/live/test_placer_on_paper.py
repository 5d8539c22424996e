"""A placer that forecasts is attached live: on paper it does what its replay does."""

from pathlib import Path

from test_paper_run import sealed

from engine.config import load
from engine.run import run_config
from engine.shipped import shipped_folder

MODEL = shipped_folder("configs") / "models" / "DEMO_20.model"
PLACER = """
strategy = "strategies.forest_placer:ForestPlacer"
seed = 3
[feed_params]
tapes = ["{tape}"]
[[params.orders]]
symbol = "XYZ"
side = "buy"
shares = 2_000
[params.placement]
improve = -0.02
wait = 0.02
deepen = 0.05
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


def test_a_placer_that_forecasts_gives_on_paper_what_its_replay_gives(tmp_path: Path, small_tape: Path) -> None:
    (tmp_path / "mine.toml").write_text(PLACER.format(tape=small_tape, model=MODEL))
    config = load(tmp_path / "mine.toml")
    off = run_config(load(tmp_path / "mine.toml", sets=["params.signals=off"]), out=tmp_path / "off")
    plain = run_config(config, out=tmp_path / "replay")
    assert sealed(config, tmp_path / "paper").fingerprint == plain.fingerprint != off.fingerprint
