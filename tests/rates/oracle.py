"""QuantLib, the oracle of these tests, or a skip where it is not installed."""

import numpy as np
import pytest

ql = pytest.importorskip("QuantLib")
EPOCH = ql.Date(1, 1, 1970).serialNumber()


def ql_date(day):
    """A QuantLib date from datetime64[D]."""
    return ql.Date(int(np.datetime64(day, "D").astype(np.int64)) + EPOCH)


def from_ql(date):
    """datetime64[D] from a QuantLib date."""
    return np.datetime64(date.serialNumber() - EPOCH, "D")
