"""F10: one of eight runners is stopped for a minute; market and others go on, and it comes back or says why not.

The time that the other seven take is not measured here: eight runners keep a small machine busy by themselves.
"""

from __future__ import annotations

import signal

from paper_session import MEMORY, Reference, memory_mib, session
from procedure import Trial, main

from engine.config import load
from engine.live.admin import Admin
from engine.live.session import live_of
from engine.verify import verify

RUNNERS = 8
HOLD_MS = "1000"  # once, for the one that is stopped
SPEED = 20
MOST_MIB = 64  # more than before, of feed and broker


def stopped_subscriber(trial: Trial) -> str:
    stopped_s = 10 if trial.quick else 60
    end = "2026-03-02T14:45" if trial.quick else "2026-03-02T15:10"
    reference = Reference.of(trial.fresh("reference"), end=end, accounts=RUNNERS, speed=str(SPEED), hold=HOLD_MS)
    with (
        session(reference, trial.fresh("session")) as one,
        Admin(live_of(load(reference.folder / "mine.toml"))) as admin,
    ):
        assert one.until(lambda: one.goes_on(one.begun))
        assert one.until(lambda: admin.standing().accounts[-1].answered > 100), "the session was over at once"
        before, mib = admin.standing(), [memory_mib(role) for role in (one.feed, one.broker)]
        slow = one.runners[trial.rng.randrange(RUNNERS)]
        slow.signal(signal.SIGSTOP)
        assert one.sleep(stopped_s), "the session ended while one was stopped"
        during = admin.standing()
        grown = max(memory_mib(role) - was for role, was in zip((one.feed, one.broker), mib, strict=True))
        slow.signal(signal.SIGCONT)
        one.until(lambda: one.is_over)
        one.sealed()
        found = verify(one.run_folder)
        assert found.matches, f"does not verify: {found}"
    others = [n for n, role in enumerate(one.runners) if role is not slow]
    steps = [during.accounts[n].answered - before.accounts[n].answered for n in others]
    missed = [during.accounts[n].skipped_wakes - before.accounts[n].skipped_wakes for n in others]
    assert min(steps) > 0.5 * SPEED * stopped_s, f"others were held up: {steps} wakes in {stopped_s} s"
    assert not any(missed), f"others were not waited for: {missed} wakes"
    assert grown < MOST_MIB, f"feed or broker grew by {grown:.0f} MiB"
    back = "caught up" if not slow.codes[:-1] else f"was started again after exit codes {slow.codes[:-1]}"
    return (
        f"one of {RUNNERS} stopped for {stopped_s} s: the others answered {min(steps)} wakes or more, all in time; "
        f"feed and broker grew by {grown:.1f} MiB at most; it {back}; verified from its own log"
    )


if __name__ == "__main__":
    main(stopped_subscriber, within=MEMORY)
