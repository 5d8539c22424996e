"""The least of roles: take a stream's rows and keep them. What ``StreamReceiver`` does, and nothing else."""

from __future__ import annotations

import numpy as np

from engine.live.messages import BadMessage, encode, feed_message, feed_reply
from engine.live.receiver import StreamReceiver
from engine.live.role import EX_OK, Frame, Input, KeepRows, Output, Send, Stop
from engine.tape import ROW, Kind


class ListenerCore:
    """Keeps rows; ends when the stream does.

    Parameters
    ----------
    kept : bytes
        ROW[n] of an earlier life.
    """

    def __init__(self, kept: bytes) -> None:
        rows = np.frombuffer(kept, ROW)
        numbered = int((rows["kind"] != Kind.CLOCK).sum())
        self.receiver = StreamReceiver(numbered, rows[-2_000:] if len(rows) else None)
        self.next_tick = 0

    def advance(self, now: int, input: Input) -> list[Output]:
        """As any role."""
        receiver = self.receiver
        if type(input) is Frame:
            try:
                decode = feed_message if input.link == "market" else feed_reply
                receiver.hear(now, decode(input.data))
            except BadMessage:
                pass
        rows = receiver.take()
        out: list[Output] = [KeepRows(rows.tobytes())] if len(rows) else []
        out += [Send("recovery", b"", encode(want)) for want in receiver.wants(now)]
        self.next_tick = receiver.due
        if receiver.ended:
            out.append(Stop(EX_OK, "the stream has ended"))
        return out
