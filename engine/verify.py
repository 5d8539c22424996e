"""Run a run again and hold every record against the one it left."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import run_folder
from engine.broker.models import Account
from engine.config import build
from engine.errors import RunError, StrategyError
from engine.journal import RECORD, Journal
from engine.names import source_digest
from engine.portfolio import Entry
from engine.reports.record_text import record_text
from engine.run import Watch, run
from engine.tape import Tape


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. ``first_difference`` is the index of the first record that differs; None if none does."""

    matches: bool
    fingerprint: str  # of the run that was recorded
    records: int
    partial: str = ""
    first_difference: int | None = None
    recorded: str = ""  # that record as it was, and as it is now; "" where that side has ended
    repeated: str = ""
    notes: list[str] = []  # what has changed since: tape, strategy, versions


class _Differs(RunError):
    """Ends a repetition at its first different record."""


class ComparingJournal(Journal):
    """Holds records against recorded ones instead of keeping them."""

    def __init__(self, recorded: NDArray[np.void]) -> None:
        super().__init__()
        self.recorded = recorded
        self.difference: tuple[int, Entry | None, Entry | None] | None = None

    def append(self, records: NDArray[np.void]) -> None:
        if self.difference is not None:
            return  # what the loop still writes while it ends
        start = self.count
        super().append(records)
        expected = self.recorded[start : start + len(records)]
        shared = len(expected)
        different = np.flatnonzero((_bytes(expected) != _bytes(records[:shared])).any(axis=1))
        if not len(different) and shared == len(records):
            return
        at = int(different[0]) if len(different) else shared
        self.difference = (start + at, _entry(expected, at), _entry(records, at))
        raise _Differs


def verify(path: str | os.PathLike[str], *, watch: Watch | None = None) -> Verification:
    """Repeat the run in a run folder.

    A partial run is compared as far as it went. A paper session of which everything came from its strategies, in time,
    is repeated like any run; one with inputs from outside (orders of a desk's own programs, kills, answers that came
    late) from its log, each applied where it was applied.

    Raises
    ------
    RunError, ConfigError, TapeError
        If the folder, or something that it names, cannot be read.
    """
    saved = run_folder.read(Path(path))
    recorded = np.ascontiguousarray(saved.records)
    manifest = saved.manifest
    if not manifest.partial and _fingerprint(recorded) != manifest.fingerprint:
        raise RunError(
            f"{saved.folder / 'journal.bin'}: its fingerprint is not the manifest's; the file was changed or is damaged"
        )
    setup = build(saved.config)
    notes = _changes(manifest, setup.feed.tape.manifest.content, [source_digest(type(s)) for s in setup.strategies])
    journal = ComparingJournal(recorded)
    accounts = setup.accounts
    with contextlib.suppress(_Differs, StrategyError):
        if from_outside := _inputs_from_outside(saved.folder):
            notes.append(f"repeated from the session's log, which holds {from_outside}")
            accounts = _repeat_session(saved, setup.feed.tape, journal)
        else:
            run(
                setup.strategies,
                setup.feed,
                accounts=accounts,
                broker=saved.config.broker,
                risk=saved.config.risk,
                seed=saved.config.seed,
                journal=journal,
                watch=watch,
            )
    difference = journal.difference
    if difference is None and journal.count < len(recorded):
        difference = (journal.count, _entry(recorded, journal.count), None)
    if difference is None or (manifest.partial and difference[0] >= len(recorded)):
        return Verification(
            matches=True,
            fingerprint=_fingerprint(recorded),
            records=len(recorded),
            partial=manifest.partial,
            notes=notes,
        )
    index, *sides = difference
    instruments, names = setup.feed.tape.instruments, [account.name for account in accounts]
    texts = ["" if entry is None else record_text(entry, instruments, names) for entry in sides]
    return Verification(
        matches=False,
        fingerprint=_fingerprint(recorded),
        records=len(recorded),
        partial=manifest.partial,
        first_difference=index,
        recorded=texts[0],
        repeated=texts[1],
        notes=notes,
    )


def _inputs_from_outside(folder: Path) -> str:
    """What a paper session's log holds that no strategy would do again; "" for nothing, or for a replay."""
    if not (folder / "log.sqlite").exists():
        return ""
    from engine.live.session_verify import inputs_from_outside  # a side room, of sessions only

    return inputs_from_outside(folder)


def _repeat_session(saved: run_folder.SavedRun, tape: Tape, journal: Journal) -> list[Account]:
    from engine.live.session_verify import repeat

    return repeat(saved.folder, saved.config, tape, journal)


def _changes(manifest: run_folder.RunManifest, content: str, sources: list[str]) -> list[str]:
    notes = [f"the tape {tape.name} has other content now" for tape in manifest.tapes if tape.content != content]
    notes += [
        f"the file of {strategy.name} has changed"
        for strategy, source in zip(manifest.strategies, sources, strict=True)
        if strategy.source != source
    ]
    now = {name: run_folder.version(name) for name in run_folder.LIBRARIES}
    notes += [f"{name} was {then}, is {now[name]}" for name, then in manifest.versions.items() if then != now.get(name)]
    return notes


def _fingerprint(records: NDArray[np.void]) -> str:
    journal = Journal()
    journal.append(records)
    return journal.fingerprint


def _entry(records: NDArray[np.void], at: int) -> Entry | None:
    return Entry._make(records[at].tolist()) if at < len(records) else None


def _bytes(records: NDArray[np.void]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(records).view(np.uint8).reshape(len(records), RECORD.itemsize)
