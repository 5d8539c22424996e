"""F11: SIGSTOP the broker for 5 s; the runner sends nothing new meanwhile, and the session ends as its replay does."""

from __future__ import annotations

import signal
import time
from functools import partial

from paper_session import MEMORY, Reference, session
from procedure import Trial, main

STOPPED_S = 5.0
SETTLED_S = 0.5  # after which the runner has answered what it had been told
MOST_S = 10.0  # a broker that goes on must have its session going on


def stopped_broker(trial: Trial) -> str:
    stops = 1 if trial.quick else 10
    reference, slowest, done = Reference.of(trial.fresh("reference")), 0.0, 0
    while done < stops:
        with session(reference, trial.fresh("session")) as one:
            while done < stops and one.until(partial(one.goes_on, time.time())) and one.sleep(trial.rng.uniform(0, 1)):
                one.broker.signal(signal.SIGSTOP)
                one.sleep(SETTLED_S)
                answered = one.answered()
                one.sleep(STOPPED_S - SETTLED_S)
                assert one.answered() == answered, "a runner asked for something of a broker that was stopped"
                begun, clock = time.time(), time.monotonic()
                one.broker.signal(signal.SIGCONT)
                if not one.until(partial(one.goes_on, begun)):
                    break
                slowest, done = max(slowest, time.monotonic() - clock), done + 1
            one.finish()
    assert slowest < MOST_S, f"went on only {slowest:.1f} s after a stop"
    return f"{done} stops of 5 s: nothing asked for meanwhile, going on within {slowest:.1f} s; Equal, and verified"


if __name__ == "__main__":
    main(stopped_broker, within=MEMORY)
