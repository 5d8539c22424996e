"""The run folder of a paper session: what a replay leaves, with the tape that was recorded.

=============  =============================================================================================
session.toml   the config with addresses and keys, while the session lasts
log.sqlite     every input that was no row, where it was applied, and the records (``engine.live.broker_log``)
segments/      rows as they come; sealed into tape/
tape/          the recorded market, CLOCK rows included
others         as ``engine.run_folder`` says; config.toml replays tape/
=============  =============================================================================================
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import clock, run_folder
from engine.config import Config, load, make_strategies
from engine.errors import ConfigError
from engine.journal import RECORD, Journal, read_journal
from engine.live.broker_log import Body, Entry, decode, unpack_parents, with_days
from engine.live.broker_role import BrokerRole
from engine.live.messages import broker_request
from engine.live.segments import Segments
from engine.names import source_digest
from engine.outcome import outcome
from engine.parent import Parent
from engine.result import Result
from engine.tape import Kind, Manifest, Tape

TAPE = "tape"
FEED = "feeds.replay:TapeFeed"


def begin(folder: Path, config: Config) -> None:
    """Note what is about to run, unless that was done before a restart."""
    if not (folder / "manifest.json").exists():
        run_folder.begin(folder, config, [], [])


def seal(folder: Path, role: BrokerRole, entries: Iterable[tuple[int, bytes]], segments: Segments) -> Result:
    """Make a run folder of what a broker that has ended leaves; a second time, over what a crash left half done.

    Raises
    ------
    RunError, TapeError
        If something cannot be written or breaks a rule.
    """
    assert role.market is not None
    read = [(kind, decode(payload)) for kind, payload in entries]
    tape = _tape(folder, role, segments)
    with Journal(folder / "journal.bin") as journal:
        for kind, body in read:
            if kind == Entry.RECORDS:
                journal.append(np.frombuffer(body.raw, RECORD))
    broker = with_days(role.config.broker, role.market)
    spelled, sources = _spelled_out(role.config)
    asked = load(folder / "config.toml").live  # not the sockets and keys of this session, which are gone
    config = msgspec.structs.replace(spelled, feed=FEED, feed_params={"tapes": [TAPE]}, broker=broker, live=asked)
    parents, declined = _told(read, len(config.strategies))
    result = outcome(
        read_journal(folder / "journal.bin"),
        name=config.name,
        seed=config.seed,
        partial=next((body.text for kind, body in read if kind == Entry.END), ""),
        fingerprint=journal.fingerprint,
        rows=_numbered(tape.rows),
        span=(int(tape.rows["ts_event"][0]), int(tape.rows["ts_event"][-1])) if len(tape) else (0, 0),
        manifest=tape.manifest,
        pieces=[tape.rows],
        accounts=role.accounts,
        parents=parents,
        declined=declined,
        broker=broker,
    )
    result = msgspec.structs.replace(result, folder=str(folder))
    manifest = run_folder.read_manifest(folder)
    known = run_folder.TapeSource(name=tape.manifest.name, content=tape.manifest.content)
    manifest = msgspec.structs.replace(manifest, tapes=[known], strategies=sources)
    run_folder.keep_config(folder, config)
    run_folder.end(folder, manifest, result, clock.seconds_since(manifest.started))
    segments.close()
    shutil.rmtree(segments.folder)
    return result


def _tape(folder: Path, role: BrokerRole, segments: Segments) -> Tape:
    assert role.market is not None
    shutil.rmtree(folder / TAPE, ignore_errors=True)  # of a broker that was killed while it sealed
    manifest = msgspec.json.decode(role.market.manifest, type=Manifest)
    return segments.seal(folder / TAPE, manifest, role.receiver.panels)


def _spelled_out(config: Config) -> tuple[Config, list[run_folder.StrategySource]]:
    """Every parameter of the strategies, and digests of their files, where this host has them."""
    try:
        strategies, entries = make_strategies(config)
    except ConfigError:
        return config, [run_folder.StrategySource(name=entry.strategy, source="") for entry in config.strategies]
    digests = [source_digest(type(strategy)) for strategy in strategies]
    sources = [
        run_folder.StrategySource(name=entry.strategy, source=digest)
        for entry, digest in zip(entries, digests, strict=True)
    ]
    return msgspec.structs.replace(config, strategies=entries), sources


def _told(read: list[tuple[int, Body]], strategies: int) -> tuple[list[list[Parent]], Counter[str]]:
    """Each strategy's parent orders, and what all declined; nothing of one that did not live to say."""
    parents: list[list[Parent]] = [[] for _ in range(strategies)]
    declined: Counter[str] = Counter()
    for kind, body in read:
        if kind == Entry.DONE and body.account < strategies:
            done = broker_request(body.raw)
            parents[body.account] = unpack_parents(done.parents)
            declined.update(done.declined)
    return parents, declined


def _numbered(rows: NDArray[np.void]) -> int:
    step = 1 << 18
    return sum(int((rows["kind"][at : at + step] != Kind.CLOCK).sum()) for at in range(0, len(rows), step))
