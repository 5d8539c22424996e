from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from engine import kernel_cache
from engine.cli import Output, main, say
from engine.errors import RunError
from engine.journal import RECORD, Journal, RecordKind, read_journal

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(engine.__file__).parent.parent)}  # for processes elsewhere

MINE = '''
import msgspec
from engine import SECOND, Strategy, Wake

class Mine(Strategy):
    """Buy a lot at the bid each second."""

    class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        shares: int = 100

    wake = Wake(every_ns=SECOND)

    def on_timer(self, timer, desk):
        quote = desk.quote("XYZ")
        if quote.is_two_sided:
            desk.buy("XYZ", shares=self.params.shares, limit=quote.bid)

class Raises(Mine):
    def on_fill(self, fill, desk):
        self.think(fill)

    def think(self, fill):
        return 1 / (fill.size - fill.size)
'''


@pytest.fixture
def home(tmp_path: Path, small_tape: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder, with an own strategy and a config, to run from."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "mine.toml").write_text(
        f'strategy = "mine.py:Mine"\nseed = 3\n[feed_params]\ntapes = ["{small_tape}"]\n'
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    """Exit code, and the one JSON object on standard output."""
    capsys.readouterr()
    code = main([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_run_from_the_users_folder_leaves_everything_and_says_what_it_came_to(home: Path, capsys: Any) -> None:
    assert main(["run", "mine.toml"]) == 0
    said = capsys.readouterr()
    for model in ("latency", "queue", "fees", "fills", "borrow", "impact", "risk", "SYNTHETIC", "seed 3"):
        assert model in said.err
    for line in ("data ", "orders ", "position ", "P/L ", "fingerprint ", "folder "):
        assert f"\n{line}" in said.out
    assert said.out.index("\ndata") < said.out.index("\nP/L")
    assert {file.name for file in (home / "runs/mine").iterdir()} >= {
        "config.toml", "manifest.json", "journal.bin", "results.json",
    }  # fmt: skip


def test_json_is_one_object_and_the_same_run_gives_the_same_fingerprint(home: Path, capsys: Any) -> None:
    code, first = answer(capsys, "run", "mine.toml")
    assert code == 0
    for more in (["--chunks", "1"], ["--chunks", "7"], ["--chunks", "1000"]):
        assert answer(capsys, "run", "mine.toml", *more)[1]["result"]["fingerprint"] == first["result"]["fingerprint"]
    other = answer(capsys, "run", "mine.toml", "--set", "params.shares=200")[1]
    assert other["result"]["fingerprint"] != first["result"]["fingerprint"]
    assert [Path(path).name for path in sorted((home / "runs").iterdir())] == [
        "mine",
        *(f"mine-{n}" for n in range(2, 6)),
    ]


def test_a_resolved_config_runs_again_to_the_same_fingerprint(home: Path, capsys: Any) -> None:
    first = answer(capsys, "run", "mine.toml", "--set", "broker.fees.taker_per_unit=0.01", "--out", "a")[1]["result"]
    again = answer(capsys, "run", "a/config.toml", "--out", "b")[1]["result"]
    assert again["fingerprint"] == first["fingerprint"]
    assert (home / "a/config.toml").read_text() == (home / "b/config.toml").read_text()


def test_verify_prints_the_matching_fingerprint(home: Path, capsys: Any) -> None:
    fingerprint = answer(capsys, "run", "mine.toml")[1]["result"]["fingerprint"]
    assert main(["verify", "runs/mine"]) == 0
    assert f"fingerprint {fingerprint}" in capsys.readouterr().out


def test_verify_shows_the_first_record_that_differs_and_what_has_changed(home: Path, capsys: Any) -> None:
    main(["run", "mine.toml", "--quiet"])
    (home / "mine.py").write_text(MINE.replace("limit=quote.bid", "limit=quote.bid - 100"))
    assert main(["verify", "runs/mine"]) == 4
    said = capsys.readouterr().out
    assert "mine.py:Mine has changed" in said
    assert "DIFFERS     at record 0" in said
    recorded, now = (line for line in said.splitlines() if line.startswith(("recorded", "now")))
    assert "ORDER 2026-01-05 14:30:0" in recorded
    assert recorded != now


def test_verify_refuses_a_journal_that_was_changed(home: Path, capsys: Any) -> None:
    main(["run", "mine.toml", "--quiet"])
    file = home / "runs/mine/journal.bin"
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    assert main(["verify", "runs/mine"]) == 1
    assert "changed or is damaged" in capsys.readouterr().err


def test_a_strategy_that_raises_keeps_the_run_and_shows_its_own_lines_and_the_row(home: Path, capsys: Any) -> None:
    code = main(["run", "mine.toml", "--set", "strategy=mine.py:Raises", "--quiet"])
    said = capsys.readouterr()
    assert code == 3
    assert "return 1 / (fill.size - fill.size)" in said.err
    assert "engine/loop.py" not in said.err
    assert "Raises.on_fill raised ZeroDivisionError" in said.err
    assert "woken by Filled(" in said.err
    assert "of source 0: " in said.err
    assert "PARTIAL     Raises.on_fill raised ZeroDivisionError" in said.out
    assert len(read_journal(home / "runs/mine/journal.bin")) > 0
    assert main(["verify", "runs/mine"]) == 0


def test_a_part_of_the_day_is_replayed(home: Path, capsys: Any) -> None:
    result = answer(capsys, "run", "mine.toml", "--from", "2026-01-05T14:35", "--to", "2026-01-05T14:36")[1]["result"]
    assert result["rows"] == 600
    assert "2026-01-05T14:35" in (home / "runs/mine/config.toml").read_text()


def test_several_days_are_one_run(home: Path, small_tape: Path, capsys: Any) -> None:
    days = f'["{small_tape}", "{small_tape.with_name("day1")}"]'
    result = answer(capsys, "run", "mine.toml", "--set", f"feed_params.tapes={days}")[1]["result"]
    assert result["rows"] == 12_000


def test_results_add_up(home: Path, capsys: Any) -> None:
    result = answer(capsys, "run", "mine.toml")[1]["result"]
    (balance,), (holding,) = result["balances"], result["holdings"]
    assert balance["equity"] == balance["start"] + balance["pnl"]
    gained, paid = ("realised", "unrealised", "adjustments"), ("fees", "impact_charged")
    assert balance["pnl"] == sum(holding[name] for name in gained) - sum(holding[name] for name in paid)
    assert result["orders"]["fills"] == holding["fills"] > 0


def test_a_run_says_what_it_came_to_without_own_impact(home: Path, capsys: Any) -> None:
    both = answer(capsys, "run", "mine.toml")[1]
    alone = answer(capsys, "run", "mine.toml", "--set", 'broker.impact={type="none"}')[1]
    assert both["without_impact"]["fingerprint"] == alone["result"]["fingerprint"] != both["result"]["fingerprint"]
    assert alone["without_impact"] is None
    assert answer(capsys, "run", "mine.toml", "--no-counterfactual")[1]["without_impact"] is None
    main(["run", "mine.toml", "--quiet"])
    assert "no impact   P/L main" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "nothing.toml"], 1, "nothing.toml: cannot be read"),
        (["run", "demmo"], 1, "no config of that name ships"),
        (["run", "mine.toml", "--set", "broker.queue.modle=fifo"], 1, "did you mean 'model'"),
        (["run", "mine.toml", "--from", "noon"], 1, "noon"),
        (["run", "mine.toml", "--chunks", "many"], 2, "chunks"),
        (["run"], 2, "config"),
        (["rum"], 2, "rum"),
        (["verify", "nothing"], 1, "no run folder"),
        (["data", "inspect", "nothing"], 1, "no such folder"),
        (["data", "import", "lobsta", "a", "--out", "t"], 1, "did you mean 'lobster'"),
        (["data", "import", "csv", "a.csv", "--out", "t"], 1, "a.csv: no such file"),
    ],
)
def test_a_mistake_is_one_sentence_and_an_exit_code(
    words: list[str], code: int, message: str, home: Path, capsys: Any
) -> None:
    assert main(words) == code
    said = capsys.readouterr()
    assert message in said.err
    assert "Traceback" not in said.err
    assert main([*words, "--json"]) == code
    assert message in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_tape_is_inspected_verified_exported_and_imported(home: Path, small_tape: Path, capsys: Any) -> None:
    code, shown = answer(capsys, "data", "inspect", str(small_tape))
    assert (code, shown["manifest"]["rows"]) == (0, 6_000)
    code, checked = answer(capsys, "data", "verify", str(small_tape))
    assert (code, checked["rows"]) == (0, 6_000)
    assert main(["data", "export", str(small_tape), "--parquet", "day.parquet"]) == 0
    assert main(["data", "import", "parquet", "day.parquet", "--out", "again"]) == 0
    assert answer(capsys, "data", "verify", "again")[1]["content"] == checked["content"]


def test_a_damaged_tape_is_found(home: Path, small_tape: Path, capsys: Any) -> None:
    main(["data", "export", str(small_tape), "--parquet", "day.parquet"])
    main(["data", "import", "parquet", "day.parquet", "--out", "again"])
    data = bytearray((home / "again/rows.npy").read_bytes())
    data[-40] ^= 1
    (home / "again/rows.npy").write_bytes(data)
    assert main(["data", "verify", "again"]) == 1
    assert "changed or is damaged" in capsys.readouterr().err


def test_a_full_disk_is_one_sentence_and_the_journal_says_how_far_it_came(
    home: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/dev/full takes every write with ENOSPC."""
    opened = Journal.__init__
    monkeypatch.setattr(Journal, "__init__", lambda self, path=None: opened(self, path and Path("/dev/full")))
    assert main(["run", "mine.toml", "--quiet"]) == 1
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert "Traceback" not in said


def test_a_folder_that_cannot_be_written_is_one_sentence(home: Path, capsys: Any) -> None:
    (home / "file").write_text("")
    assert main(["run", "mine.toml", "--quiet", "--out", "file/run"]) == 1
    assert "choose another --out folder" in capsys.readouterr().err


def test_a_kernel_cache_that_cannot_be_written_is_one_sentence(
    home: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/dev/null/cache")
    kernel_cache.ensure.cache_clear()
    try:
        assert main(["run", "mine.toml", "--quiet"]) == 1
        assert "set NUMBA_CACHE_DIR to a folder" in capsys.readouterr().err
        assert not (home / "runs").exists()
    finally:
        kernel_cache.ensure.cache_clear()


def test_the_demo_goes_where_it_is_told(home: Path, capsys: Any) -> None:
    (home / "vwap_demo").mkdir()  # no config, though of the name of one
    for _ in range(2):
        code, said = answer(capsys, "demo", "--out", "shown", "--overwrite")
        assert code == 0
        assert said["result"]["folder"] == "shown"
    assert (home / "shown/journal.bin").exists()
    assert not (home / "runs").exists()


def test_numpys_numbers_are_numbers_in_json_too(capsys: Any) -> None:
    answer = {"one": np.float64(0.1), "none": np.float64("nan"), "some": np.arange(2), "path": Path("runs")}
    say(Output(json=True), answer, [])
    assert json.loads(capsys.readouterr().out) == {"one": 0.1, "none": None, "some": [0, 1], "path": "runs"}


def test_the_command_is_a_module_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli", "configs", "--json"],
        env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "vwap_demo" in json.loads(done.stdout)["configs"]
    assert done.returncode == 0


def test_overwriting_needs_a_run_folder(home: Path, capsys: Any) -> None:
    (home / "precious").mkdir()
    (home / "precious/file").write_text("")
    assert main(["run", "mine.toml", "--quiet", "--out", "precious", "--overwrite"]) == 1
    assert "is not a run folder" in capsys.readouterr().err
    assert (home / "precious/file").exists()
    for _ in range(2):
        assert main(["run", "mine.toml", "--quiet", "--out", "mine", "--overwrite"]) == 0
    assert not (home / "mine-2").exists()


def test_doctor_reports_every_part(home: Path, capsys: Any) -> None:
    _, found = answer(capsys, "doctor")
    assert [finding["what"] for finding in found["findings"]] == [
        "python", "versions", "extras", "machine", "kernel cache", "shipped", "run folder", "terminal",
    ]  # fmt: skip


def test_help_names_every_command_and_the_exit_codes(capsys: Any) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    for word in ("demo", "run", "verify", "data", "configs", "doctor", "bench", "130 interrupted"):
        assert word in said


@pytest.mark.slow
def test_ctrl_c_ends_cleanly_with_what_was_done(home: Path) -> None:
    (home / "mine.py").write_text(
        MINE.replace("quote = desk", "import time; time.sleep(0.02); open('woken', 'w').close(); quote = desk")
    )
    code = "import sys; from engine.cli import main; sys.exit(main(['run', 'mine.toml', '--quiet']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=home, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )
    for _ in range(1_200):  # until it runs; kernels may have to be compiled first
        if (home / "woken").exists() or process.poll() is not None:
            break
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "PARTIAL     interrupted" in said
    assert json.loads((home / "runs/mine/manifest.json").read_text())["partial"] == "interrupted"
    assert 0 < len(read_journal(home / "runs/mine/journal.bin")) < 1_200


@pytest.mark.slow
def test_neither_hash_seed_nor_time_zone_changes_the_fingerprint(home: Path, small_tape: Path) -> None:
    code = "import sys; from engine.cli import main; sys.exit(main(['run', 'mine.toml', '--json']))"
    found = []
    for seed, zone in (("0", "UTC"), ("1", "Asia/Tokyo"), ("4242", "America/New_York")):
        environment = {**ENVIRONMENT, "PYTHONHASHSEED": seed, "TZ": zone}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=home, env=environment, capture_output=True, text=True, check=True
        )
        found.append(json.loads(done.stdout)["result"]["fingerprint"])
    assert len(found) == 3
    assert len({*found}) == 1


def test_records_of_a_run_begin_with_the_order_that_the_first_wake_sent(home: Path, capsys: Any) -> None:
    main(["run", "mine.toml", "--quiet"])
    records = read_journal(home / "runs/mine/journal.bin")
    assert records.dtype == RECORD
    assert records[0]["kind"] == RecordKind.ORDER
    assert np.all(np.diff(records["ts"][records["kind"] == RecordKind.ORDER]) > 0)


def test_a_run_error_is_not_taken_for_the_strategys(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def fail(self: Journal, records: Any) -> None:
        raise RunError("the disk went away")

    monkeypatch.setattr(Journal, "append", fail)
    assert main(["run", "mine.toml", "--quiet"]) == 1
    assert "the disk went away" in capsys.readouterr().err
