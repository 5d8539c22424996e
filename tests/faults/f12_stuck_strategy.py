"""F12: a strategy sleeps ten seconds in a handler: at full speed the market waits, at a pace it goes on without it."""

from __future__ import annotations

import time

from paper_session import MEMORY, Reference, Session, session
from procedure import Trial, main

from engine.config import load
from engine.errors import RunError
from engine.live.admin import Admin
from engine.live.session import live_of
from engine.live.standing import Standing
from engine.verify import verify

GONE_S = 2.0  # of silence, after which what works is cancelled
HOLD_MS = "50"


def stuck_strategy(trial: Trial) -> str:
    patient = Reference.of(trial.fresh("patient"))
    with session(patient, trial.fresh("session")) as one:
        assert one.until(lambda: one.goes_on(one.begun))
        stick(one, patient)
        one.finish()
    paced = Reference.of(trial.fresh("paced"), end="2026-03-02T15:00", speed="60", hold=HOLD_MS)
    with session(paced, trial.fresh("session")) as one:
        assert one.until(lambda: one.goes_on(one.begun))
        gone_s, caught_up = watch(one, paced)
        one.until(lambda: one.is_over)
        one.sealed()
        found = verify(one.run_folder)
        assert found.matches, f"does not verify: {found}"
    assert gone_s <= GONE_S, f"orders worked for {gone_s:.1f} s"
    return (
        f"at full speed the market waited for it: Equal; at 60 times real time it went on, cancelled what worked after "
        f"{gone_s:.1f} s, and took {caught_up} late answers; verified from its own log"
    )


def stick(one: Session, reference: Reference) -> None:
    """The next wake sleeps; comes back once it does."""
    stuck = reference.folder / "stuck"
    stuck.touch()
    assert one.until(lambda: not stuck.exists()), "the strategy was not woken"


def watch(one: Session, reference: Reference) -> tuple[float, int]:
    """Seconds from when it was stuck until nothing works any more, and late answers once it has caught up."""
    with Admin(live_of(load(reference.folder / "mine.toml"))) as admin:

        def standing() -> Standing:
            try:
                return admin.standing()
            except RunError as error:
                raise AssertionError(f"the broker does not answer while a strategy is stuck: {error}") from None

        assert one.until(lambda: standing().accounts[0].open_orders > 0), "no order ever works"
        rows = standing().rows
        stick(one, reference)
        begun = time.monotonic()
        assert standing().accounts[0].open_orders, "nothing works: nothing is tried"
        while standing().accounts[0].open_orders:
            assert one.sleep(0.02), "the session ended before anything was cancelled"
            assert time.monotonic() - begun < 5 * GONE_S, "orders still work, and nobody looks after them"
        gone_s = time.monotonic() - begun
        assert one.sleep(11), "the session ended too early to see the strategy come back"
        after = standing()
        assert after.rows > rows, "the market stood still"
        assert after.accounts[0].answered > 0
        return gone_s, after.late_orders


if __name__ == "__main__":
    main(stuck_strategy, within=MEMORY)
