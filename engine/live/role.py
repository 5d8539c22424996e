"""What a role's core is: a function of (state, input) that names its outputs and does none of them.

A core is an object with ``advance(now, input) -> list of outputs``, where ``now`` is a monotonic clock in ns that
decides about time-outs only, never about the market. A shell turns frames, disk and clock into inputs and does the
outputs, in order; the simulator (tests/simulation) does the same with a network and a disk of its own. So each role's
code is the same in a process of its own, in one process with the others, and under simulated faults.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

# exit codes: done; a fault of ours, start again; too slow, start again; what is on disk cannot be trusted
EX_OK, EX_SOFTWARE, EX_SLOW, EX_CORRUPT = 0, 70, 75, 78


# --- inputs -----------------------------------------------------------------------------------------------------------


class Frame(NamedTuple):
    """Bytes arrived on a link: "market", "recovery", "orders" or "admin"."""

    link: str
    peer: bytes  # routing identity of the sender; b"" where there is only one
    key: str  # the sender's public key as its handshake proved it; "" without encryption
    data: bytes


class Tick(NamedTuple):
    """Time has passed; nothing else happened."""


class Committed(NamedTuple):
    """Everything appended up to and including entry ``count`` (counted from the first) is on disk."""

    count: int
    took_ns: int = 0  # by how long the disk kept it waiting


class Operator(NamedTuple):
    """A person, a signal or a file says: "kill", "shutdown"."""

    what: str
    why: str


Input = Frame | Tick | Committed | Operator

# --- outputs ----------------------------------------------------------------------------------------------------------


class Send(NamedTuple):
    """Send bytes on a link, to a peer (b"": the only one, or all subscribers)."""

    link: str
    peer: bytes
    data: bytes


class Append(NamedTuple):
    """Add an entry to the role's durable log; ``Committed`` says when it is on disk."""

    kind: int
    payload: bytes


class KeepRows(NamedTuple):
    """Add rows to the role's tape, before any entry appended after this is committed."""

    rows: bytes


class Fault(NamedTuple):
    """A peer of a link sent what is no message; its door bans it after a few."""

    link: str
    peer: bytes
    key: str


class Stop(NamedTuple):
    """End the process with this code; nothing after it is done."""

    code: int
    why: str


Output = Send | Append | KeepRows | Fault | Stop


class Core(Protocol):
    """A role without input or output."""

    def advance(self, now: int, input: Input) -> Sequence[Output]:
        """Take one input; what is to be done now, in order."""
        ...

    @property
    def next_tick(self) -> int:
        """When a ``Tick`` is wanted at the latest (monotonic ns)."""
        ...
