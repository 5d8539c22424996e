"""Messages damaged where it hurts: msgpack values and headers replaced, cut out, doubled, moved between messages.

Everything is cut beforehand, so that a mutation is three or four pieces of bytes put together: two million a second.
"""

from __future__ import annotations

import random
import struct
from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

CHUNK = 4_096  # mutations between two looks around
FORGED = [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"]
EDGES = (0, 1, 2, 17, 64, 255, 1_024, 8_192, 8_193, 65_535, 65_536, 2**31, 2**32)
EDGES += (2**62, 2**62 + 1, 2**63 - 1, 2**64 - 1)
FIXED = {0xC0: 1, 0xC2: 1, 0xC3: 1, 0xCA: 5, 0xCB: 9} | {0xCC + i: 1 + (1 << i) for i in range(4)}
FIXED |= {0xD0 + i: 1 + (1 << i) for i in range(4)} | {0xD4 + i: 2 + (1 << i) for i in range(5)}


class Span(NamedTuple):
    """Part of a message: ``begin`` to ``head`` is the header of a value, ``head`` to ``end`` what is in it."""

    begin: int
    head: int
    end: int


def values(data: bytes) -> list[Span]:
    """Every msgpack value in a message, outer ones after those in them."""
    found: list[Span] = []
    _value(data, 0, found)
    return found


def _value(data: bytes, at: int, found: list[Span]) -> int:
    """Note the value at a place, and those in it; where it ends."""
    head, size, inner = _header(data, at)
    end = head + size
    for _ in range(inner):
        end = _value(data, end, found)
    found.append(Span(at, head, end))
    return end


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """(end of the header, bytes in the value, values in it)."""
    code = data[at]
    if code < 0x80 or code >= 0xE0:
        return at + 1, 0, 0
    if code < 0xA0:
        return at + 1, 0, (code & 15) * (1 if code >= 0x90 else 2)
    if code < 0xC0:
        return at + 1, code & 31, 0
    if code in FIXED:
        return at + FIXED[code], 0, 0
    if code >= 0xDC:  # array 16, 32, map 16, 32
        wide = 4 if code & 1 else 2
        n = int.from_bytes(data[at + 1 : at + 1 + wide], "big")
        return at + 1 + wide, 0, n * (2 if code >= 0xDE else 1)
    wide = 1 << (code - (0xD9 if code >= 0xD9 else 0xC4))  # str and bin 8, 16, 32
    return at + 1 + wide, int.from_bytes(data[at + 1 : at + 1 + wide], "big"), 0


def fillings(seeds: Sequence[bytes]) -> list[bytes]:
    """What is put in the place of a value: edges of every kind, wrong kinds, lies about length, parts of others."""
    numbers = [struct.pack(">BQ", 0xCF, edge) for edge in EDGES]
    numbers += [struct.pack(">Bq", 0xD3, -edge) for edge in EDGES if edge <= 2**63]
    numbers += [bytes([n]) for n in (0, 1, 2, 127, 0xFF, 0xE0)]
    numbers += [struct.pack(">Bd", 0xCB, x) for x in (0.0, 1.5, 1e300, float("nan"), float("inf"), float("-inf"))]
    texts = [b"\xa0", b"\xa1?", b"\xa1\xff", b"\xa3\xed\xa0\x80", b"\xa4\x00\x00\x00\x00", b"\xa5\xe2\x80\xae\xc3\xa9"]
    texts += [b"\xd9" + bytes([n]) + b"x" * n for n in (64, 65, 255)] + [b"\xda\x04\x01" + b"y" * 1_025]
    texts += [bytes([0xA1, letter]) for letter in range(65, 91)]  # tags
    blobs = [b"\xc4" + bytes([n]) + bytes(n) for n in (0, 17, 40, 63, 64, 65, 128)]
    blobs += [b"\xc4\x40" + b"\xff" * 64, b"\xc5\x01\x40" + bytes(range(64)) * 5, b"\xc4\x02{}"]
    blobs += [b"\xc6\x00\x01\x00\x00" + bytes(65_536)]  # too long for the order path
    others = [b"\xc0", b"\xc2", b"\xc3", b"\xc1", b"\x90", b"\x91\xc0", b"\x92\x01\x02"]
    others += [b"\xdc\x10\x00" + b"\x01" * 4_096]
    others += [b"\x80", b"\x81\xa1a\x01", b"\x81\xc0\xc0", b"\x91" * 500, b"\x81\xa0" * 300]
    others += [b"\xd4\x01\x00", b"\xd6\xff\x00\x00\x00\x00", b"\xc7\x00\x05"]  # extensions
    spliced = [seed[span.begin : span.end] for seed in seeds for span in values(seed) if span.end - span.begin < 2_000]
    return numbers + texts + blobs + others + FORGED + [b""] * 12 + sorted(set(spliced))


class Mutations:
    """An endless supply of damaged messages.

    Parameters
    ----------
    seeds : sequence of bytes
        Whole messages of one type.
    others : sequence of bytes
        Messages whose parts may get into these.
    """

    def __init__(self, seeds: Sequence[bytes], others: Sequence[bytes], seed: int) -> None:
        self._random = random.Random(seed)
        self._places = [self._cut(data) for data in seeds]
        self._fill = fillings([*seeds, *others])

    def _cut(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """(before, after) for each place of a message where something else may stand."""
        spans = values(data)
        cuts = [(span.begin, span.end) for span in spans] * 2
        cuts += [(span.begin, span.head) for span in spans]  # a header alone
        cuts += [(span.end, span.end) for span in spans]  # something more
        cuts += [(span.begin, len(data)) for span in spans]  # the rest lost
        steps = max(1, len(data) // 200)
        cuts += [(at, at + 1) for at in range(0, len(data), steps)]  # a byte
        return [(data[:begin], data[end:]) for begin, end in cuts]

    def take(self) -> Iterator[bytes]:
        """``CHUNK`` messages."""
        fill = self._fill + [self._random.randbytes(n) for n in (1, 1, 1, 1, 2, 4, 8, 8, 9)]
        n_fill = len(fill)
        places = self._random.choice(self._places)
        n_places = len(places)
        for bits in array("Q", self._random.randbytes(8 * CHUNK)):
            before, after = places[(bits & 0xFFFF) * n_places >> 16]
            filling = fill[(bits >> 16 & 0xFFFF) * n_fill >> 16]
            if bits >> 62:
                yield before + filling + after
            else:  # one in four twice: the second in what follows the first
                at = (bits >> 32 & 0xFFFF) * (len(after) + 1) >> 16
                yield before + filling + after[:at] + fill[(bits >> 46 & 0xFFFF) * n_fill >> 16] + after[at + 1 :]
