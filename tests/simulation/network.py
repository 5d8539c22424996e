"""A network that loses, delays, repeats and cuts, as the swarm says.

Two kinds of links, with what ZeroMQ gives each and no more:

* **published**: frames drop silently when a subscriber's queue is full, its connection down, or at random; they may
  come twice, late or in another order (a proxy in between; the protocol promises to stand that).
* **connected** (DEALER to ROUTER): in order and at most once while a connection lasts. A cut loses what is under way
  in both directions, and nobody is told; the next connection of the same peer may carry another routing identity.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from scheduler import MILLISECOND, SECOND, Scheduler

HEARTBEAT_NS = 3 * SECOND  # a connection that is silent for longer is given up by ZeroMQ
RECONNECT_NS = 50 * MILLISECOND


class Noise(NamedTuple):
    """What goes wrong on a link all the time: chances per frame, mean delay in ns, frames that fit in the queue."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay_ns: int = 0
    capacity: int = 8_192


QUIET = Noise(delay_ns=20_000)
Deliver = Callable[[str, bytes, bytes], None]  # (link, peer, data)
Backlog = Callable[[], int]  # frames that a role has not come to yet


class _Wire:
    """One direction of a link: what is under way on it, and until when it is clogged."""

    def __init__(self, name: str, scheduler: Scheduler, deliver: Deliver, link: str) -> None:
        self.noise, self.link, self.deliver, self.scheduler = QUIET, link, deliver, scheduler
        self.chance: Random = scheduler.chance(f"wire {name}")
        self.queue: deque[tuple[bytes, bytes]] = deque()  # (peer, data), of a connection
        self.under_way = 0  # frames, of what is published
        self.clogged_until = 0
        self.last_arrival = 0

    def delay(self) -> int:
        mean = self.noise.delay_ns
        return 1_000 + int(self.chance.expovariate(1.0) * mean) if mean else 1_000

    def in_order(self) -> int:
        """When a frame sent now arrives, none overtaking another."""
        arrival = max(self.scheduler.now + self.delay(), self.clogged_until, self.last_arrival)
        self.last_arrival = arrival
        return arrival

    def settle(self) -> None:
        """No faults from here."""
        self.noise = QUIET
        self.clogged_until = self.last_arrival = 0


class Published:
    """One subscriber of a publisher."""

    def __init__(
        self, name: str, scheduler: Scheduler, deliver: Deliver, backlog: Backlog, link: str, counts: Counter[str]
    ) -> None:
        self.wire = _Wire(name, scheduler, deliver, link)
        self.down_until = 0
        self._backlog = backlog
        self._counts = counts
        self._generation = 0

    def send(self, data: bytes) -> None:
        wire, noise = self.wire, self.wire.noise
        now, chance = wire.scheduler.now, wire.chance
        if now < self.down_until:
            self._counts["frame lost while cut"] += 1
            return
        if wire.under_way + self._backlog() >= noise.capacity:
            self._counts["frame lost to a full queue"] += 1
            return
        if noise.drop and chance.random() < noise.drop:
            self._counts["frame dropped"] += 1
            return
        self._later(wire.in_order(), data)
        if noise.duplicate and chance.random() < noise.duplicate:
            self._counts["frame duplicated"] += 1
            self._later(now + wire.delay() + wire.delay(), data)

    def _later(self, arrival: int, data: bytes) -> None:
        wire = self.wire
        if wire.noise.reorder and wire.chance.random() < wire.noise.reorder:
            self._counts["frame reordered"] += 1
            arrival += wire.delay() + wire.chance.randrange(5 * MILLISECOND)
        wire.under_way += 1
        wire.scheduler.at(arrival, self._arrive, self._generation, data)

    def _arrive(self, generation: int, data: bytes) -> None:
        self.wire.under_way -= 1
        if generation == self._generation:
            self.wire.deliver(self.wire.link, b"", data)

    def cut(self, until: int) -> None:
        """Lose what is under way, and all that is sent until then."""
        self._generation += 1
        self.down_until = max(self.down_until, until)

    def gone(self, role: str, publisher: str) -> None:
        """One end's process ended: what the publisher had sent is on its way all the same."""
        if role != publisher:
            self.cut(self.wire.scheduler.now)

    def clog(self, until: int) -> None:
        """Nothing arrives until then; the queue fills."""
        self.wire.clogged_until = max(self.wire.clogged_until, until)

    def partition(self, until: int, way: int) -> None:
        """Frames go one way only, so any partition cuts them."""
        self.cut(until)

    def settle(self) -> None:
        """No faults from here."""
        self.wire.settle()


class Connected:
    """A DEALER and its ROUTER."""

    def __init__(
        self,
        name: str,
        scheduler: Scheduler,
        to_router: Deliver,
        to_dealer: Deliver,
        link: str,
        counts: Counter[str],
        *,
        keeps_identity: bool,
    ) -> None:
        self.name, self.scheduler = name, scheduler
        self.up = _Wire(f"{name} up", scheduler, to_router, link)
        self.down = _Wire(f"{name} down", scheduler, to_dealer, link)
        self.down_until = 0
        self.keeps_identity = keeps_identity
        self._counts = counts
        self._generation = 0

    @property
    def identity(self) -> bytes:
        """By which the ROUTER knows this connection."""
        return (self.name if self.keeps_identity else f"{self.name}#{self._generation}").encode()

    def ask(self, data: bytes) -> None:
        """From the DEALER."""
        self._send(self.up, self.identity, data)

    def answer(self, data: bytes) -> None:
        """From the ROUTER."""
        self._send(self.down, b"", data)

    def _send(self, wire: _Wire, peer: bytes, data: bytes) -> None:
        if self.scheduler.now < self.down_until:
            self._counts["message lost while cut"] += 1
        elif len(wire.queue) >= wire.noise.capacity:
            self._counts["message refused by a full queue"] += 1
        else:
            wire.queue.append((peer, data))
            self.scheduler.at(wire.in_order(), self._arrive, wire, self._generation)

    def _arrive(self, wire: _Wire, generation: int) -> None:
        """The oldest message of the connection arrives, whichever this arrival was meant for: none overtakes."""
        if generation != self._generation or not wire.queue:
            return
        if self.scheduler.now < wire.clogged_until:
            self.scheduler.at(wire.in_order(), self._arrive, wire, generation)
            return
        wire.deliver(wire.link, *wire.queue.popleft())

    def cut(self, until: int) -> None:
        """End the connection; the next one comes at ``until`` at the earliest."""
        self._generation += 1
        for wire in (self.up, self.down):
            self._counts["message lost to a cut"] += len(wire.queue)
            wire.queue.clear()
            wire.clogged_until = wire.last_arrival = 0
        self.down_until = max(self.down_until, until)

    def gone(self, role: str, publisher: str) -> None:
        """One end's process ended."""
        self.cut(self.scheduler.now)

    def clog(self, until: int) -> None:
        """Nothing arrives in either direction until then, nothing is lost either: TCP sends it again."""
        for wire in (self.up, self.down):
            wire.clogged_until = max(wire.clogged_until, until)

    def partition(self, until: int, way: int) -> None:
        """Block one direction (1 up, 2 down) or both (3); after the heartbeat's patience the connection is cut."""
        for bit, wire in ((1, self.up), (2, self.down)):
            if way & bit:
                wire.clogged_until = max(wire.clogged_until, until)
        if until - self.scheduler.now > HEARTBEAT_NS:
            self.scheduler.at(self.scheduler.now + HEARTBEAT_NS, self.cut, until)

    def settle(self) -> None:
        """No faults from here; what is under way arrives."""
        for wire in (self.up, self.down):
            wire.settle()
            for _ in wire.queue:
                self.scheduler.at(wire.in_order(), self._arrive, wire, self._generation)


Link = Published | Connected


class Network:
    """All links, by name; ``send`` is what a role's ``Send`` output means."""

    def __init__(self, scheduler: Scheduler, *, keeps_identity: bool) -> None:
        self.counts: Counter[str] = Counter()
        self.links: dict[str, Link] = {}
        self._scheduler = scheduler
        self._keeps_identity = keeps_identity
        self._of: dict[str, list[tuple[str, Link]]] = {}
        self._from: dict[tuple[str, str], list[tuple[bool, Link]]] = {}  # (role, link) -> (as router?, link)

    def publish(self, publisher: str, subscriber: str, link: str, deliver: Deliver, backlog: Backlog) -> None:
        """Join a subscriber to a publisher."""
        name = f"{publisher}>{subscriber}"
        one = Published(name, self._scheduler, deliver, backlog, link, self.counts)
        self._from.setdefault((publisher, link), []).append((False, one))
        self._add(name, one, publisher, subscriber)

    def connect(self, dealer: str, router: str, link: str, to_router: Deliver, to_dealer: Deliver) -> None:
        """Join a dealer to a router."""
        name, scheduler = f"{dealer}={router}", self._scheduler
        one = Connected(name, scheduler, to_router, to_dealer, link, self.counts, keeps_identity=self._keeps_identity)
        self._from.setdefault((dealer, link), []).append((False, one))
        self._from.setdefault((router, link), []).append((True, one))
        self._add(name, one, dealer, router)

    def _add(self, name: str, one: Link, *roles: str) -> None:
        self.links[name] = one
        for role in roles:
            self._of.setdefault(role, []).append((name, one))

    def send(self, role: str, link: str, peer: bytes, data: bytes) -> None:
        """Send as a role does on one of its links; what goes to a peer that has gone goes nowhere."""
        for is_router, one in self._from.get((role, link), ()):
            if isinstance(one, Published):
                one.send(data)
            elif not is_router:
                one.ask(data)
            elif one.identity == peer:
                one.answer(data)

    def gone(self, role: str) -> None:
        """A role's process ended, and its sockets with it."""
        for name, link in self._of.get(role, ()):
            link.gone(role, name.partition(">")[0])

    def settle(self) -> None:
        """No more faults: what is clogged or cut comes back now."""
        for link in self.links.values():
            link.settle()
            link.down_until = min(link.down_until, self._scheduler.now + RECONNECT_NS)
