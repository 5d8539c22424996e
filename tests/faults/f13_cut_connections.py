"""F13: connections are reset, some or all at once, for 10 to 500 ms, again and again; lost rows come again, Equal."""

from __future__ import annotations

import time
from functools import partial

from paper_session import MEMORY, Reference, Session, session
from procedure import Trial, main
from proxy import Proxy, Weather, proxy

LINKS = ("feed", "recovery", "orders")
PACE = "600"  # times real time: rows are lost, where at full speed all are here before the first cut
SHORTEST_S, LONGEST_S = 0.010, 0.500


def cut_connections(trial: Trial) -> str:
    cuts = 5 if trial.quick else 100
    found = [cut_sessions(trial, speed, cuts // 2 + 1) for speed in ("max", PACE)]
    return f"{'; '.join(found)}; Equal, and verified"


def cut_sessions(trial: Trial, speed: str, cuts: int) -> str:
    reference = Reference.of(trial.fresh(f"reference {speed}"), speed=speed)
    done = sessions = felt = 0
    slowest = 0.0
    with proxy({link: reference.ports[link] for link in LINKS}) as between:
        through = {"broker": between.addresses, "runner": between.addresses}
        while done < cuts:
            with session(reference, trial.fresh("session"), through=through) as one:
                while done < cuts and one.sleep(trial.rng.uniform(0, 0.3)):
                    links = trial.rng.choice([LINKS, *((link,) for link in LINKS)])
                    felt += cut(one, between, links, trial.rng.uniform(SHORTEST_S, LONGEST_S))
                    begun, clock = time.time(), time.monotonic()
                    if not one.until(partial(one.goes_on, begun)):
                        break
                    slowest, done = max(slowest, time.monotonic() - clock), done + 1
                one.finish()
                sessions += 1
    assert felt >= cuts, f"only {felt} connections were cut"
    return (
        f"speed {speed}: {felt} connections reset in {done} cuts of 10 to 500 ms, {sessions} sessions; the market went "
        f"on within {slowest:.1f} s of each cut's end"
    )


def cut(one: Session, between: Proxy, links: tuple[str, ...], seconds: float) -> int:
    """Cut for so long; how many connections were."""
    felt = between.set(Weather(is_cut=True), links)
    one.sleep(seconds)
    between.set(Weather(), links)
    return felt


if __name__ == "__main__":
    main(cut_connections, within=MEMORY)
