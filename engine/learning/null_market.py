"""A market without alpha, made from a recorded day: what a study finds on it is luck or its own mistake.

The day keeps its times, spreads, sizes, trades and the sizes of the mid's moves. What goes is every link between what
can be seen and what comes:

1. an **episode** lasts from one change of the mid to the next;
2. the sign of each move is drawn anew, so that the mid is a martingale;
3. each episode is mirrored or not, bids for asks and buys for sells, by a coin of its own, so that no imbalance, no
   trade and no earlier move says anything of the sign that comes.

Whatever a strategy sees, its expected ``timing`` (``parent_parts``) is 0, on every model's advice. Spread, impact and
completion stay what they are without alpha. Moves no longer revert: the day is more volatile than the recorded one.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import TapeError
from engine.tape import Kind, Tape

Ints = NDArray[np.int64]


def null_day(tape: Tape, rng: np.random.Generator) -> Tape:
    """The day of quotes and trades with its moves drawn anew; every instrument for itself.

    Raises
    ------
    TapeError
        If an instrument has no plain quotes (its book is made of orders or of several levels), or the mid that was
        drawn would reach 0.
    """
    rows = np.array(tape.rows)
    for number, instrument in enumerate(tape.instruments):
        if instrument.book != "L1":
            raise TapeError(
                f"{instrument.symbol}: a null market is made of quotes and trades, but its book is {instrument.book}; "
                "leave the stock out"
            )
        _redraw(rows, np.flatnonzero(rows["instrument"] == number), instrument.symbol, rng)
    manifest = msgspec.structs.replace(
        tape.manifest, name=f"{tape.manifest.name}, moves drawn anew", synthetic=True, content="", recipe=""
    )
    return Tape(rows, manifest)


def _redraw(rows: NDArray[np.void], own: Ints, symbol: str, rng: np.random.Generator) -> None:
    """Change the rows of one instrument in place."""
    mine = rows[own]
    is_quote = mine["kind"] == Kind.QUOTE
    valid = is_quote & (mine["size"] > 0) & (mine["size2"] > 0) & (mine["price"] < mine["price2"])
    if not valid.any():
        return
    twice = mine["price"][valid] + mine["price2"][valid]
    moves = np.diff(twice)
    before = np.concatenate([[0], np.cumsum(moves != 0)])  # the episode of each valid quote
    starts = np.flatnonzero(np.concatenate([[True], moves != 0]))
    recorded = twice[starts]
    signs = rng.choice(np.array([-1, 1]), len(starts) - 1)
    drawn = recorded[0] + np.concatenate([[0], np.cumsum(signs * np.diff(recorded))])
    mirror = rng.choice(np.array([-1, 1]), len(starts))
    # what comes before the first valid quote is in its episode
    place = np.maximum(np.cumsum(valid) - 1, 0)
    episode = before[place]
    sign, old, new = mirror[episode], recorded[episode], drawn[episode]
    columns = {name: mine[name].astype(np.int64) for name in ("price", "price2")}
    # twice a price is old + (2 p - old): its distance from the mid is kept, or turned; 0 is no price and stays
    moved = {name: np.where(p != 0, (sign * (2 * p - old) + new) // 2, 0) for name, p in columns.items()}
    priced = is_quote | np.isin(mine["kind"], (Kind.TRADE, Kind.BAR))
    if (moved["price"][priced & (columns["price"] != 0)] <= 0).any():
        raise TapeError(f"{symbol}: the mid that was drawn reaches 0; draw with another seed")
    turned = is_quote & (sign < 0)
    mine["price"] = np.where(priced, np.where(turned, moved["price2"], moved["price"]), mine["price"])
    mine["price2"] = np.where(is_quote, np.where(turned, moved["price"], moved["price2"]), mine["price2"])
    size, size2 = mine["size"].copy(), mine["size2"].copy()
    mine["size"], mine["size2"] = np.where(turned, size2, size), np.where(turned, size, size2)
    mine["side"] = np.where(mine["kind"] == Kind.TRADE, sign * mine["side"], mine["side"])
    rows[own] = mine
