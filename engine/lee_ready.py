"""Which side began a trade that was recorded without one (Lee and Ready 1991)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled


@compiled
def lee_ready_side(price, twice_mid, quoted, last_change):
    """+1 above the mid, -1 below; at it, or unquoted, the sign of the last change of the traded price."""
    if quoted and 2 * price != twice_mid:
        return 1 if 2 * price > twice_mid else -1
    return last_change


@compiled
def _sides(price, twice_mid, quoted, out):
    last_change = 0
    for i in range(price.size):
        if i > 0 and price[i] != price[i - 1]:
            last_change = 1 if price[i] > price[i - 1] else -1
        out[i] = lee_ready_side(price[i], twice_mid[i], quoted[i], last_change)


def lee_ready(
    price: NDArray[np.int64], bid: NDArray[np.int64], ask: NDArray[np.int64], quoted: NDArray[np.bool_]
) -> NDArray[np.int8]:
    """The aggressor of each trade: +1 above the mid, -1 below; at it, or unquoted, by the last change of price.

    Parameters
    ----------
    price, bid, ask : int64[n]
        The trade, and the quote that stood before it.
    quoted : bool[n]
        Whether that quote was two-sided and not crossed.

    Returns
    -------
    int8[n]
        0 only before the first change of price.

    Source: Lee and Ready (1991), J. Finance 46, 733, without their five-second lag, which fitted slower reports.
    """
    out = np.zeros(len(price), np.int8)
    _sides(np.ascontiguousarray(price), np.ascontiguousarray(bid + ask), np.ascontiguousarray(quoted), out)
    return out
