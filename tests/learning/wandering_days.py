"""Short sessions whose mid wanders: nothing that can be seen says where it goes next."""

import numpy as np

from engine.instruments import Instrument
from engine.strategy import SECOND
from engine.tape import ROW, Flag, Kind, Manifest, Tape

DAY, LENGTH = 86_400 * SECOND, 260  # seconds


def wandering(seed: int, day: int = 20_600, rows: int = 1_500) -> Tape:
    """A session of quotes and trades whose mid wanders."""
    rng = np.random.default_rng(seed)
    tape, opening = np.zeros(rows, ROW), day * DAY + 15 * 3_600 * SECOND
    tape["ts_event"] = tape["ts_recv"] = np.sort(rng.integers(opening, opening + LENGTH * SECOND, rows))
    tape["flags"] = Flag.LAST
    bid = 400_000 + 100 * np.cumsum(rng.choice((-1, 0, 0, 1), rows))
    trades, side = rng.random(rows) < 0.3, rng.choice((-1, 1), rows)
    tape["kind"] = np.where(trades, Kind.TRADE, Kind.QUOTE)
    tape["price"] = np.where(trades & (side > 0), bid + 200, bid)
    tape["side"] = np.where(trades, side, 0)
    tape["size"] = rng.integers(100, 600, rows)
    tape["price2"], tape["size2"] = np.where(trades, 0, bid + 200), np.where(trades, 0, rng.integers(100, 600, rows))
    instrument = Instrument(symbol="DEMO", price_unit="1/10000", tick=100, book="L1", levels=1)
    session = (opening, opening + LENGTH * SECOND)
    return Tape(tape, Manifest(name="wandering", instruments=[instrument], sessions=[session], synthetic=True))
