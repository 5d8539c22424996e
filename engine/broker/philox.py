"""Counter-based randomness: the same (seed, purpose, account, order, n) gives the same bits, in any order of asking.

Philox4x32-10 of Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3".
"""

from __future__ import annotations

import numpy as np

from engine.broker.kernel import kernel

ENTRY, RESPONSE, QUEUE, FEED = 1, 2, 3, 4

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


@kernel
def philox(key0, key1, c0, c1, c2, c3):
    """Four 32-bit words (as uint64) of Philox4x32-10."""
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ key0, p1 & _LOW, (p0 >> _32) ^ c3 ^ key1, p0 & _LOW
        key0, key1 = (key0 + _W0) & _LOW, (key1 + _W1) & _LOW
    return c0, c1, c2, c3


@kernel
def draw(seed, purpose, account, order_no, n):
    """64 random bits (docs/simulation.md, section 9)."""
    s, o = np.uint64(seed), np.uint64(order_no)
    a, b, _, _ = philox(
        s & _LOW, s >> _32, o & _LOW, o >> _32, np.uint64(account) + np.uint64(65536) * np.uint64(purpose), np.uint64(n)
    )
    return a | (b << _32)


@kernel
def uniform(bits):
    """A float in [0, 1) from 64 bits."""
    return np.float64(bits >> np.uint64(11)) * (1.0 / 9007199254740992.0)
