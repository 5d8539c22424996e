"""How long a message takes: constant, or drawn from a table of lognormal quantiles."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from engine.broker.kernel import kernel
from engine.broker.models import Lognormal
from engine.broker.philox import ENTRY, RESPONSE, draw
from engine.broker.state import accounts_of, table_of

QUANTILES = 4096


def quantile_table(model: Lognormal) -> NDArray[np.int64]:
    """int64[4096] of mid-quantiles in ns, without the floor."""
    normal = NormalDist()
    return np.array(
        [
            round(model.median_ns * math.exp(model.sigma * normal.inv_cdf((k + 0.5) / QUANTILES)))
            for k in range(QUANTILES)
        ],
        np.int64,
    )


@kernel
def entry_latency(w, account, order_no):
    """ns from desk to venue for an account's next request."""
    a = accounts_of(w)[account]
    a.n_requests += 1
    if w.p_entry_table == 0:
        return w.entry
    bits = draw(w.seed, ENTRY, account, order_no, a.n_requests - 1)
    return w.entry_floor + table_of(w.p_entry_table)[bits >> np.uint64(52)]


@kernel
def response_latency(w, account, order_no):
    """ns from venue to desk for an account's next report."""
    a = accounts_of(w)[account]
    a.n_reports += 1
    if w.p_response_table == 0:
        return w.response
    bits = draw(w.seed, RESPONSE, account, order_no, a.n_reports - 1)
    return w.response_floor + table_of(w.p_response_table)[bits >> np.uint64(52)]
