"""What a program has asked for, on disk before it leaves: after a crash the same requests go out under the same ids."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from engine.live import messages as m
from engine.live.durable_log import DurableLog

ASKED, SETTLED = 1, 2  # kinds of entries: a frame of ours, a frame of the broker's that answers one


class ClientOutbox:
    """A durable log of requests and answers.

    Parameters
    ----------
    path : path
        Of the log; made if it is not there. One program at a time may have it open.

    Raises
    ------
    LogDamaged
        If what is on disk cannot be trusted.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._log = DurableLog.open(path)

    def earlier(self) -> Iterator[tuple[m.Orders, m.Received | m.Reject | None]]:
        """Requests of earlier lives, in order, each with its answer; None where none was kept."""
        asked: dict[str, m.Orders] = {}
        settled: dict[str, m.Received | m.Reject] = {}
        for entry in self._log.entries():
            if entry.kind == ASKED:
                orders = m.broker_request(entry.payload)
                asked[orders.cid] = orders
            else:
                answer = m.broker_reply(entry.payload)
                settled[answer.cid] = answer
        for cid, orders in asked.items():
            yield orders, settled.get(cid)

    def keep(self, asked: Sequence[bytes], settled: Sequence[m.Received | m.Reject]) -> None:
        """Requests are on disk when this returns; answers, which would only come again, go with the next requests."""
        for answer in settled:
            self._log.append(SETTLED, m.encode(answer))
        for frame in asked:
            self._log.append(ASKED, frame)
        if asked:
            self._log.commit()

    def close(self) -> None:
        """Put what is left on disk and let go of the file."""
        self._log.commit()
        self._log.close()
