"""When fills add up to sizes: the kernel alone, so that what its callers import is no source of kernels."""

from __future__ import annotations

import numpy as np

from engine.compiled import compiled

NEVER = 1 << 62  # the time at which an order is done that is not


@compiled
def when_done(number, ts, size, sizes, done):
    """The times at which orders' fills, in order, came to each of the sizes: into ``done`` [orders, sizes]."""
    total = np.zeros(done.shape[0], np.int64)
    for f in range(number.size):
        n = number[f] - 1
        total[n] += size[f]
        for k in range(sizes.size):
            if sizes[k] <= total[n] and done[n, k] == NEVER:
                done[n, k] = ts[f]
