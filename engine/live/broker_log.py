"""The paper broker's durable log: every input that is not a row, in order, and the records that came of them.

An entry is a kind and a payload. Those that were applied to the market say where (``engine.live.broker_core.Stamp``),
so rows and log together repeat a session; RECORDS hold the bytes of its journal, so a repetition can be compared.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from struct import Struct

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.broker.impact import Market as Day
from engine.broker.impact import NoImpact, prepare
from engine.broker.models import Account, BrokerConfig
from engine.broker.probe_models import model_of
from engine.config import StrategyConfig
from engine.errors import ConfigError, TapeError
from engine.live import messages
from engine.live.broker_core import Applied, BrokerCore, Member, Stamp, apply_logged, bring_to
from engine.live.messages import Hello, Market, ProbeTerms, Request, WakeTerms
from engine.parent import Parent
from engine.signals import Probe, check_probes
from engine.strategy import Wake
from engine.tape import ROW, Manifest, Tape

LARGEST_PARENTS = 1 << 26
_DOUBLE, _INT = Struct("<d"), Struct("<q")


class Entry(IntEnum):
    """What an entry of the log is."""

    JOIN = 1
    PROGRESS = 2
    SKIP = 3  # the market went on without an answer
    ORDERS = 4  # of a program without wakes, or an answer that came late
    KILL = 5
    REARM = 6
    RECORDS = 7
    END = 8
    GONE = 9  # an account's orders were cancelled because nothing was heard of it
    DONE = 10
    MARKET = 11  # what is traded, before anything was
    PANEL = 12  # a part of a close-of-day panel, before its CLOSE row was taken
    LATCHED = 13  # the market itself threw a kill switch; this is its number


class Body(msgspec.Struct, frozen=True, array_like=True):
    """An input with its place; fields that a kind does not need stay empty."""

    rows: int
    wakes: int
    idle: bool
    account: int
    wake: int = -1  # PROGRESS, SKIP and late ORDERS
    cid: str = ""  # ORDERS
    requests: list[Request] = []
    text: str = ""  # KILL, LATCHED: why
    latch: int = 0  # KILL, LATCHED, REARM; ORDERS of a program: the number of its first order
    raw: bytes = b""  # JOIN, MARKET, PANEL, DONE: the message; RECORDS: RECORD[n]

    @property
    def stamp(self) -> Stamp:
        """Where it was applied."""
        return Stamp(self.rows, self.wakes, self.idle)


Told = list[tuple[int, messages.Watermark | messages.Report]]


class LogConflict(Exception):
    """What is on disk does not give what it gave; nothing may be traded on it."""


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Body).decode
APPLIED = {  # inputs of the market, as ``broker_core.apply_logged`` calls them
    Entry.PROGRESS: "progress",
    Entry.SKIP: "skip",
    Entry.ORDERS: "orders",
    Entry.KILL: "kill",
    Entry.REARM: "rearm",
    Entry.GONE: "gone",
    Entry.END: "end",
}


def wake_of(hello: Hello) -> tuple[Wake, tuple[bool, bool]]:
    """What an attached strategy wants to be woken by, and to hear of its orders."""
    terms = hello.wake
    assert terms is not None
    wake = Wake(
        every_ns=terms.every_ns,
        on_quote=terms.on_quote,
        on_trade=terms.on_trade,
        on_depth=terms.on_depth,
        on_bar=terms.on_bar,
        on_close=terms.on_close,
        on_status=terms.on_status,
        mid_moved_ticks=terms.mid_moved_ticks,
        symbols=terms.symbols,
        signal=terms.signal,
        above=_DOUBLE.unpack(_INT.pack(terms.above))[0],
    )
    return wake, (terms.fills, terms.orders)


def wake_terms(wake: Wake, wants: tuple[bool, bool], probes: Sequence[Probe]) -> WakeTerms:
    """As a runner tells them."""
    return WakeTerms(
        wake.every_ns, wake.on_quote, wake.on_trade, wake.on_depth, wake.on_bar, wake.on_close, wake.on_status,
        wake.mid_moved_ticks, wake.symbols, *wants, wake.signal, _INT.unpack(_DOUBLE.pack(wake.above))[0],
        tuple(ProbeTerms(probe.symbol, probe.clock, probe.content) for probe in probes),
    )  # fmt: skip


def probes_of(hello: Hello, entry: StrategyConfig) -> tuple[Probe, ...]:
    """What an attached strategy wants to be measured; models are those of the broker's own config, by their hash.

    Raises
    ------
    ConfigError
        If the config has no such model, or probes and wake make no sense.
    """
    assert hello.wake is not None
    found = []
    for terms in hello.wake.probes:
        if terms.clock not in ("trade", "quote"):
            raise ConfigError(f"the probe of {terms.symbol} has the clock {terms.clock!r}; there are trade and quote")
        probe = Probe(symbol=terms.symbol, clock=terms.clock)  # type: ignore[arg-type]
        if terms.content:
            ours = [one.model for one in entry.probes if one.model and one.symbol == terms.symbol]
            if not ours:
                raise ConfigError(
                    f"the strategy has a model for {terms.symbol}, but the broker's config names none; "
                    f'add [[strategies.probes]] symbol = "{terms.symbol}", model = "…" to it'
                )
            probe = msgspec.structs.replace(probe, model=ours[0], content=terms.content)
            model_of(probe)
        found.append(probe)
    check_probes(found, signal=hello.wake.signal, who=hello.account)
    return tuple(found)


def members_of(
    accounts: Sequence[Account], joined: dict[int, Hello], strategies: Sequence[StrategyConfig]
) -> list[Member]:
    """The first accounts are those of ``strategies``, the others programs' without wakes."""
    members = []
    for n, account in enumerate(accounts):
        if n < len(strategies):
            wake, wants = wake_of(joined[n])
            members.append(Member(account, wake, wants, probes=probes_of(joined[n], strategies[n])))
        else:
            members.append(Member(account, attached=False))
    return members


def rerun(
    core: BrokerCore,
    entries: Iterable[tuple[int, Body]],
    read: Callable[[int, int], NDArray[np.void]],
    told: Callable[[Told], None] = lambda _: None,
) -> None:
    """Repeat a logged session on a core that has been started, and hold its records to those that were logged.

    Parameters
    ----------
    core : BrokerCore
    entries : iterable of (kind, Body)
    read : callable
        ``read(first, n)`` gives ROW[n] as they were taken.
    told : callable
        Receives what the core tells on the way.

    Raises
    ------
    LogConflict
        If the records differ.
    RunError
        If rows or wakes are missing.
    """
    again = bytearray(core.take_records())
    for kind, body in entries:
        if kind in APPLIED:
            told(bring_to(core, body.stamp, read))
            told(apply_logged(core, Applied(body.stamp, body.account, APPLIED[Entry(kind)], body.requests)))
        elif kind == Entry.RECORDS:
            told(bring_to(core, body.stamp, read))
            again += core.take_records()
            if not again.startswith(body.raw):
                raise LogConflict("repeating the session gives other records than it logged; nothing is traded on it")
            del again[: len(body.raw)]


def market_tape(market: Market, panels: dict[str, NDArray[np.generic]]) -> Tape:
    """What is published, without rows.

    Raises
    ------
    TapeError
        If the manifest cannot be read.
    """
    try:
        manifest = msgspec.json.decode(market.manifest, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TapeError(f"the feed's manifest cannot be read ({error}); use the same version on both sides") from None
    return Tape(np.zeros(0, ROW), manifest, panels)


def with_days(broker: BrokerConfig, market: Market) -> BrokerConfig:
    """The models, with the average days that the feed measured where the config does not say them.

    Raises
    ------
    ConfigError
        If the impact model needs a day that neither says.
    """
    if isinstance(broker.impact, NoImpact):
        return broker
    found = msgspec.json.decode(market.average_days, type=dict[str, Day])
    days = {**found, **broker.impact.market}
    instruments = msgspec.json.decode(market.manifest, type=Manifest).instruments
    missing = [one.symbol for one in instruments if one.book != "NONE" and one.symbol not in days]
    if missing:
        raise ConfigError(
            f"the feed does not say what an average day of {', '.join(missing)} is like; give "
            f"market.{missing[0]} = {{ daily_volume = ..., daily_volatility = ... }} in [broker.impact], "
            'or type = "none"'
        )
    known = {one.symbol: days[one.symbol] for one in instruments if one.symbol in days}
    impact = msgspec.structs.replace(broker.impact, market={**broker.impact.market, **known})
    prepare(impact, list(impact.market))
    return msgspec.structs.replace(broker, impact=impact)


def pack_parents(parents: Sequence[Parent]) -> bytes:
    """Parent orders as they travel in ``Done``."""
    return zlib.compress(msgspec.json.encode(parents))


def unpack_parents(data: bytes) -> list[Parent]:
    """Parent orders of a ``Done``.

    Raises
    ------
    ValueError
        If they are none, or more than 64 MiB.
    """
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, LARGEST_PARENTS)
        if unpacker.unconsumed_tail:
            raise ValueError(f"parent orders of more than {LARGEST_PARENTS} bytes")
        return msgspec.json.decode(text, type=list[Parent])
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"no parent orders: {error}") from None
