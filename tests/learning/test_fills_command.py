"""``tickwright train fills`` and ``tickwright vwap fills``."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.cli import main
from engine.errors import ConfigError
from engine.fill_table import NEAR, load_fill_table
from engine.fills_command import read_fill_results
from engine.learning.fills_config import load_fills_config
from engine.shipped import shipped_folder
from engine.tape import Tape

pytest.importorskip("sklearn", reason="the extra `learn` is not installed")

CONFIG = """
seed = 3
sizes = [1, 4]
horizons = [5, 20]
every_s = 5
draws = 20

[forest]
trees = 4
depth = 3
leaf = 20

[[stocks]]
symbol = "XYZ"
tapes = ["{days[0]}", "{days[1]}"]
leave_one_day_out = true
"""


def written(folder: Path, small_tape: Path) -> Path:
    file = folder / "mine.toml"
    file.write_text(CONFIG.format(days=(small_tape, small_tape.with_name("day1"))))
    return file


@pytest.fixture(scope="module")
def trained(small_tape: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    assert main(["train", "fills", str(written(folder, small_tape)), "--out", str(folder / "fills"), "--quiet"]) == 0
    return folder / "fills"


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err


def test_a_training_leaves_a_table_for_the_stock_and_for_each_day_left_out(trained: Path, small_tape: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == [
        "XYZ.fills", "XYZ_without_2026-01-05.fills", "XYZ_without_2026-01-06.fills", "fills.json", "table.csv",
    ]  # fmt: skip
    cells = read_fill_results(trained).cells
    assert [cell.split for cell in cells] == ["days", "without 2026-01-05", "without 2026-01-06"]
    with (trained / "table.csv").open() as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == 4 * sum(len(cell.scores) for cell in cells)
    first, second = (Tape.load(small_tape.with_name(name)).manifest for name in ("day0", "day1"))
    for name, kept in (("XYZ", first), ("XYZ_without_2026-01-05", second), ("XYZ_without_2026-01-06", first)):
        spans = load_fill_table(trained / f"{name}.fills").manifest.trained
        assert len(spans) == 1
        assert kept.ts_first <= spans[0][0] < spans[0][1] <= kept.ts_last


def test_chances_rise_with_time_fall_with_size_and_are_those_that_are_shown(trained: Path) -> None:
    table, cell = load_fill_table(trained / "XYZ.fills"), read_fill_results(trained).cells[0]
    p = table.arrays.probability
    assert (np.diff(p, axis=-1) >= 0).all()
    assert (np.diff(p, axis=-2) <= 0).all()
    assert 0 < p.min() < p.max() < 1
    near = next(curve for curve in cell.curves if curve.level == "near")
    assert near.probability == pytest.approx(
        [table.probability(NEAR, near.size, horizon=horizon) for horizon in (5, 20)]
    )


def test_the_same_config_gives_the_same_tables_and_replaces_them_when_told(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, copy = str(trained.parent / "mine.toml"), tmp_path / "fills"
    shutil.copytree(trained, copy)
    assert "choose another --out" in complaint(capsys, "train", "fills", config, "--out", str(copy))
    assert main(["train", "fills", config, "--out", str(copy), "--overwrite", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["tables"] == ["XYZ.fills", "XYZ_without_2026-01-05.fills", "XYZ_without_2026-01-06.fills"]
    for name in answer["tables"]:
        assert load_fill_table(copy / name).manifest == load_fill_table(trained / name).manifest
    told = complaint(capsys, "train", "fills", config, "--out", str(trained.parent), "--overwrite")
    assert "holds no fill probabilities, so it is not overwritten" in told


def test_a_report_reads_what_was_left_and_nothing_else(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("plotly", reason="the extra `report` is not installed")
    shutil.copytree(trained, tmp_path / "elsewhere")
    page = tmp_path / "fills.html"
    assert main(["vwap", "fills", str(tmp_path / "elsewhere"), "--html", str(page)]) == 0
    shown = capsys.readouterr().out
    for words in ("Virtual orders", "Log-loss, nats", "XYZ without 2026-01-05", "better than its level's own rates"):
        assert words in shown
    written = page.read_text()
    for words in ("Calibration: forest", "chance to fill as a whole", "Kept table, all signals", "a synthetic market"):
        assert words in written
    assert main(["vwap", "fills", str(trained), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["results"]["cells"]) == 3
    assert answer["page"] == ""


def test_results_that_are_none_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "make it with `tickwright train fills`" in complaint(capsys, "vwap", "fills", str(tmp_path))
    (tmp_path / "fills.json").write_text("{}")
    assert "train again" in complaint(capsys, "vwap", "fills", str(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "complaint_"),
    [
        ("seed = 3", "seed = -3", "expected int >= 0 at $.seed"),
        ("seed = 3", "sede = 3", "unknown field 'sede' at $; did you mean 'seed'?"),
        ("sizes = [1, 4]", "sizes = [4, 1]", "$.sizes is [4.0, 1.0], but must rise"),
        ("horizons = [5, 20]", "horizons = []", "$.horizons is [], but must rise"),
        ("every_s = 5", "every_s = 7", "but must be a multiple of $.every_s, 7 s"),
        ("trees = 4", "trees = 0", "trees is 0"),
        ("draws = 20", 'estimator = "oracle"', "$.estimator"),
        ('symbol = "XYZ"', 'symbol = "XYZ"\nform = "quotes"\nfiles = ["none.csv"]', "needs either tapes"),
        ('symbol = "XYZ"', 'symbol = "ABC"', "ABC is not on the tape"),
        ("leave_one_day_out = true", "train_days = 2", "train_days is 2, but there are 2 days"),
        ("horizons = [5, 20]", "horizons = [5, 700]", "give longer days or a shorter life"),
        ("horizons = [5, 20]", "horizons = [5, 150]", "give no errors; test on longer tapes"),
    ],
)
def test_a_config_that_cannot_be_is_refused_in_one_sentence_and_leaves_nothing(
    small_tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, complaint_: str
) -> None:
    file = written(tmp_path, small_tape)
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    told = complaint(capsys, "train", "fills", str(file), "--out", str(tmp_path / "fills"), "--quiet")
    assert complaint_ in told
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_a_name_that_does_not_ship_is_refused_with_the_one_that_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'fills_demo'?" in complaint(capsys, "train", "fills", "fils_demo")


@pytest.mark.parametrize("file", sorted((shipped_folder("configs") / "training").glob("fills_*.toml")))
def test_trainings_that_ship_are_valid(file: Path, recorded_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "TICKWRIGHT_DATA", str(recorded_data))
    assert load_fills_config(file).stocks


def test_files_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.toml"
    file.write_text('seed = 1\n[[stocks]]\nsymbol = "A"\nform = "quotes"\nfiles = ["none.parquet"]\n')
    monkeypatch.delenv("TICKWRIGHT_DATA", raising=False)
    with pytest.raises(ConfigError, match=r"no file .*none.parquet.*set TICKWRIGHT_DATA"):
        load_fills_config(file)
