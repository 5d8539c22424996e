"""F02: kill -9 the runner, the feed, or all three at once, again and again. 1,000 kills of each are 20 seeds."""

from __future__ import annotations

from paper_session import MEMORY, kill_loop
from procedure import Trial, main

PACE = "600"  # times real time: a feed at full speed has published everything before it is killed


def kill_others(trial: Trial) -> str:
    kills = 5 if trial.quick else 50
    runner = kill_loop(trial, kills, lambda one: one.runners)
    feed = kill_loop(trial, kills, lambda one: [one.feed], speed=PACE)
    all_three = kill_loop(trial, max(2, kills // 5), lambda one: one.roles, speed=PACE)
    return f"runner: {runner}; feed: {feed}; all three: {all_three}"


if __name__ == "__main__":
    main(kill_others, within=MEMORY)
