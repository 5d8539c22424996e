"""Synthetic days of DEMO that ship only as their recipe: to train on, and later ones to test on.

``python -m feeds.demo_days FOLDER`` writes a tape of quotes and trades for each day, FOLDER/2026-01-05 and on. Those
before 23 February 2026 are of another seed: no later day's path goes on from one that models are trained on. The five
from that day are those that ``demo_bars`` sums up, the next is ``demo_day``, byte for byte; then come more.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from engine.tape import Tape
from feeds.synthetic import DEMO, market_days

TRAINING = {"seed": 2, "date": "2026-01-05", "days": 33}
LATER = {"seed": 1, "date": "2026-02-23", "days": 26}  # the sixth is demo_day; the twenty after it test


def make_demo_days(folder: Path) -> list[Path]:
    """Write them all under ``folder``, over what is there; the tapes' folders, in order of time."""
    return [_saved(tape, folder) for part in (TRAINING, LATER) for tape in market_days(DEMO, view="L1", **part)]


def _saved(tape: Tape, folder: Path) -> Path:
    date = np.datetime64(tape.sessions[0][0], "ns").astype("datetime64[D]")
    return tape.save(folder / str(date), overwrite=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m feeds.demo_days", description="Days to train and test on.")
    parser.add_argument("folder", type=Path)
    for path in make_demo_days(parser.parse_args().folder):
        print(path)


if __name__ == "__main__":
    main()
