"""A desk's own rows into a feed: under the data rules, on disk, then published to all.

    from engine.live import Publisher

    with Publisher() as feed:
        feed.quote("XYZ", bid="100.01", bid_size=300, ask="100.02", ask_size=200)
        feed.trade("XYZ", price="100.02", size=100, side=1)
        verdict = feed.push()
        print(verdict)

The feed is `tickwright publish TAPE --pushed`: a row may come up to a second late, and is moved on in time after that
(with `--speed max`, for recorded rows, only rows behind earlier ones are). What ``push`` has returned for is on the
feed's disk; a program that was cut off pushes the same rows again without harm, since they bear the same number.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import numpy as np
import zmq
from numpy.typing import NDArray

from engine import clock
from engine.errors import ConfigError, RunError
from engine.live import sockets
from engine.live.keys import LOCAL, ClientKey, Keys
from engine.live.messages import (
    BATCH_ROWS,
    PROTOCOL,
    FeedReply,
    FeedRequest,
    Join,
    Market,
    Push,
    Pushed,
    Refused,
    encode,
    feed_reply,
    schema_digest,
)
from engine.live.pushed_rows import ASKED
from engine.live_config import Live
from engine.spelling import did_you_mean
from engine.tape import ROW, Flag, Kind, Manifest

ASK_AGAIN_MS = 500
PATIENCE_S = 10.0


class Publisher:
    """A program's connection to a feed that takes rows.

    Parameters
    ----------
    recovery : str, optional
        The feed's second address.
    keys : Keys or path, optional
        Folder with this program's keys; by default the user's own.
    name : str
        Of this program among the keys (`tickwright keys new NAME --role push`).
    plain : bool
        Without keys, where the feed runs so on this machine; then one program pushes.
    patience_s : float
        How long the feed may take to answer.
    context : zmq.Context, optional

    Attributes
    ----------
    market : Manifest
        Instruments and sessions.
    counts : dict of str to int
        What the data rules found in all pushes of this object, by reason code (``engine.verdict``).

    Raises
    ------
    ConfigError
        If keys or the address are missing or unsafe.
    RunError
        If the feed does not answer, or speaks another protocol.
    """

    market: Manifest

    def __init__(
        self,
        recovery: str = "",
        *,
        keys: Keys | Path | str | None = None,
        name: str = LOCAL,
        plain: bool = False,
        patience_s: float = PATIENCE_S,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self._address = recovery or Live().recovery
        self._patience_ns = int(patience_s * 1e9)
        self._context = context or zmq.Context.instance()
        folder = keys if isinstance(keys, Keys) or plain else Keys.load(keys)
        key: ClientKey | None = folder.client("push", name) if isinstance(folder, Keys) and not plain else None
        self._socket = sockets.dealer(self._context, self._address, "recovery", key, plain=plain)
        self.counts: dict[str, int] = {}
        self._rows: list[NDArray[np.void]] = []
        try:
            joined = self._ask(Join(PROTOCOL, schema_digest()), lambda reply: isinstance(reply, Market))
            assert isinstance(joined, Market)
            self.market = msgspec.json.decode(joined.manifest, type=Manifest)
            known = self._ask(Push(0, b""), lambda reply: isinstance(reply, Pushed))
            assert isinstance(known, Pushed)
            self._next = known.push
        except BaseException:
            self._socket.close()
            raise
        self._numbers = {one.symbol: n for n, one in enumerate(self.market.instruments)}

    def quote(
        self,
        symbol: str,
        *,
        bid: str | float = 0,
        bid_size: int = 0,
        ask: str | float = 0,
        ask_size: int = 0,
        ts: int | None = None,
    ) -> None:
        """A best bid and ask for the next push; a side with size 0 is empty.

        Parameters
        ----------
        bid, ask : str or float
            As quoted; not checked here, but by the data rules.
        ts : int, optional
            When, ns UTC; now by default.
        """
        row = self._row(symbol, Kind.QUOTE, ts)
        price = self.market.instruments[self._numbers[symbol]].price
        row["price"], row["size"] = price(bid), bid_size
        row["price2"], row["size2"] = price(ask), ask_size
        self._rows.append(row)

    def trade(self, symbol: str, *, price: str | float, size: int, side: int = 0, ts: int | None = None) -> None:
        """A trade for the next push; ``side`` is the aggressor's, 0 unknown."""
        row = self._row(symbol, Kind.TRADE, ts)
        row["price"] = self.market.instruments[self._numbers[symbol]].price(price)
        row["size"], row["side"] = size, side
        self._rows.append(row)

    def push(self, rows: NDArray[np.void] | None = None) -> dict[str, int]:
        """Hand over what was gathered, then ``rows``, and wait until it is on the feed's disk.

        Parameters
        ----------
        rows : ROW[n], optional
            In the order of their events; each group that happens together ends with LAST.

        Returns
        -------
        dict
            What the data rules dropped, put right or flagged, by reason code; empty if nothing.

        Raises
        ------
        RunError
            If the feed refuses: the rows from the piece at fault on are dropped. If it does not answer in time, it may
            have them or not: they stay gathered, and ``push()`` tries the same again.
        """
        self._rows = [*self._rows, *([] if rows is None else [_checked(rows)])]
        pieces = _pieces(np.concatenate([*self._rows, np.zeros(0, ROW)]))
        found: dict[str, int] = {}
        while pieces:
            self._rows = pieces  # cut alike again
            for code, count in self._push(pieces[0]).items():
                found[code] = found.get(code, 0) + count
                self.counts[code] = self.counts.get(code, 0) + count
            pieces = pieces[1:]
        self._rows = []
        return found

    def close(self) -> None:
        """Let go of the feed; rows that were not pushed are lost."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _push(self, piece: NDArray[np.void]) -> dict[str, int]:
        push = Push(self._next, piece.tobytes())
        pushed = self._ask(push, lambda reply: _acknowledges(reply, push))
        assert isinstance(pushed, Pushed)
        self._next += 1
        return pushed.verdict

    def _row(self, symbol: str, kind: Kind, ts: int | None) -> NDArray[np.void]:
        if symbol not in self._numbers:
            raise ConfigError(f"the feed has no instrument '{symbol}'{did_you_mean(symbol, self._numbers)}")
        row = np.zeros(1, ROW)
        row["ts_recv"] = clock.wall_ns()
        row["ts_event"] = row["ts_recv"] if ts is None else ts
        row["instrument"], row["kind"], row["flags"] = self._numbers[symbol], kind, Flag.LAST
        return row

    def _ask(self, request: FeedRequest, is_answer: Callable[[FeedReply], bool]) -> FeedReply:
        """Ask until there is an answer; the same request again does no harm."""
        frame, until = encode(request), clock.monotonic_ns() + self._patience_ns
        while clock.monotonic_ns() < until:
            try:
                self._socket.send(frame, zmq.NOBLOCK)
            except zmq.Again:  # not connected yet, or not any more
                self._socket.poll(20)
            while self._socket.poll(ASK_AGAIN_MS if clock.monotonic_ns() < until else 0):
                reply = feed_reply(self._socket.recv())
                if isinstance(reply, Refused):
                    self._rows = []
                    raise RunError(f"the feed at {self._address} refused: {reply.text} ({reply.reason})")
                if is_answer(reply):
                    return reply
        raise RunError(
            f"the feed at {self._address} does not answer; see that `tickwright publish … --pushed` runs there, and "
            "that this program's keys are those it knows"
        )


def _acknowledges(reply: FeedReply, push: Push) -> bool:
    return isinstance(reply, Pushed) and reply.push == push.push and ASKED not in reply.verdict


def _checked(rows: NDArray[np.void]) -> NDArray[np.void]:
    if rows.dtype != ROW or rows.ndim != 1:
        raise ConfigError(f"rows are {rows.dtype}[{rows.ndim} dimensions]; make them as np.zeros(n, engine.tape.ROW)")
    return rows


def _pieces(rows: NDArray[np.void]) -> list[NDArray[np.void]]:
    """Pieces of at most one message that end where groups end."""
    ends = np.flatnonzero((rows["flags"] & Flag.LAST) != 0) + 1
    pieces, start = [], 0
    while len(rows) - start > BATCH_ROWS:
        inside = ends[(ends > start) & (ends <= start + BATCH_ROWS)]
        end = int(inside[-1]) if len(inside) else start + BATCH_ROWS  # the feed will say that the group has no end
        pieces.append(rows[start:end])
        start = end
    return [*pieces, rows[start:]] if len(rows) > start else pieces
