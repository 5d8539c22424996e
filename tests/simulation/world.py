"""One schedule: hosts, links and faults of a plan, run until all is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

import busy_market
import msgspec
import numpy as np
from busy_market import MARKETS
from disk import Disk
from host import Broken, Host, HostClock
from limits import CHOICES, limits
from listener import ListenerCore
from network import Network, Published
from parity_oracle import Laws, fingerprint, records_of
from scheduler import MILLISECOND, SECOND, Scheduler
from swarm import KINDS, Fault, Plan, Troupe
from told_again import ToldAgain

from engine.live.broker_log import Entry
from engine.live.broker_role import BrokerRole
from engine.live.feed_core import FeedCore
from engine.live.role import Append, Core, KeepRows, Output, Send, Tick
from engine.live.runner_role import RunnerRole
from engine.tape import ROW

CONVERGE_NS = 5 * SECOND  # after the last fault, until all that was to be done is done
PARTING_NS = 11 * SECOND  # then, for those whose last words were lost: roles wait 10 s for them
LISTENERS = ("left", "right")
KILLED_AT = (1, 2, 2, 2, 3, 4, 5, 7, 7, 8, 10, 12)  # kinds of entries of the broker's log; 2 of the outboxes, too


def _has_finished(core: Core | None) -> bool:
    match core:
        case BrokerRole():
            return core.core is not None and core.core.ended
        case RunnerRole():
            return core.core is not None and core.core.ended
        case _:
            return False


def _runners(market: str) -> list[str]:
    return [f"run{i}" for i in range(len(MARKETS[market].symbols))]


def _runner_links(market: str) -> list[str]:
    return [link for run in _runners(market) for link in (f"feed>{run}", f"{run}=feed", f"{run}=broker")]


TROUPES = {
    "listeners": Troupe(
        share=1,
        markets=("one", "one", "two", "closes"),
        roles=dict.fromkeys(MARKETS, ("feed", *LISTENERS)),
        links=dict.fromkeys(MARKETS, ("feed>left", "feed>right", "left=feed", "right=feed")),
        speeds=(0, 2_000, 10_000),
        knobs=CHOICES,
    ),
    "session": Troupe(
        share=7,
        markets=("one", "one", "two", "closes"),
        roles={market: ("feed", "broker", *_runners(market)) for market in MARKETS},
        links={market: ("feed>broker", "broker=feed", *_runner_links(market)) for market in MARKETS},
        speeds=(0, 0, 2_000, 10_000),
        holds=(0, 5 * MILLISECOND, 50 * MILLISECOND),
        knobs=CHOICES,
        faults=(*KINDS, "kill"),
    ),
}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a schedule."""

    broken: str  # the law that did not hold, "" if all did
    text: str
    digest: str
    events: int
    virtual_ns: int
    injected: Counter[str]
    reached: Counter[str]
    trace: list[str] = []


def run_plan(plan: Plan, *, traced: bool = False) -> Outcome:
    """Run a schedule to its end, or to the first law that does not hold."""
    world = World(plan)
    if traced:
        world.scheduler.trace = []
    broken, text = "", ""
    try:
        with limits(plan.knobs):
            world.run()
    except Broken as error:
        broken, text = error.law, str(error)
    except Exception as error:  # a core that raises is found like a law that breaks
        import traceback

        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
        broken, text = f"nothing raises: {type(error).__name__}", f"{where}: {error}"
    return Outcome(
        broken=broken,
        text=text,
        digest=world.scheduler.digest,
        events=world.scheduler.events,
        virtual_ns=world.scheduler.now,
        injected=world.injected + world.network.counts,
        reached=world.reached(),
        trace=world.scheduler.trace or [],
    )


class World:
    """Everything that a schedule consists of."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.scheduler = Scheduler(plan.seed)
        self.network = Network(self.scheduler, keeps_identity=plan.keeps_identity)
        self.laws = Laws(plan.market, plan.rows)
        self.told = ToldAgain()
        self.injected: Counter[str] = Counter()
        self.hosts: dict[str, Host] = {}
        self.cores: list[tuple[str, Core]] = []  # of all lives
        self._published = 0  # rows that the feed has published, over all its lives
        self._people()
        self._awaited = [host for name, host in self.hosts.items() if name != "feed"]
        self._links()

    # --- who is there -----------------------------------------------------------------------------------------------

    def _people(self) -> None:
        self._add("feed", self._start_feed)
        if self.plan.troupe == "listeners":
            for name in LISTENERS:
                self._add(name, self._start_listener)
            return
        self._add("broker", self._start_broker)
        for i, name in enumerate(_runners(self.plan.market)):
            self._add(name, partial(self._start_runner, i))

    def _add(self, name: str, start: Callable[[Disk, int], tuple[Core, Sequence[Output]]]) -> None:
        offset, drift = self.plan.skews.get(name, (0, 0))
        begin = partial(self._begin, name, start)
        self.hosts[name] = Host(name, self.scheduler, self.network, HostClock(offset, drift), begin, self._hear)

    def _links(self) -> None:
        feed = self.hosts["feed"]
        for name, host in self.hosts.items():
            if host is not feed:
                self.network.publish("feed", name, "market", host.deliver, host.backlog)
                self.network.connect(name, "feed", "recovery", feed.deliver, host.deliver)
        if (broker := self.hosts.get("broker")) is not None:
            for i, name in enumerate(_runners(self.plan.market)):
                self.network.connect(name, "broker", "orders", broker.deliver, self.hosts[name].deliver)
                broker.keys[f"{name}=broker".encode()] = f"key of acct{i}"
        for name, noise in self.plan.noise.items():
            link = self.network.links[name]
            for wire in (link.wire,) if isinstance(link, Published) else (link.up, link.down):
                wire.noise = noise

    def _begin(self, name: str, start: Callable[[Disk, int], tuple[Core, Sequence[Output]]], disk: Disk, now: int):
        host = self.hosts[name]
        self.laws.began(host)
        self.told.crashed(host)
        if name == "broker" and self._claims_parity:
            self.laws.check_records(disk.entries, whole=False)
        core, outputs = start(disk, now)
        if isinstance(core, BrokerRole) and core.core is not None and MARKETS[self.plan.market].panels:
            taken = bytes(disk.rows[: core.core.rows * 64])
            self.laws.rows_of(name).check_panels(name, taken, core.receiver.panels)
        self.cores.append((name, core))
        return core, outputs

    @property
    def _claims_parity(self) -> bool:
        """Whether the records must be those of a plain replay: nobody skipped a wake or threw the kill switch."""
        return not self.plan.hold_ns and not self.injected["kill"]

    def _start_feed(self, disk: Disk, now: int) -> tuple[Core, Sequence[Output]]:
        knobs, host = self.plan.knobs, self.hosts["feed"]
        chance = self.scheduler.chance(f"feed {host.starts}")
        again = chance.choice((0, 0, 1, 50, 10_000))  # published after the state file was last written
        core = FeedCore(
            busy_market.source(self.plan.market, self.plan.rows),
            stream="sim",
            epoch=host.starts,
            next_seq=max(0, self._published - again),
            speed=self.plan.speed,
            batch_rows=knobs.get("batch_rows", 64),
        )
        return core, core.advance(now, Tick())

    def _start_listener(self, disk: Disk, now: int) -> tuple[Core, Sequence[Output]]:
        core = ListenerCore(bytes(disk.rows))
        return core, core.advance(now, Tick())

    def _start_broker(self, disk: Disk, now: int) -> tuple[Core, Sequence[Output]]:
        kept = np.frombuffer(bytes(disk.rows), ROW)
        core = BrokerRole(
            busy_market.config(self.plan.market),
            log_entries=list(disk.entries),
            rows=lambda first, n: np.frombuffer(disk.rows[first * 64 : (first + n) * 64], ROW),
            kept_rows=len(kept),
            hold_ns=self.plan.hold_ns or None,
            may_trade=lambda key, account: not key or key == f"key of {account}",
        )
        return core, core.advance(now, Tick())

    def _start_runner(self, i: int, disk: Disk, now: int) -> tuple[Core, Sequence[Output]]:
        account, strategy = [*busy_market.traders(self.plan.market).items()][i]
        core = RunnerRole(
            busy_market.config(self.plan.market), account, outbox=list(disk.entries), source=account, strategy=strategy
        )
        return core, core.advance(now, Tick())

    def _hear(self, host: Host, output: Output) -> None:
        match output:
            case KeepRows(rows):
                law = self.laws.rows_of(host.name)
                law.take(host.name, rows)
                law.check_future(host.name, self._published)
                if MARKETS[self.plan.market].panels and isinstance(host.core, ListenerCore | BrokerRole):
                    law.check_panels(host.name, rows, host.core.receiver.panels)
            case Send("orders"):
                self.told.send(host, output)
            case Send("market") if isinstance(host.core, FeedCore):
                self._published = max(self._published, host.core.next_seq)
            case Append():
                self.told.append(host, output)

    # --- what happens -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Two phases: until the calm anything may go wrong, after it all must come to an end soon."""
        for host in self.hosts.values():
            self.scheduler.at(0, host.start)
        for fault in self.plan.faults:
            self.scheduler.at(fault.at, self._inject, fault)
        run = self.scheduler.run
        if not run(self.plan.calm_at, self._is_done):
            self.network.settle()
            for host in self.hosts.values():
                host.calm()
            market = busy_market.ROW_NS * self.plan.rows * 1000 // self.plan.speed if self.plan.speed else 0
            if not run(self.scheduler.now + CONVERGE_NS + market, self._is_done):
                raise Broken("all is done soon after the last fault", self._who_is_left())
        if not run(self.scheduler.now + PARTING_NS, self._have_left):
            self._supervisor_ends_them()
        self._check_end()

    def _is_done(self) -> bool:
        """Listeners have ended; the broker's market has, and every strategy has heard of it."""
        return all(host.ended is not None or _has_finished(host.core) for host in self._awaited)

    def _have_left(self) -> bool:
        return all(host.ended is not None for host in self._awaited)

    def _supervisor_ends_them(self) -> None:
        """A runner that was started again after its broker had gone finds nobody to say Hello to."""
        if "broker" not in self.hosts or self.hosts["broker"].ended is None:
            raise Broken("who is done leaves", self._who_is_left())
        self.laws.reached["left alone"] += 1
        for host in self._awaited:
            host.calm()
            host.operate("shutdown", "the session is over")
        if not self._have_left():
            raise Broken("who is told to end ends", self._who_is_left())

    def _who_is_left(self) -> str:
        left = [f"{name} after {host.starts} starts" for name, host in self.hosts.items() if host.ended is None]
        return f"still there: {', '.join(left)}"

    def _check_end(self) -> None:
        for name in ("broker",) if "broker" in self.hosts else LISTENERS:
            if not self.laws.rows_of(name).is_complete:
                raise Broken("every row arrives", name)
        if (broker := self.hosts.get("broker")) is not None:
            if self._claims_parity:
                self.laws.check_records(broker.disk.entries, whole=True)
            runners = {name: host.disk.entries for name, host in self.hosts.items() if name.startswith("run")}
            self.told.check_once(runners, broker.disk.entries)
            self._check_recovery(broker)

    def _check_recovery(self, broker: Host) -> None:
        """The log alone gives the session again, and recovering once more changes nothing."""
        logged = records_of(broker.disk.entries)
        for _ in range(2 if self.plan.seed % 4 == 0 else 1):
            core, _ = self._start_broker(broker.disk, 0)
            assert isinstance(core, BrokerRole)
            if core.core is None or core.core.records.fingerprint != fingerprint(logged):
                raise Broken("recovery gives what was", f"{len(logged) // 64} records were logged")
        self.laws.check_kills(broker.disk.entries)

    def _inject(self, fault: Fault) -> None:
        self.injected[fault.kind] += 1
        until = min(fault.at + fault.lasts, self.plan.calm_at)
        host, link = self.hosts.get(fault.target), self.network.links.get(fault.target)
        match fault.kind:
            case "crash" if host:
                host.crash(until - fault.at)
            case "crash all":
                for each in self.hosts.values():
                    each.crash(until - fault.at)
            case "crash at entry" if host:
                host.crash_at = KILLED_AT[fault.number % len(KILLED_AT)], fault.number // 16 % 4
            case "pause" if host:
                host.pause(until)
            case "slow" if host:
                host.slow(1 + fault.number % (2 * MILLISECOND), until)
            case "eio" if host:
                host.disk.fails_at_sync = True
            case "enospc" if host:
                host.disk.room = fault.number
            case "kill":
                self.hosts["broker"].operate("kill", "the simulator")
            case "cut" if link:
                link.cut(until)
            case "clog" if link:
                link.clog(until)
            case "partition" if link:
                link.partition(until, 1 + fault.number % 3)
            case "swizzle":
                self._swizzle(fault, until)

    def _swizzle(self, fault: Fault, until: int) -> None:
        """Clog some links one by one, and unclog them in another order."""
        chance = Random(fault.number)
        names = sorted(self.network.links)
        for name in chance.sample(names, chance.randint(1, len(names))):
            begin = fault.at + chance.randrange(1 + fault.lasts // 2)
            end = min(begin + chance.randrange(1 + fault.lasts // 2), until)
            self.scheduler.at(begin, self.network.links[name].clog, end)

    def reached(self) -> Counter[str]:
        """Branches and reasons that the cores counted, over all their lives."""
        reached = Counter(self.laws.reached)
        for name, core in self.cores:
            counters = getattr(getattr(core, "receiver", core), "counters", {})
            for reason, count in counters.items():
                reached[f"{'feed' if name == 'feed' else 'receiver'} {reason}"] += int(count > 0)
            for reason in getattr(core, "refused", ()):
                reached[f"broker refuses {reason}"] += 1
        for host in self.hosts.values():
            reached += host.counts
            for kind in {one.kind for one in host.disk.entries} if host.name == "broker" else ():
                reached[f"log {Entry(kind).name}"] += 1
            if host.starts > 1:
                reached[f"{host.name} recovered"] += 1
        reached["said again"] += int(self.told.again > 0)
        return reached
