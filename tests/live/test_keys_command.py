from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main
from engine.live.keys import Keys


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TICKWRIGHT_KEYS", str(tmp_path / "keys"))
    return tmp_path / "keys"


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert main(["keys", *words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_one_command_makes_all_keys_and_says_what_to_do_next(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "new"]) == 0
    said = capsys.readouterr().out
    assert "client  local: md, push, orders, admin; trades every account" in said
    assert "next    " in said
    for role in ("md", "push", "orders", "admin"):
        assert Keys.load(folder).client(role).secret not in said


def test_a_second_time_nothing_is_touched(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "new")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert "`tickwright keys new NAME` adds a client" in told(capsys, "new", code=1)["error"]["message"]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_client_is_added_listed_and_revoked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "new")
    made = told(capsys, "new", "desk7")["clients"]
    assert [(client["role"], client["accounts"]) for client in made] == [("md", []), ("orders", ["desk7"])]
    assert "desk7 has keys for md, orders" in told(capsys, "new", "desk7", code=1)["error"]["message"]
    assert made[0] in told(capsys, "list")["clients"]
    assert len(told(capsys, "revoke", "desk7", "--role", "orders")["removed"]) == 2
    assert [client["role"] for client in told(capsys, "list")["clients"] if client["name"] == "desk7"] == ["md"]
    told(capsys, "revoke", "desk7")
    assert "there is no client 'desk7'" in told(capsys, "revoke", "desk7", code=1)["error"]["message"]


def test_a_client_for_named_accounts_says_which_files_to_carry(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(capsys, "new")
    assert main(["keys", "new", "desk7", "--role", "orders", "--account", "one", "--account", "two"]) == 0
    said = capsys.readouterr().out
    assert "trades one, two" in said
    assert "move secrets/orders/desk7.key_secret" in said
    assert "SIGHUP" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("new", "desk7", "--role", "md", "--account", "a"), "add --role orders"),
        (("new", "--account", "a"), "are for a client"),
        (("new", "../desk7"), "cannot name a client"),
        (("revoke", "lokal"), "did you mean 'local'"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
) -> None:
    told(capsys, "new")
    assert sentence in told(capsys, *words, code=1)["error"]["message"]


def test_a_clients_machine_lists_without_servers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir(mode=0o700)
    assert told(capsys, "list") == {"folder": str(folder), "servers": [], "clients": []}
