"""Two minutes of quotes and trades at random, with halts and empty sides: long enough for timers of a second."""

import numpy as np

from engine.instruments import Instrument
from engine.strategy import SECOND
from engine.tape import ROW, Flag, Kind, Manifest, State, Tape

OPEN = 1_000 * SECOND
CLOSE = OPEN + 120 * SECOND
TICK = 100


def small_market(seed: int, rows: int = 600, *, trouble: float = 0.02) -> Tape:
    """An L1 tape of the stock X; ``trouble`` is the chance of a halt or an empty side at a row."""
    rng = np.random.default_rng(seed)
    tape = np.zeros(rows, ROW)
    tape["ts_event"] = tape["ts_recv"] = np.sort(rng.integers(OPEN, CLOSE, rows))
    tape["flags"] = Flag.LAST
    bid, state = 100 * TICK, State.OPEN
    for row in tape:
        sizes = rng.integers(1, 400, 2) * (rng.random(2) >= trouble)
        what = rng.random()
        if state != State.OPEN or what < trouble:
            state = State.OPEN if state != State.OPEN else State.HALT
            row["kind"], row["level"] = Kind.STATUS, state
        elif what < 0.4:
            side = int(rng.choice((-1, 1)))
            row["kind"], row["side"], row["size"] = Kind.TRADE, side, rng.integers(1, 300)
            row["price"] = bid if side < 0 else bid + TICK
        else:
            bid += int(rng.choice((-1, 0, 0, 0, 1))) * TICK
            row["kind"], row["price"], row["size"] = Kind.QUOTE, bid, sizes[0]
            row["price2"], row["size2"] = bid + TICK, sizes[1]
    instrument = Instrument(symbol="X", price_unit="1/10000", tick=TICK, book="L1", levels=1)
    return Tape(tape, Manifest(name="small", instruments=[instrument], sessions=[(OPEN, CLOSE)], synthetic=True))
