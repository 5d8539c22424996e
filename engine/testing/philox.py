"""Philox4x32-10 in plain Python: the counter-based random numbers of the broker, one line per step.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

WORD = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)

ENTRY, RESPONSE, QUEUE, FEED = 1, 2, 3, 4  # purposes of a draw


def philox4x32(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Ten rounds of the cipher: four 32-bit words for a counter of four and a key of two."""
    a, b, c, d = counter
    left, right = key
    for _ in range(10):
        first, second = MULTIPLIERS[0] * a, MULTIPLIERS[1] * c
        a, b, c, d = (second >> 32) ^ b ^ left, second & WORD, (first >> 32) ^ d ^ right, first & WORD
        left, right = (left + WEYL[0]) & WORD, (right + WEYL[1]) & WORD
    return a, b, c, d


def draw(seed: int, purpose: int, account: int, order_no: int, n: int) -> int:
    """64 random bits for the ``n``-th draw of one order for one purpose, whatever was drawn before."""
    key = (seed & WORD, seed >> 32 & WORD)
    low, high, _, _ = philox4x32((order_no & WORD, order_no >> 32 & WORD, account + (purpose << 16), n), key)
    return high << 32 | low


def uniform(bits: int) -> float:
    """The top 53 of 64 bits as a float64 in [0, 1)."""
    return (bits >> 11) * 2.0**-53
