"""What was committed is there after any crash, or the log refuses to open; a log that failed once stays failed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from damage import flips, no_file_may_exceed
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import RunError
from engine.live import disk, durable_log
from engine.live.durable_log import LARGEST_PAYLOAD, DurableLog, Entry, LogDamaged
from engine.live.high_water import HighWater
from engine.live.log_chain import verify

a_commit = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=5)


def filled(path: Path, commits: int = 5, group: int = 3) -> DurableLog:
    """A log, still open, with ``commits`` groups of entries in it."""
    log = DurableLog.open(path, durable=False)
    for commit in range(commits):
        for entry in range(group):
            log.append(entry, b"%d of %d" % (entry, commit) * (commit + 1))
        log.commit()
    return log


def as_after_kill(path: Path, folder: Path) -> Path:
    """A copy of the files of a log that is open, which is what kill -9 would leave behind."""
    folder.mkdir()
    for file in path.parent.glob(f"{path.name}*"):
        shutil.copy(file, folder)
    return folder / path.name


def reopened(path: Path) -> list[Entry]:
    with DurableLog.open(path, durable=False) as log:
        return list(log.entries())


def refuses(path: Path) -> bool:
    try:
        DurableLog.open(path, durable=False).close()
    except LogDamaged:
        return True
    return False


# --- what was committed is there --------------------------------------------------------------------------------------


@given(sessions=st.lists(st.lists(a_commit, max_size=4), max_size=3))
def test_what_was_committed_comes_back_in_order_and_numbered_from_1(tmp_path_factory, sessions):
    path, expected = tmp_path_factory.mktemp("logs") / "log.sqlite", []
    for commits in sessions:
        with DurableLog.open(path, durable=False) as log:
            for commit in commits:
                for kind, payload in commit:
                    expected.append(Entry(len(expected) + 1, kind, payload))
                    assert log.append(kind, payload) == len(expected)
                assert log.commit() == log.committed == log.appended == len(expected)
                assert list(log.entries()) == expected
    assert reopened(path) == expected


@settings(max_examples=30)
@given(commits=st.integers(0, 6), uncommitted=st.integers(0, 3))
def test_a_killed_process_loses_only_what_was_not_committed(tmp_path_factory, commits, uncommitted):
    folder = tmp_path_factory.mktemp("logs")
    with filled(folder / "log.sqlite", commits) as log:
        expected = list(log.entries())
        for _ in range(uncommitted):
            log.append(9, b"never told of")
        killed = as_after_kill(log.path, folder / "killed")
    assert reopened(killed) == expected
    assert reopened(killed) == expected, "recovering twice is recovering once"


def test_entries_that_were_not_committed_are_dropped_by_closing(tmp_path):
    with filled(tmp_path / "log.sqlite") as log:
        log.append(1, b"late")
    assert len(reopened(log.path)) == 15


def test_a_log_goes_on_where_it_ended(tmp_path):
    filled(tmp_path / "log.sqlite").close()
    with DurableLog.open(tmp_path / "log.sqlite") as log:
        assert log.append(7, b"next") == 16
        log.commit()
    assert reopened(log.path)[-1] == Entry(16, 7, b"next")


def test_the_write_ahead_log_is_folded_away_as_it_grows(tmp_path, monkeypatch):
    monkeypatch.setattr(durable_log, "CHECKPOINT", 100_000)
    with DurableLog.open(tmp_path / "log.sqlite", durable=False) as log:
        for _ in range(400):
            log.append(1, bytes(3_000))
            log.commit()
        assert (tmp_path / "log.sqlite-wal").stat().st_size < 300_000
        assert len(list(log.entries())) == 400


def test_a_closed_log_is_one_file_and_its_mark(tmp_path):
    filled(tmp_path / "log.sqlite").close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["log.sqlite", "log.sqlite.mark"]


# --- or the log refuses to open ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["log.sqlite", "log.sqlite.mark"])
def test_every_flipped_bit_of_a_closed_log_is_seen(tmp_path, name):
    log = filled(tmp_path / "log.sqlite")
    log.close()
    for flipped in flips(tmp_path / name, 7 if name == "log.sqlite" else 1):
        assert refuses(log.path), f"{flipped} was not seen"
    assert len(reopened(log.path)) == 15


@pytest.mark.parametrize(("step", "folded"), [(37, False), pytest.param(1, True, marks=pytest.mark.slow)])
def test_a_flipped_bit_of_what_a_kill_left_is_seen_or_changes_nothing(tmp_path, step, folded):
    """Not all bytes say something: SQLite's files have holes. But no entry is lost or changed unseen."""
    with filled(tmp_path / "log.sqlite") as log:
        if folded:
            log._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            log.append(1, b"after the fold")
            log.commit()
        expected = list(log.entries())
        killed = as_after_kill(log.path, tmp_path / "killed")
    high_water = HighWater(killed.with_name("log.sqlite.mark"))
    mark = high_water.mark
    assert mark is not None
    seen = 0
    for name in ("log.sqlite", "log.sqlite-wal"):
        for flipped in flips(killed.with_name(name), step):
            try:
                assert verify(killed, mark)[0] == len(expected), f"{flipped} was not seen"
            except LogDamaged:
                seen += 1
    assert seen > 100
    high_water.close()
    assert reopened(killed) == expected


def test_a_refused_log_stays_as_it_was(tmp_path):
    with filled(tmp_path / "log.sqlite") as log:
        killed = as_after_kill(log.path, tmp_path / "killed")
    wal = killed.with_name("log.sqlite-wal")
    data = bytearray(wal.read_bytes())
    data[len(data) // 2] ^= 1
    wal.write_bytes(data)
    before = {file.name: file.read_bytes() for file in killed.parent.iterdir()}
    for _ in range(2):
        with pytest.raises(LogDamaged, match="15 entries were committed, but only 6 of them are there"):
            DurableLog.open(killed)
    assert {file.name: file.read_bytes() for file in killed.parent.iterdir()} == before


def test_the_last_entry_is_missed_when_only_it_is_gone(tmp_path):
    log = filled(tmp_path / "log.sqlite", commits=4)
    older = as_after_kill(log.path, tmp_path / "older")
    log.append(1, b"acknowledged")
    log.commit()
    newer = as_after_kill(log.path, tmp_path / "newer")
    log.close()
    for name in ("log.sqlite", "log.sqlite-wal"):
        shutil.copy(older.with_name(name), newer.with_name(name))
    with pytest.raises(LogDamaged, match="13 entries were committed, but only 12"):
        DurableLog.open(newer)


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("lost", ["log.sqlite", "log.sqlite-wal", "log.sqlite.mark"])
def test_a_missing_file_is_missed(tmp_path, lost, closed):
    with filled(tmp_path / "log.sqlite") as log:
        killed = as_after_kill(log.path, tmp_path / "killed")
    path = log.path if closed else killed
    if closed and lost == "log.sqlite-wal":
        path.with_name(lost).write_bytes(killed.with_name(lost).read_bytes())  # a strange one instead
    else:
        path.with_name(lost).unlink()
    with pytest.raises(LogDamaged):
        DurableLog.open(path)


def test_a_change_behind_a_mark_that_a_power_cut_left_behind_is_seen_by_the_chain(tmp_path):
    log = filled(tmp_path / "log.sqlite", commits=2)
    old_mark = as_after_kill(log.path, tmp_path / "older").with_name("log.sqlite.mark")
    log.append(1, b"THE PAYLOAD")
    log.commit()
    log._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    killed = as_after_kill(log.path, tmp_path / "killed")
    log.close()
    shutil.copy(old_mark, killed.with_name("log.sqlite.mark"))
    data = killed.read_bytes()
    assert data.count(b"THE PAYLOAD") == 1
    killed.write_bytes(data.replace(b"THE PAYLOAD", b"THE PAYLOAE"))
    with pytest.raises(LogDamaged, match="entry 7 or the 0 after it changed"):
        DurableLog.open(killed)


def test_every_cut_of_a_write_ahead_log_is_seen_when_it_takes_an_entry_that_was_told_of(tmp_path):
    with filled(tmp_path / "log.sqlite", commits=3) as log:
        killed = as_after_kill(log.path, tmp_path / "killed")
    wal = killed.with_name("log.sqlite-wal")
    data = wal.read_bytes()
    for length in range(len(data) - 1, len(data) - 4_200, -41):
        wal.write_bytes(data[:length])
        with pytest.raises(LogDamaged):
            DurableLog.open(killed)


def test_a_torn_commit_that_nobody_was_told_of_is_cut_off(tmp_path):
    log = filled(tmp_path / "log.sqlite", commits=4)
    told = as_after_kill(log.path, tmp_path / "told")
    log.append(1, b"never told of")
    log.commit()
    whole = as_after_kill(log.path, tmp_path / "whole").with_name("log.sqlite-wal").read_bytes()
    log.close()
    wal = told.with_name("log.sqlite-wal")
    begin = wal.stat().st_size
    for length in range(begin, len(whole), 131):
        target = tmp_path / f"cut{length}"
        shutil.copytree(told.parent, target)
        (target / "log.sqlite-wal").write_bytes(whole[:length])
        assert len(reopened(target / "log.sqlite")) == 12
    wal.write_bytes(whole)
    assert len(reopened(told)) == 13, "a commit that is whole counts, told of or not"


# --- a log that failed once stays failed ------------------------------------------------------------------------------


def test_an_error_of_the_disk_is_final(tmp_path):
    log = filled(tmp_path / "log.sqlite")
    told = log.committed
    with no_file_may_exceed((tmp_path / "log.sqlite-wal").stat().st_size):
        log.append(1, bytes(10_000))
        with pytest.raises(RunError, match="entry 16 and later ones could not be committed"):
            log.commit()
    for again in (log.commit, lambda: log.append(1, b"")):
        with pytest.raises(RunError, match="end this process, check the disk"):
            again()
    assert log.committed == told
    log.close()
    assert len(reopened(log.path)) == told


def test_a_closed_log_takes_no_more(tmp_path):
    log = filled(tmp_path / "log.sqlite")
    log.close()
    log.close()
    with pytest.raises(RunError, match="is closed"):
        log.append(1, b"")


@pytest.mark.parametrize(("kind", "size"), [(-1, 0), (256, 0), (1, LARGEST_PAYLOAD + 1)])
def test_an_entry_that_cannot_be_kept_says_why(tmp_path, kind, size):
    with (
        DurableLog.open(tmp_path / "log.sqlite") as log,
        pytest.raises(ValueError, match=rf"kind {kind} with {size} bytes: kinds are 0..255"),
    ):
        log.append(kind, bytes(size))


# --- who may open it --------------------------------------------------------------------------------------------------


def test_a_second_opener_is_refused_here_and_in_another_process(tmp_path):
    with filled(tmp_path / "log.sqlite") as log:
        with pytest.raises(RunError, match=r"log.sqlite is open already; end the other process first"):
            DurableLog.open(log.path)
        code = f"from engine.live.durable_log import DurableLog; DurableLog.open({str(log.path)!r})"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
        assert "is open already" in other.stderr
        log.append(1, b"undisturbed")
        log.commit()
    assert len(reopened(log.path)) == 16


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_a_network_file_system_is_refused(tmp_path, monkeypatch, kind):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"21 20 0:5 / {tmp_path}/far\\040away rw shared:1 - {kind} server:/x rw\n"
        f"22 21 8:2 / {tmp_path}/far\\040away/near rw - xfs /dev/sdb1 rw\n"
    )
    monkeypatch.setattr(disk, "MOUNTS", mounts)
    with pytest.raises(RunError, match=f"lies on {kind}, a network file system"):
        DurableLog.open(tmp_path / "far away" / "log.sqlite")
    DurableLog.open(tmp_path / "log.sqlite").close()
    DurableLog.open(tmp_path / "far away" / "near" / "log.sqlite").close()


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be opened"):
        DurableLog.open(tmp_path / "file" / "log.sqlite")
