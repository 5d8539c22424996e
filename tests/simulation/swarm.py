"""What goes wrong in one schedule: a plan, drawn from a seed, that can be read, kept, cut down and run again."""

from __future__ import annotations

from random import Random

import msgspec
from network import Noise
from scheduler import MICROSECOND, MILLISECOND, SECOND

DELAYS = (0, 1 * MILLISECOND, 20 * MILLISECOND, 200 * MILLISECOND, 1 * SECOND)  # means
HORIZONS = (60 * MILLISECOND, 300 * MILLISECOND, 1 * SECOND, 3 * SECOND)
SPANS = (1 * MILLISECOND, 30 * MILLISECOND, 300 * MILLISECOND, 1 * SECOND, 4 * SECOND)
HOST_FAULTS = ("crash", "crash at entry", "pause", "slow", "eio", "enospc")
LINK_FAULTS = ("cut", "clog", "partition")
KINDS = (*HOST_FAULTS, *LINK_FAULTS, "swizzle", "crash all")


class Fault(msgspec.Struct, frozen=True, array_like=True):
    """One thing that happens at a time: to a role or a link, for so long, with a number where it needs one."""

    at: int  # virtual ns
    kind: str
    target: str
    lasts: int
    number: int = 0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule."""

    seed: int  # of what the plan does not say: single delays and losses
    troupe: str  # who is there: a name of ``world.TROUPES``
    market: str  # a name of ``busy_market.MARKETS``
    rows: int  # of it
    speed: int = 0  # thousandths of real time; 0 as fast as it goes
    hold_ns: int = 0  # how long a paced broker waits for an answer; 0 for ever
    knobs: dict[str, int] = {}  # what a core is built with where it differs from the defaults
    skews: dict[str, tuple[int, int]] = {}  # role -> where its clock begins (ns), how it drifts (ppm)
    keeps_identity: bool = True
    noise: dict[str, Noise] = {}  # link -> what it always does until the calm
    faults: list[Fault] = []
    calm_at: int = 0  # no fault begins or lasts beyond this


class Troupe(msgspec.Struct, frozen=True, kw_only=True):
    """Who is there, and what a plan may choose from."""

    share: int  # of the schedules, among all troupes
    markets: tuple[str, ...]
    roles: dict[str, tuple[str, ...]]  # market -> roles
    links: dict[str, tuple[str, ...]]  # market -> links
    speeds: tuple[int, ...]
    holds: tuple[int, ...] = (0,)
    knobs: dict[str, tuple[int, ...]] = {}
    faults: tuple[str, ...] = KINDS


def draw_plan(seed: int, troupes: dict[str, Troupe]) -> Plan:
    """The plan of a seed: which faults there are at all is drawn first, then how often and when."""
    chance = Random(f"plan {seed}")
    name = chance.choices([*troupes], [troupe.share for troupe in troupes.values()])[0]
    troupe = troupes[name]
    market, calm_at = chance.choice(troupe.markets), chance.choice(HORIZONS)
    roles, links = troupe.roles[market], troupe.links[market]
    speed = chance.choice(troupe.speeds)
    return Plan(
        seed=seed,
        troupe=name,
        market=market,
        rows=chance.choice((100, 500, 500)),
        speed=speed,
        hold_ns=chance.choice(troupe.holds) if speed else 0,
        knobs={knob: chance.choice(values) for knob, values in troupe.knobs.items() if chance.random() < 0.25},
        skews={role: (chance.randrange(10**15), chance.choice((0, 0, 100, -100, 50_000))) for role in roles},
        keeps_identity=chance.random() < 0.5,
        noise=_noise(chance, links),
        faults=sorted(_faults(chance, troupe.faults, roles, links, calm_at), key=lambda fault: fault.at),
        calm_at=calm_at,
    )


def _noise(chance: Random, links: tuple[str, ...]) -> dict[str, Noise]:
    """Of each link that is noisy in this schedule."""
    active = [chance.random() < 0.5 for _ in range(4)]
    noise = {}
    for link in links:
        if chance.random() < 0.3:
            continue
        drop, duplicate, reorder = (chance.random() * 0.3 if on else 0.0 for on in active[:3])
        delay = chance.choice(DELAYS) if active[3] else 20 * MICROSECOND
        capacity = chance.choice((4, 32, 1_000)) if chance.random() < 0.25 else 8_192
        noise[link] = Noise(drop, duplicate, reorder, delay, capacity)
    return noise


def _faults(
    chance: Random, known: tuple[str, ...], roles: tuple[str, ...], links: tuple[str, ...], calm_at: int
) -> list[Fault]:
    kinds = [kind for kind in known if chance.random() < 0.35]
    if not kinds:
        return []
    faults = []
    for _ in range(chance.choice((1, 3, 8, 20))):
        kind, lasts = chance.choice(kinds), chance.choice(SPANS)
        at = int(calm_at * chance.random() ** 3)  # most of a session at full speed is over soon
        lasts = 1 + chance.randrange(lasts)
        target = chance.choice(links if kind in LINK_FAULTS else roles)
        faults.append(Fault(at, kind, target, lasts, chance.randrange(1 << 16)))
    return faults
