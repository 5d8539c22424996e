"""``tickwright train forest`` and ``tickwright forest report``."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.cli import main
from engine.errors import ConfigError
from engine.forest_command import read_results
from engine.forest_views import beats_guesses, own_splits
from engine.learning import forest_study
from engine.learning.features import samples
from engine.learning.forest_config import load_forest_config
from engine.learning.metrics import NAMES
from engine.learning.training import Plan, Stock, train
from engine.model_file import InstrumentFacts, load_model
from engine.shipped import shipped_folder
from engine.tape import Tape

pytest.importorskip("sklearn", reason="the extra `learn` is not installed")

CONFIG = """
seed = 3
horizons = [5, 20]
study_horizon = 20
draws = 20
studies = {studies}

[forest]
trees = 8
depth = 4
leaf = 20

[[stocks]]
symbol = "XYZ"
tapes = ["{days[0]}", "{days[1]}"]
leave_one_day_out = true
"""


def written(folder: Path, small_tape: Path, *, studies: bool = False) -> Path:
    days = small_tape, small_tape.with_name("day1")
    file = folder / "mine.toml"
    file.write_text(CONFIG.format(studies=str(studies).lower(), days=days))
    return file


@pytest.fixture(scope="module")
def trained(small_tape: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    assert main(["train", "forest", str(written(folder, small_tape)), "--out", str(folder / "models"), "--quiet"]) == 0
    return folder / "models"


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err


def test_a_training_leaves_models_a_table_and_results(trained: Path, small_tape: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == [
        "XYZ_20.model", "XYZ_5.model", "results.json", "table.csv",
    ]  # fmt: skip
    results = read_results(trained)
    assert [(cell.horizon, cell.split) for cell in results.cells] == [
        (h, split) for h in (5, 20) for split in ("days", "without day 1", "without day 2")
    ]
    model = load_model(trained / "XYZ_5.model")
    tape = Tape.load(small_tape)
    assert model.manifest.instrument == InstrumentFacts.on(tape, "XYZ")
    assert model.manifest.trained[0][0] >= tape.manifest.ts_first
    assert model.manifest.trained[0][1] <= tape.manifest.ts_last
    assert model.manifest.metrics["accuracy"] == results.cells[0].of("forest", "accuracy")[0]
    lines = (trained / "table.csv").read_text().splitlines()
    assert len(lines) == 1 + 6 * 5 * len(NAMES)


def test_the_model_file_forecasts_what_was_judged(trained: Path, small_tape: Path) -> None:
    config = load_forest_config(trained.parent / "mine.toml")
    tapes = [Tape.load(name) for name in config.stocks[0].tapes]
    stock = Stock(facts=InstrumentFacts.on(tapes[0], "XYZ"), days=[samples(tape, "XYZ") for tape in tapes])
    plan = Plan(seed=config.seed, settings=config.forest, draws=config.draws)
    again = train(stock, plan, 5)
    model = load_model(trained / "XYZ_5.model")
    x = again.data.x[again.split.test]
    assert np.array_equal(model.trees.probabilities(x), again.fitted.predict["forest"](x))
    assert again.cell == read_results(trained).cells[0]


def test_a_coin_is_not_forecast(trained: Path) -> None:
    """The tape's mid is a random walk that nothing foretells."""
    for cell in own_splits(read_results(trained)):
        assert not beats_guesses(cell, "forest")
        auc, error = cell.of("forest", "auc")
        assert abs(auc - 0.5) < max(4 * error, 0.06)


def test_a_report_reads_what_was_left_and_nothing_else(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forest", "report", str(trained)]) == 0
    told = capsys.readouterr().out
    for words in ("One-vs-rest accuracy", "Macro AUC", "XYZ", "forest less logistic", "no model does: XYZ 5, XYZ 20"):
        assert words in told
    assert main(["forest", "report", str(trained), "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert len(answer["results"]["cells"]) == 6


def test_an_existing_folder_is_kept_unless_told_otherwise(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(trained.parent / "mine.toml")
    assert "choose another --out" in complaint(capsys, "train", "forest", config, "--out", str(trained))
    told = complaint(capsys, "train", "forest", config, "--out", str(trained.parent), "--overwrite")
    assert "holds no training, so it is not overwritten" in told


@pytest.mark.slow
def test_a_training_that_fails_leaves_nothing(
    small_tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, small_tape)
    file.write_text(file.read_text().replace("horizons = [5, 20]", "horizons = [5, 20, 5000]"))
    told = complaint(capsys, "train", "forest", str(file), "--out", str(tmp_path / "models"), "--quiet")
    assert "XYZ: no sample has a move 5000 ticks later" in told
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize(
    ("old", "new", "complaint_"),
    [
        ("seed = 3", "seed = -3", "expected int >= 0 at $.seed"),
        ("seed = 3", "sede = 3", "unknown field 'sede' at $; did you mean 'seed'?"),
        ("trees = 8", "trees = 0", "forest.trees is 0"),
        ("horizons = [5, 20]", "horizons = [5, 5]", "a stock or a horizon twice"),
        ("horizons = [5, 20]", "horizons = []", "at least one"),
        ("study_horizon = 20\ndraws = 20\nstudies = false", "study_horizon = 7", "choose one of"),
        ('symbol = "XYZ"', 'symbol = "XYZ"\nform = "quotes"\nfiles = ["none.csv"]', "needs either tapes"),
        ("draws = 20", 'band = "half"', "at $.band"),
        ("[forest]", "[woods]", "unknown field 'woods'"),
        ('symbol = "XYZ"', 'symbol = "ABC"', "ABC is not on the tape"),
        ("leave_one_day_out = true", "train_days = 2", "train_days is 2, but there are 2 days"),
    ],
)
def test_a_config_that_cannot_be_is_refused_in_one_sentence(
    small_tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, complaint_: str
) -> None:
    file = written(tmp_path, small_tape)
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    told = complaint(capsys, "train", "forest", str(file), "--out", str(tmp_path / "models"), "--quiet")
    assert complaint_ in told


def test_files_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.toml"
    file.write_text('seed = 1\n[[stocks]]\nsymbol = "A"\nform = "quotes"\nfiles = ["none.parquet"]\n')
    monkeypatch.delenv("TICKWRIGHT_DATA", raising=False)
    with pytest.raises(ConfigError, match=r"no file .*none.parquet.*set TICKWRIGHT_DATA"):
        load_forest_config(file)
    (tmp_path / "none.parquet").touch()
    assert load_forest_config(file).stocks[0].files == [str((tmp_path / "none.parquet").resolve())]


def test_results_that_are_none_are_refused(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "make it with `tickwright train forest`" in complaint(capsys, "forest", "report", str(tmp_path))
    (tmp_path / "results.json").write_text("{}")
    assert "train again" in complaint(capsys, "forest", "report", str(tmp_path))


TRAININGS = sorted((shipped_folder("configs") / "training").glob("*.toml"))


@pytest.mark.parametrize("file", [file for file in TRAININGS if not file.stem.startswith(("fills", "vwap"))])
def test_trainings_that_ship_are_valid(file: Path, recorded_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "TICKWRIGHT_DATA", str(recorded_data))
    assert load_forest_config(file).stocks


@pytest.mark.slow
def test_a_page_shows_every_study(small_tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("plotly", reason="the extra `report` is not installed")
    for name, small in (("DRAWS", 2), ("FITTED", 600), ("JUDGED", 300), ("KNOWN_TICKS", 3_000)):
        monkeypatch.setattr(forest_study, name, small)
    config, models = written(tmp_path, small_tape, studies=True), tmp_path / "models"
    assert main(["train", "forest", str(config), "--out", str(models)]) == 0
    shutil.copytree(models, tmp_path / "elsewhere")
    assert main(["forest", "report", str(tmp_path / "elsewhere"), "--html", str(tmp_path / "x.html")]) == 0
    page = (tmp_path / "x.html").read_text()
    for words in (
        "Prediction accuracy by horizon", "Leave one day out", "Which signals matter", "order flow and the move",
        "told up, and it did not", "P(up) - P(down)", "bias² + noise", "known process", "when moves happen",
    ):  # fmt: skip
        assert words in page, words
