"""F31: one config gives one fingerprint whatever hash seed, time zone, locale and vector instructions a process has.

The whole form tries all combinations of a replay and attaches each kind of setting once; the quick form changes
everything at a time. numpy's `exp` and `log` may differ by instructions: a strategy that uses them is no part of this.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

from procedure import Trial, main

import engine

HASH_SEEDS = ("0", "1", "2", "12345", "4294967295")
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Pacific/Chatham")
WANTED_LOCALES = ("C", "C.utf8", "de_DE.utf8", "tr_TR.utf8", "en_US.utf8")
END = "2026-03-02T15:20:00Z"  # of the day that ships, whose order begins at 15:00


def determinism(trial: Trial) -> str:
    locales, features = known_locales(), switchable_features()
    settings = list(itertools.product(HASH_SEEDS, ZONES, locales, (False, True)))
    chosen = [("7", "Asia/Kolkata", locales[-1], True), ("random", "UTC", "C", False)] if trial.quick else settings
    attached = [("8", "America/New_York", locales[-1], False)] if trial.quick else settings[:: len(settings) // 8]
    first = fingerprint(trial, "run", ("0", "UTC", "C", False), features)
    for setting in chosen:
        found = fingerprint(trial, "run", setting, features)
        assert found == first, f"{setting}: {found}, not {first}"
    for setting in attached:
        found = fingerprint(trial, "paper", setting, features)
        assert found == first, f"attached, {setting}: {found}, not {first}"
    switched = f"without {', '.join(features)}" if features else "no instructions can be switched off here"
    return (
        f"{1 + len(chosen)} replays and {len(attached)} attached runs, one fingerprint {first[:16]}; "
        f"locales {', '.join(locales)}; {switched}"
    )


def fingerprint(trial: Trial, command: str, setting: tuple[str, str, str, bool], features: list[str]) -> str:
    """Of a run in a process of its own."""
    hash_seed, zone, locale, plain = setting
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(engine.__file__).parent.parent),
        "PYTHONHASHSEED": hash_seed,
        "TZ": zone,
        "LC_ALL": locale,
        "LANG": locale,
        "NPY_DISABLE_CPU_FEATURES": " ".join(features) if plain else "",
    }
    more = ["--no-counterfactual"] if command == "run" else []
    words = [command, "paper_demo", "--set", f"feed_params.end={END}", "--json", "--quiet", "--out", "run", *more]
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli", *words],
        cwd=trial.fresh("home"),
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command} {setting}: {done.stderr}"
    answer = json.loads(done.stdout)
    result = answer.get("result", answer)
    assert result["orders"]["fills"] > 0, "nothing was traded"
    return result["fingerprint"]


def known_locales() -> list[str]:
    """Those of the machine among what we want."""
    listed = subprocess.run(["locale", "-a"], capture_output=True, text=True).stdout.split()
    return [one for one in WANTED_LOCALES if one in {*listed, "C"}]


def switchable_features() -> list[str]:
    """Vector instructions that numpy would use here, and can do without."""
    core = importlib.import_module("numpy._core._multiarray_umath")
    return [name for name in core.__cpu_dispatch__ if core.__cpu_features__.get(name)]


if __name__ == "__main__":
    main(determinism)
