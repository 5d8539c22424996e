"""An account's contract book over the wire: what was listed, and the positions that changed."""

from __future__ import annotations

import msgspec
import numpy as np

from engine.broker.contract_book import POSITION, ContractBook
from engine.contracts import Packed


class Rows(msgspec.Struct, frozen=True, array_like=True):
    """Changes of a contract book."""

    listed: list[tuple[int, ...]]  # market, then ``Packed``, of those that are new
    places: bytes  # int64[n]
    positions: bytes  # POSITION[n]
    cash: dict[int, int]  # by market


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Rows).decode


class Seen:
    """What of a book has been told."""

    def __init__(self) -> None:
        self._told = np.zeros(0, POSITION)
        self._cash: dict[int, int] = {}

    def changes(self, book: ContractBook) -> bytes | None:
        """What is new since the last call, or None."""
        count = len(book)
        before, now = len(self._told), book.positions[:count]
        moved = np.flatnonzero(_words(now[:before]) != _words(self._told)) // _words(now[:1]).size if before else []
        places = np.concatenate([np.unique(moved), np.arange(before, count)]).astype(np.int64)
        if not len(places) and book.cash == self._cash:
            return None
        listed = [(int(now["market"][place]), *book.packed[place]) for place in range(before, count)]
        self._told, self._cash = now.copy(), dict(book.cash)
        return _encode(Rows(listed, places.tobytes(), now[places].tobytes(), self._cash))


def apply(book: ContractBook, data: bytes) -> None:
    """Bring a book to where another one is."""
    rows = _decode(data)
    for market, *packed in rows.listed:
        book.list(market, Packed(*packed))
    book.positions[np.frombuffer(rows.places, np.int64)] = np.frombuffer(rows.positions, POSITION)
    book.cash.clear()
    book.cash.update(rows.cash)


def _words(positions: np.ndarray) -> np.ndarray:
    """The bytes of positions, so that NaN equals NaN."""
    return np.ascontiguousarray(positions).view(np.uint8)
