"""F14: delay, stalls, a slow drip, half-open connections, writes of one byte: Equal, no hang, memory bounded."""

from __future__ import annotations

import time
from functools import partial

from paper_session import MEMORY, Reference, Session, memory_mib, session
from procedure import Trial, main
from proxy import Proxy, Weather, proxy

LINKS = ("feed", "recovery", "orders")
PACE = "600"
WEATHERS = {
    "delay of 50 ms": Weather(delay_s=0.05),
    "stall": Weather(is_stalled=True),
    "drip of 20 kB/s": Weather(bytes_per_s=20_000),
    "half-open": Weather(is_half_open=True),
    "writes of one byte": Weather(piece=1),
}
SHORT_S, LONG_S = 0.5, 5.0  # a stall that nobody notices, and one that outlasts every heartbeat
MOST_S = 30.0  # until the market goes on once the weather is good again
MOST_MIB = 64


def bad_weather(trial: Trial) -> str:
    rounds = 1 if trial.quick else 8
    reference = Reference.of(trial.fresh("reference"), speed=PACE)
    slowest, grown, sessions = dict.fromkeys(WEATHERS, 0.0), 0.0, 0
    left = [name for _ in range(rounds) for name in WEATHERS]
    with proxy({link: reference.ports[link] for link in LINKS}) as between:
        through = {"broker": between.addresses, "runner": between.addresses}
        while left:
            with session(reference, trial.fresh("session"), through=through) as one:
                while left and one.until(partial(one.goes_on, time.time())):
                    before = sum(memory_mib(role) for role in one.roles)
                    seconds = (SHORT_S, LONG_S)[len(left) % 2]
                    took = suffer(one, between, WEATHERS[left[0]], trial.rng.sample(LINKS, 2), seconds)
                    if took is None:
                        break
                    slowest[left[0]] = max(slowest[left[0]], took)
                    grown = max(grown, sum(memory_mib(role) for role in one.roles) - before)
                    del left[0]
                one.finish()
                sessions += 1
    assert max(slowest.values()) < MOST_S, f"going on took {slowest}"
    assert grown < MOST_MIB, f"memory grew by {grown:.0f} MiB"
    told = ", ".join(f"{name} {took:.1f} s" for name, took in slowest.items())
    return (
        f"{rounds * len(WEATHERS)} spells of bad weather of 0.5 or 5 s in {sessions} sessions: Equal, and verified; "
        f"slowest to go on afterwards: {told}; memory of all roles grew by {grown:.1f} MiB at most"
    )


def suffer(one: Session, between: Proxy, weather: Weather, links: list[str], seconds: float) -> float | None:
    """Seconds that the market took to go on once the weather was good again; None: the session was over before."""
    between.set(weather, links)
    on = one.sleep(seconds)
    between.set(Weather(), links)
    begun, clock = time.time(), time.monotonic()
    if not on or not one.until(partial(one.goes_on, begun)):
        return None
    return time.monotonic() - clock


if __name__ == "__main__":
    main(bad_weather, within=MEMORY)
