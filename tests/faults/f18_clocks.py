"""F18: wall clocks that jump, drift, or stand at 2038 and at the change of summer time, and five time zones: Equal.

libfaketime changes the clock of each role apart (`apt install libfaketime`); the monotonic clock is left as it is.
"""

from __future__ import annotations

from pathlib import Path

from paper_session import MEMORY, Reference, session
from procedure import Trial, main

LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")
ZONES = ("UTC", "America/New_York", "Europe/London", "Asia/Kolkata", "Pacific/Chatham")
CLOCKS = {
    "an hour ahead": "+1h",
    "an hour behind": "-1h",
    "5 % fast": "+0 x1.05",
    "5 % slow": "+0 x0.95",
    "2038": "@2038-01-19 03:14:00",
    "2026-03-08": "@2026-03-08 06:59:58",  # New York changes at 07:00 UTC
    "2026-03-29": "@2026-03-29 00:59:58",  # London at 01:00 UTC
    "2026-10-25": "@2026-10-25 00:59:58",
    "2026-11-01": "@2026-11-01 05:59:58",
}


def clocks(trial: Trial) -> str:
    reference = Reference.of(trial.fresh("reference"), end="2026-03-02T14:33", least_fills=1)
    for zone in ZONES[1:2] if trial.quick else ZONES:
        one_session(trial, reference, {role: {"TZ": zone} for role in ("feed", "broker", "runner")})
    zones = f"{1 if trial.quick else len(ZONES)} time zones: Equal, and verified"
    library = next((str(path) for pattern in LIBRARIES for path in Path("/").glob(pattern[1:])), None)
    if library is None:
        return f"{zones}; wall clocks skipped (libfaketime is not installed)"
    wanted = {name: CLOCKS[name] for name in ("an hour ahead", "2026-03-08")} if trial.quick else CLOCKS
    for clock in wanted.values():
        one_session(trial, reference, {role: faked(library, clock) for role in ("feed", "broker", "runner")})
        one_session(trial, reference, {"broker": faked(library, clock)})
    jumps(trial, reference, library)
    return f"{zones}; {len(wanted)} wrong clocks of all roles and of the broker alone, and one that jumps: the same"


def faked(library: str, clock: str) -> dict[str, str]:
    """The environment of a role with that clock, in the zone where the hour changes."""
    return {"LD_PRELOAD": library, "FAKETIME": clock, "DONT_FAKE_MONOTONIC": "1", "TZ": "UTC"}


def jumps(trial: Trial, reference: Reference, library: str) -> None:
    """The wall clocks of all roles jump two hours to and fro, twice a second."""
    file = trial.folder / "clock"
    file.write_text("+1h")
    how = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1"}
    environment = {role: {**how, "DONT_FAKE_MONOTONIC": "1"} for role in ("feed", "broker", "runner")}
    with session(reference, trial.fresh("session"), environment=environment) as one:
        n = 0
        while one.sleep(0.5):
            n += 1
            replacement = file.with_suffix(".new")
            replacement.write_text(("+1h", "-1h")[n % 2])
            replacement.replace(file)
        one.finish()


def one_session(trial: Trial, reference: Reference, environment: dict[str, dict[str, str]]) -> None:
    with session(reference, trial.fresh("session"), environment=environment) as one:
        try:
            one.finish()
            date = environment["broker"].get("FAKETIME", "").removeprefix("@")[:10]
            started = one.sealed().manifest.started
            assert "-" not in date[1:] or started.startswith(date), f"the clock was not changed: began {started}"
        except AssertionError as broken:
            raise AssertionError(f"with {environment}: {broken}") from None


if __name__ == "__main__":
    main(clocks, within=MEMORY)
