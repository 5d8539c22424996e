"""What a broker that starts again finds beside its market: rows that were kept, and what its log says of its peers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.live.attachment import Attachment, digest_of
from engine.live.broker_core import NOTHING
from engine.live.broker_log import Body, Entry
from engine.live.latches import Latches
from engine.tape import Kind

RECENT = 4_096  # rows that duplicates are compared with
AT_ONCE = 1 << 18  # rows looked at together


def rows_kept(read: Callable[[int, int], NDArray[np.void]], kept: int) -> tuple[int, NDArray[np.void]]:
    """How many of the rows that were kept are numbered, and the last ROW[n] of them."""
    numbered = 0
    for first in range(0, kept, AT_ONCE):
        part = read(first, min(AT_ONCE, kept - first))
        numbered += int((part["kind"] != Kind.CLOCK).sum())
    few = min(kept, RECENT)
    return numbered, read(kept - few, few) if few else NOTHING


def remember(entries: Sequence[tuple[int, Body]], attachments: Sequence[Attachment], latches: Latches) -> None:
    """What the log says of peers and kill switches: all that is no input of the market."""
    for kind, body in entries:
        mine = attachments[body.account]
        if kind == Entry.PROGRESS:
            mine.answers[body.wake] = digest_of(body.requests)
        elif kind == Entry.SKIP:
            mine.skip(body.wake)
        elif kind == Entry.ORDERS and body.cid:
            mine.cids[body.cid] = (digest_of(body.requests), body.latch)
        elif kind == Entry.ORDERS:
            mine.skipped.discard(body.wake)
            mine.answers[body.wake] = digest_of(body.requests)
            mine.late += 1
        elif kind in (Entry.KILL, Entry.LATCHED):
            latches.throw(body.account, body.text, body.latch)
        elif kind == Entry.REARM:
            latches.release(body.latch)
        elif kind == Entry.GONE:
            mine.gone = True
        elif kind == Entry.DONE:
            mine.done = body.raw
