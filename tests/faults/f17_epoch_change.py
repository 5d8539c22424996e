"""F17: the feed starts again mid-run, under a new epoch, where it was, or with its first row; Equal."""

from __future__ import annotations

import signal
import time
from collections import Counter
from functools import partial

import msgspec
from paper_session import MEMORY, Reference, Session, session
from procedure import Trial, main

PACE = "600"
WAYS = ("ended and started", "killed and started", "started with its first row")


def epoch_change(trial: Trial) -> str:
    changes = len(WAYS) if trial.quick else 50
    reference = Reference.of(trial.fresh("reference"), speed=PACE)
    done: Counter[str] = Counter()
    epochs = sessions = 0
    while done.total() < changes:
        with session(reference, trial.fresh("session")) as one:
            assert one.until((one.folder / "feed" / "feed.json").exists), "the session was over at once"
            mine, first = 0, epoch_of(one)
            while done.total() < changes and one.until(partial(one.goes_on, time.time())):
                if not one.sleep(trial.rng.uniform(0, 0.3)):
                    break
                way = WAYS[done.total() % len(WAYS)]
                begin_again(one, way)
                done[way] += 1
                mine += 1
            one.finish()
            epoch = epoch_of(one) - first + 1
            # a feed that is ended before it has taken its epoch has published nothing
            assert min(mine, 1) < epoch <= mine + 1, f"epoch {epoch} after {mine} new starts"
            epochs, sessions = epochs + epoch, sessions + 1
    told = ", ".join(f"{way} {count} times" for way, count in done.items())
    return f"{epochs} epochs in {sessions} sessions, the feed {told}: Equal, and verified"


def epoch_of(one: Session) -> int:
    return msgspec.json.decode((one.folder / "feed" / "feed.json").read_bytes())["epoch"]


def begin_again(one: Session, way: str) -> None:
    """The feed ends, and is running again."""
    feed = one.feed
    starts = feed.starts
    if way == "killed and started":
        one.kill(feed)
    else:
        feed.signal(signal.SIGTERM)
        assert feed.process is not None
        feed.process.join()
    if way == "started with its first row":
        feed.words.append("--new")
    one.start(feed)
    if way == "started with its first row":
        feed.words.remove("--new")
    assert feed.starts == starts + 1


if __name__ == "__main__":
    main(epoch_change, within=MEMORY)
