"""What README promises, done as it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main
from engine.config import load

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
ELSEWHERE = ("pip", "make")  # what CI does before these tests run


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    return [shlex.split(line) for block in blocks("sh") for line in block.splitlines()]


COLUMNS = """
kind = "trades"

[instrument]
symbol = "MINE"
price_unit = "1/100"
tick = 1

[time]
column = "time"
unit = "ns"

[columns]
price = "price"
size = "size"
"""
TRADES = """time,price,size
1767623400000000000,10.01,100
1767623401000000000,10.02,50
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as README describes it."""
    (tmp_path / "mine.toml").write_text(blocks("toml")[0])
    (tmp_path / "mine.py").write_text(blocks("python")[1])
    (tmp_path / "trades.csv").write_text(TRADES)
    (tmp_path / "columns.toml").write_text(COLUMNS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_strategy_runs_and_trades(capsys: Any) -> None:
    space: dict[str, Any] = {"__name__": "readme"}
    exec(compile(blocks("python")[0], "README.md", "exec"), space)
    assert space["result"].orders.fills > 0
    assert space["result"].fingerprint in capsys.readouterr().out


@pytest.mark.slow
def test_every_command_does_what_it_should_in_the_order_given(home: Path) -> None:
    for words in commands():
        if words[0] not in ELSEWHERE:
            assert words[0] == "tickwright"
            assert main([*words[1:], *([] if words[1] == "data" else ["--quiet"])]) == 0, words


def test_the_config_is_read_as_it_says(home: Path) -> None:
    config = load(home / "mine.toml")
    assert config.strategies[0].account.cash == {"USD": 10**12}
    assert config.risk.max_position == 10_000


def test_every_make_target_exists() -> None:
    makefile = ROOT / "Makefile"
    if not makefile.exists():
        pytest.skip("no Makefile beside the tests of an installed wheel")
    targets = re.findall(r"^([\w-]+):", makefile.read_text(), re.MULTILINE)
    assert {words[1] for words in commands() if words[0] == "make"} <= {*targets}


def test_every_link_leads_somewhere() -> None:
    if not (ROOT / "Makefile").exists():
        pytest.skip("no checkout around the tests of an installed wheel")
    broken = [target for target in re.findall(r"\]\(([^)#:]+)\)", TEXT) if not (ROOT / target).exists()]
    assert not broken


def test_the_first_screen_stays_short() -> None:
    assert len(TEXT.splitlines()) < 350
