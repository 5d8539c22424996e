"""F01: kill -9 the broker, again and again; the session ends as its replay does. 1,000 kills are 20 seeds."""

from __future__ import annotations

from paper_session import MEMORY, kill_loop
from procedure import Trial, main


def kill_broker(trial: Trial) -> str:
    return f"broker: {kill_loop(trial, 5 if trial.quick else 50, lambda one: [one.broker])}"


if __name__ == "__main__":
    main(kill_broker, within=MEMORY)
