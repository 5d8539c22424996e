"""The journal: many records or few, by thread or at once, the same file and the same fingerprint; no error is lost."""

import contextlib
import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RunError
from engine.journal import JOURNAL_VERSION, MANY, RECORD, Journal, read_journal

FULL = Path("/dev/full")  # takes every write with ENOSPC
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def records(n: int, first: int = 0) -> np.ndarray:
    made = np.zeros(n, RECORD)
    made["order_no"] = np.arange(first, first + n)
    return made


def fingerprint_of(data: bytes) -> str:
    start = f"tickwright journal {JOURNAL_VERSION}".encode()
    return hashlib.blake2b(start + data, digest_size=32).hexdigest()


@given(st.lists(st.sampled_from([0, 1, 7, MANY - 1, MANY, MANY + 1, 3 * MANY]), max_size=6))
def test_file_and_fingerprint_are_those_of_all_records_however_they_are_cut(tmp_path_factory, sizes):
    path = tmp_path_factory.mktemp("journal") / "journal.bin"
    whole = records(sum(sizes))
    with Journal(path) as journal:
        for part in np.split(whole, np.cumsum(sizes)[:-1]) if sizes else []:
            journal.append(part)
        assert journal.count == len(whole)
        assert journal.fingerprint == fingerprint_of(whole.tobytes())
    assert path.read_bytes() == whole.tobytes()
    assert journal.fingerprint == fingerprint_of(whole.tobytes())


def test_the_memory_of_the_records_may_be_used_again_at_once(tmp_path):
    with Journal(tmp_path / "journal.bin") as journal:
        for n in range(5):
            part = records(3 * MANY, first=n)
            journal.append(part)
            part["order_no"] = -1
    assert read_journal(tmp_path / "journal.bin")["order_no"].min() == 0
    assert (read_journal(tmp_path / "journal.bin")["order_no"].reshape(5, -1)[:, 0] == np.arange(5)).all()


@pytest.mark.parametrize("n", [1, MANY - 1, 5 * MANY])
def test_whoever_asks_for_the_path_finds_all_records_in_it(tmp_path, n):
    with Journal(tmp_path / "journal.bin") as journal:
        journal.append(records(n))
        path = journal.path
        assert path is not None
        assert len(read_journal(path)) == n


def test_what_was_appended_is_written_when_the_run_ends_by_an_exception(tmp_path):
    with contextlib.suppress(KeyboardInterrupt), Journal(tmp_path / "journal.bin") as journal:
        journal.append(records(4 * MANY))
        raise KeyboardInterrupt
    assert len(read_journal(tmp_path / "journal.bin")) == 4 * MANY


@needs_full
def test_a_few_records_that_cannot_be_written_are_an_error_at_once():
    with Journal(FULL) as journal, pytest.raises(RunError, match=r"No space left on device\) after 0 records"):
        journal.append(records(1))


@needs_full
@pytest.mark.parametrize(
    "then", [lambda j: j.append(records(1)), lambda j: j.fingerprint, lambda j: j.path, lambda j: j.close()]
)
def test_a_batch_that_cannot_be_written_is_an_error_whatever_the_journal_is_asked_next(then):
    with contextlib.suppress(RunError), Journal(FULL) as journal:
        journal.append(records(MANY))
        for _ in range(2):
            with pytest.raises(RunError, match="No space left on device"):
                then(journal)


def test_a_journal_without_a_file_has_the_fingerprint_all_the_same():
    with Journal() as journal:
        journal.append(records(2 * MANY))
        assert journal.fingerprint == fingerprint_of(records(2 * MANY).tobytes())
        assert journal.path is None
