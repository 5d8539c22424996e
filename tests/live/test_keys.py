from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.live.keys import ALL_ACCOUNTS, ROLES, Keys, check_name, default_folder, new_keys


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return new_keys(tmp_path / "keys")


def test_nobody_else_can_reach_a_key_even_where_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keys = new_keys(tmp_path / "made" / "on" / "the" / "way" / "keys")
        keys.add("orders", "desk7")
    finally:
        os.umask(before)
    paths = [keys.folder, *keys.folder.rglob("*")]
    assert {path.stat().st_mode & 0o7777 for path in paths if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o7777 for path in paths if path.is_file()} == {0o600}


def test_one_command_makes_keys_for_everything_on_one_machine(keys: Keys) -> None:
    permits = keys.permits()
    for role, server in ROLES.items():
        own = keys.client(role)
        assert own.server == keys.server(server).public
        assert permits[role][own.public].name == "local"
    assert permits["md"][keys.client("md", "broker").public].name == "broker"
    assert permits["orders"][keys.client("orders").public].may_trade("any account")


def test_each_client_has_a_pair_of_its_own_for_each_role(keys: Keys) -> None:
    pairs = [keys.client(role) for role in ROLES] + [keys.server("feed"), keys.server("broker")]
    assert len({pair.secret for pair in pairs}) == len({pair.public for pair in pairs}) == len(pairs)
    for pair in pairs:
        assert zmq.curve_public(pair.secret.encode()).decode() == pair.public


def test_a_client_may_trade_the_accounts_it_was_given_and_no_others(keys: Keys) -> None:
    permit = keys.add("orders", "desk7", ("desk7", "hedges"))
    assert keys.permits()["orders"][permit.public] == permit
    assert permit.may_trade("hedges")
    assert not permit.may_trade("desk8")
    assert not permit.may_trade(ALL_ACCOUNTS)


def test_a_client_needs_no_more_than_its_own_files(keys: Keys, tmp_path: Path) -> None:
    away = tmp_path / "away"
    (away / "secrets" / "md").mkdir(parents=True)
    for folder in (away, away / "secrets", away / "secrets" / "md"):
        folder.chmod(0o700)
    name = Path("secrets", "md", "local.key_secret")
    (keys.folder / name).rename(away / name)
    loaded = Keys.load(away)
    assert loaded.client("md").server == keys.server("feed").public
    assert not any(loaded.permits().values())


def test_keys_are_never_made_over_others(keys: Keys) -> None:
    before = keys.server("feed")
    with pytest.raises(ConfigError, match="there are files already; `tickwright keys list`"):
        new_keys(keys.folder)
    with pytest.raises(ConfigError, match="is there already; `tickwright keys revoke local --role md`"):
        keys.add("md", "local")
    assert keys.server("feed") == before


def test_a_revoked_client_is_not_there(keys: Keys) -> None:
    public = keys.client("orders").public
    assert len(keys.revoke("orders", "local")) == 2
    assert public not in keys.permits()["orders"]
    with pytest.raises(
        ConfigError, match=r"no such key; run `tickwright keys new local --role orders` where the broker"
    ):
        keys.client("orders")
    assert keys.revoke("orders", "local") == []


def test_a_secret_is_neither_shown_nor_pickled(keys: Keys) -> None:
    for pair in (keys.client("md"), keys.server("feed")):
        assert pair.secret not in f"{pair} {pair!r} {keys!r} {[pair]}"
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(pair)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o620, 0o602, 0o644, 0o666])
def test_a_file_that_others_can_reach_is_refused_and_the_sentence_says_the_cure(keys: Keys, mode: int) -> None:
    for path in (keys.folder / "feed_server.key_secret", keys.folder / "clients" / "md" / "local.key"):
        path.chmod(mode)
        with pytest.raises(
            ConfigError, match=rf"others than its owner .* \(mode {mode:04o}\); run `chmod 0600 .*new keys"
        ):
            Keys.load(keys.folder).server("feed")
        path.chmod(0o600)
    assert Keys.load(keys.folder).server("feed")


@pytest.mark.parametrize("part", [".", "clients", "clients/md"])
def test_a_folder_that_others_can_enter_is_refused(keys: Keys, part: str) -> None:
    (keys.folder / part).chmod(0o750)
    with pytest.raises(ConfigError, match=r"others than its owner .* \(mode 0750\); run `chmod 0700 "):
        Keys.load(keys.folder)


def test_links_pipes_and_large_files_are_no_keys(keys: Keys, tmp_path: Path) -> None:
    path = keys.folder / "feed_server.key_secret"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="a plain file, not a link"):
        keys.server("feed")
    path.unlink()
    os.mkfifo(path, 0o600)  # opening one to read would wait for ever
    with pytest.raises(ConfigError, match="is no key file; remove it"):
        keys.server("feed")
    path.unlink()
    path.touch(0o600)
    os.truncate(path, 1 << 40)
    with pytest.raises(ConfigError, match="is no key file; remove it"):
        keys.server("feed")


@pytest.fixture(scope="module")
def some_keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return new_keys(tmp_path_factory.mktemp("some") / "keys")


@given(cut=st.integers(0, 10_000), put=st.binary(max_size=8))
def test_a_damaged_file_is_refused_without_showing_what_is_in_it(some_keys: Keys, cut: int, put: bytes) -> None:
    path = some_keys.folder / "broker_server.key_secret"
    pair, text = some_keys.server("broker"), path.read_bytes()
    cut %= len(text)
    path.write_bytes(text[:cut] + put + text[cut + len(put) + 1 :])
    try:
        read, error = some_keys.server("broker"), None
    except ConfigError as refusal:
        read, error = pair, refusal
    finally:
        path.write_bytes(text)
    assert read == pair  # what was hit was a letter of the comment
    if error:
        assert "is damaged; revoke it and make a new one" in str(error)
        assert pair.secret not in str(error)
        assert error.__suppress_context__


def test_a_pair_whose_halves_do_not_belong_together_is_refused(keys: Keys) -> None:
    path, other = keys.folder / "feed_server.key_secret", keys.server("broker").public
    path.write_text(path.read_text().replace(keys.server("feed").public, other))
    with pytest.raises(ConfigError, match="is damaged"):
        keys.server("feed")


def test_one_key_under_two_names_is_refused(keys: Keys) -> None:
    copy = keys.folder / "clients" / "admin" / "again.key"
    copy.write_bytes((keys.folder / "clients" / "md" / "local.key").read_bytes())
    copy.chmod(0o600)
    with pytest.raises(ConfigError, match=r"again.key holds the same key as .*md/local.key"):
        Keys.load(keys.folder)


def test_keys_are_not_made_in_a_repository(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    with pytest.raises(ConfigError, match=r"lies in the repository .*where keys get published"):
        new_keys(tmp_path / "deep" / "keys")
    assert not (tmp_path / "deep").exists()


def test_no_keys_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there are no keys here; make some with `tickwright keys new`"):
        Keys.load(tmp_path / "none")


def test_an_unknown_role_is_named_with_the_one_that_was_meant(keys: Keys) -> None:
    with pytest.raises(ConfigError, match="no role 'order'; did you mean 'orders'"):
        keys.add("order", "desk7")


@given(st.text(max_size=70) | st.sampled_from(["..", ".", "a/b", "../x", "a\0b", "-r", "é", "a\n", ""]))
def test_a_client_s_name_never_leads_out_of_its_folder(name: str) -> None:
    try:
        check_name(name)
    except ConfigError:
        return
    path = Path("/keys/clients/md") / f"{name}.key"
    assert path.resolve().parent == Path("/keys/clients/md")
    assert name.isprintable()
    assert not name.startswith(("-", "."))


def test_the_folder_is_the_one_chosen_else_the_user_s_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TICKWRIGHT_KEYS", str(tmp_path / "chosen"))
    assert default_folder() == tmp_path / "chosen"
    monkeypatch.delenv("TICKWRIGHT_KEYS")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "tickwright" / "keys"
