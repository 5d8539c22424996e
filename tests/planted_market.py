"""A market whose queue tells its next move, or not; and a model that reads the queue and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.broker.trees import NODE, Trees
from engine.instruments import Instrument
from engine.model_file import InstrumentFacts, Manifest, save_model
from engine.signals import NAMES
from engine.tape import ROW, Flag, Kind, Tape
from engine.tape import Manifest as TapeManifest

MILLISECOND, SECOND = 1_000_000, 1_000_000_000
START = 1_767_623_400_000_000_000  # 2026-01-05 14:30 UTC
TICK = 100  # price units, a cent
JUMP = 5  # ticks
LEAD = 50 * MILLISECOND


def queue_model(folder: Path, *, stale_ns: int = SECOND, horizon: int = 1) -> str:
    """Three quarters of the touch on one side: the mid goes to the other, with probability 0.8."""
    at = NAMES.index("queue_imbalance")
    leaf = np.inf
    nodes = [(-0.5, at, 1, -1), (leaf, 0, 1, 0), (0.5, at, 3, -1), (leaf, 0, 3, 1), (leaf, 0, 4, 2)]
    values = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    trees = Trees.of(np.array(nodes, NODE), np.array([0, 5]), values, n_features=len(NAMES))
    facts = InstrumentFacts(symbol="XYZ", price_unit="1/10000", tick=TICK, size_unit="1", lot=1)
    cdf = [(50 * MILLISECOND, 0.0), (50 * MILLISECOND + 1, 1.0)]
    manifest = Manifest(
        instrument=facts, clock="quote", horizon=horizon, features=list(NAMES), stale_ns=stale_ns, horizon_cdf=cdf
    )
    save_model(folder, manifest, trees)
    return str(folder)


def leading_tape(folder: Path, *, seconds: int = 500, at_ns: int = SECOND // 2, told: bool = True) -> str:
    """A quote a second leans to one side at that part of it; ``LEAD`` later the mid jumps that way, untold any way."""
    rng = np.random.Generator(np.random.Philox(5))
    lean = rng.choice([-1, 1], seconds)
    jump = lean if told else rng.choice([-1, 1], seconds)
    rows = np.zeros(2 * seconds, ROW)
    after = 100_0000 + JUMP * TICK * np.cumsum(jump)
    before = np.concatenate([[100_0000], after[:-1]])
    mid = np.column_stack([before, after]).ravel()
    full = np.column_stack([lean, np.zeros(seconds, np.int64)]).ravel()
    begin = START + at_ns + SECOND * np.arange(seconds)
    rows["ts_event"] = rows["ts_recv"] = np.column_stack([begin, begin + LEAD]).ravel()
    rows["kind"], rows["flags"] = Kind.QUOTE, Flag.LAST
    rows["price"], rows["price2"] = mid - TICK, mid + TICK
    rows["size"], rows["size2"] = 500 + 400 * full, 500 - 400 * full
    session = (START, START + (seconds + 1) * SECOND)
    manifest = TapeManifest(name="leading", instruments=[Instrument(symbol="XYZ")], sessions=[session], synthetic=True)
    Tape(rows, manifest).save(folder)
    return str(folder)
