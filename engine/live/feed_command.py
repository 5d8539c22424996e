"""What ``tickwright publish`` does: find the rows, open the sockets, publish. Feeds are joined by name."""

from __future__ import annotations

import importlib
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec

from engine import clock
from engine.config import Config, make_feed
from engine.data_commands import find_tape
from engine.errors import ConfigError
from engine.live.durable_log import DurableLog
from engine.live.endless import EndlessSource
from engine.live.feed_core import LATENESS_NS, QUIET_NS
from engine.live.feed_role import FeedRole, Pacing
from engine.live.feed_state import StateFile
from engine.live.messages import BATCH_ROWS
from engine.live.pushed_rows import PushedRows
from engine.live.role_disk import RoleDisk
from engine.live.segments import Segments
from engine.live.session import guarded, live_config, live_of, wires
from engine.live.shell import say
from engine.live.sources import Source, TapeSource
from engine.live_config import Live
from engine.reports.formats import moment
from engine.tape import Manifest, Tape

ENDLESS, MARKET = "synthetic", "feeds.endless:EndlessMarket"
FOREVER = 2**63 - 1
UNSAVED_NS = 2_000_000_000  # the state is a second old at most, when it is read again


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What to publish: a source that is made once it is known where it goes on, and what it is called."""

    stream: str
    market: str  # of ``FeedState``
    feed: Any  # a Tape, a feed of a config, the blocks of an endless market, or the Manifest of rows to be pushed


def publish_command(
    what: str,
    session: str,
    *,
    speed: str,
    endless: bool,
    options: dict[str, Any],
    addresses: dict[str, Any],
    out: Path | None,
    new: bool,
    batch_rows: int,
    keep_quiet: bool,
    pushed: bool = False,
) -> int:
    """Publish until it is stopped."""
    if bool(what) == bool(session):
        raise ConfigError("publish: name a tape, or a config with --session, and not both")
    if not 1 <= batch_rows <= BATCH_ROWS:
        raise ConfigError(f"--batch is {batch_rows}, but must be from 1 to {BATCH_ROWS} rows")
    if session:
        config = live_config(session)
        published, live = of_config(config), live_of(config)
    else:
        published, live = of_name(what, endless, options), Live(speed=1.0 if pushed else "max")
    if pushed:
        published = _for_pushes(published)
    live = msgspec.structs.replace(live, **addresses)
    pacing = Pacing(
        speed=_thousandths(speed) if speed else live.speed_thousandths,
        batch_rows=batch_rows,
        quiet_ns=0 if keep_quiet else QUIET_NS,
    )
    folder = out or Path("runs") / f"{published.stream}.feed"
    return guarded(lambda: _publish(published, live, pacing, folder, new=new))


def _publish(published: Published, live: Live, pacing: Pacing, folder: Path, *, new: bool) -> int:
    file = StateFile(folder, stream=published.stream, market=published.market, new=new)
    with closing(file), ExitStack() as opened:
        if isinstance(published.feed, Manifest):
            log = opened.enter_context(DurableLog.open(folder / f"{file.state.begun}.sqlite", durable=live.durable))
            kept = opened.enter_context(Segments(folder / f"{file.state.begun}.segments", durable=live.durable))
            source: Source = _pushed(published.feed, file, log, kept, pacing)
            disk, entries = RoleDisk(log, kept), log.committed
        else:
            source, disk, entries = _source(published.feed, file), None, 0
        made = opened.enter_context(wires(live, "feed"))
        role = FeedRole(source, file, made, pacing, disk=disk, entries=entries)
        _announce(published, source, live, pacing, file)
        return role.run()


def _pushed(manifest: Manifest, file: StateFile, log: DurableLog, kept: Segments, pacing: Pacing) -> PushedRows:
    """Pushed rows as they were, and no earlier than any CLOCK row of an earlier life."""
    floor = 0
    if pacing.speed and file.state.market_time:
        floor = max(file.state.market_time + UNSAVED_NS, clock.wall_ns() - LATENESS_NS)
    return PushedRows(manifest, kept, (entry.payload for entry in log.entries()), floor)


def _for_pushes(published: Published) -> Published:
    """The market of a tape, for other rows."""
    if isinstance(published.feed, Tape):
        manifest = published.feed.manifest
    else:
        manifest = getattr(published.feed, "manifest", None) or published.feed.tape.manifest
    # sessions of recorded days say nothing of those to come
    manifest = msgspec.structs.replace(manifest, name=f"pushed, as {manifest.name}", sessions=[], actions=[])
    return Published(stream=published.stream, market=f"pushed as {published.market}", feed=manifest)


def of_name(name: str, endless: bool, options: dict[str, Any]) -> Published:
    """A tape that ships, a tape's folder, a folder of tapes, or the synthetic market.

    Raises
    ------
    ConfigError, TapeError
        If there is none.
    """
    if name == ENDLESS:
        if not endless:
            raise ConfigError("publish synthetic: this market has no end; say --endless")
        return _endless(options)
    if endless:
        raise ConfigError(f"publish {name}: a tape has an end; --endless is for `publish synthetic`")
    folder = Path(name)
    days = sorted(path.parent for path in folder.glob("*/manifest.json"))
    if not (folder / "manifest.json").exists() and days:
        feed = importlib.import_module("feeds.replay").TapeFeed(*days)
        return Published(stream=_stream(folder.resolve().name), market=_contents(map(Tape.load, days)), feed=feed)
    tape = find_tape(name)
    assert tape.path is not None
    return Published(stream=_stream(tape.path.resolve().name), market=tape.manifest.content, feed=tape)


def of_config(config: Config) -> Published:
    """The market of a config."""
    if config.feed == MARKET:
        return _endless(config.feed_params)
    feed = make_feed(config)
    market = msgspec.json.encode([config.feed, config.feed_params], enc_hook=str).decode()
    return Published(stream=_stream(config.name), market=market, feed=feed)


def _endless(options: dict[str, Any]) -> Published:
    market = importlib.import_module("feeds.endless").EndlessMarket(**options)
    return Published(stream=ENDLESS, market=market.manifest.recipe, feed=market)


def _source(feed: Any, file: StateFile) -> Source:
    if isinstance(feed, Tape):
        return TapeSource(feed)
    if hasattr(feed, "block"):
        return EndlessSource(feed, file.state.begins)
    parts = getattr(feed, "parts", None)
    if parts is None:  # a feed that makes its rows: all of them, since somebody may join late
        parts = []
        while (rows := feed.read(until=FOREVER)) is not None:
            parts.append(rows)
    return TapeSource(feed.tape, parts)


def _announce(published: Published, source: Source, live: Live, pacing: Pacing, file: StateFile) -> None:
    speed = "as fast as it goes" if not pacing.speed else f"{pacing.speed / 1000:g} times real time"
    rows = (
        "rows that are pushed"
        if isinstance(source, PushedRows)
        else "rows without end"
        if source.total is None
        else f"{source.total:,} rows"
    )
    say(f"publishing {published.stream}: {rows}, {speed}, market data at {live.feed}, recovery at {live.recovery}")
    if pacing.speed and pacing.quiet_ns and not isinstance(source, PushedRows):
        say("stretches of more than 60 s without rows are skipped; --keep-quiet waits through them")
    if file.state.next_seq:
        at = moment(file.state.market_time)
        say(f"goes on at row {file.state.next_seq:,} ({at}), as {file.folder} says; --new begins again")


def _thousandths(speed: str) -> int:
    if speed == "max":
        return 0
    try:
        value = float(speed)
    except ValueError:
        value = -1.0
    if not 0 < value <= 100_000:
        raise ConfigError(f"--speed is {speed!r}; write a factor of real time like 1 or 10, up to 100000, or max")
    return max(1, round(value * 1_000))


def _stream(name: str) -> str:
    return name[:64] or "stream"


def _contents(tapes: Any) -> str:
    return " ".join(tape.manifest.content[:16] for tape in tapes)
