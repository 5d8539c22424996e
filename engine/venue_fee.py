"""What the venue takes for a fill, and so what of a fill's fee impact charged beside it (rulebook sections 11, 12)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.broker.impact import NoImpact
from engine.broker.models import BrokerConfig, Fees
from engine.instruments import MICRO, Instrument, half_even
from engine.journal import RecordFlag, RecordKind

OTC = int(RecordFlag.OTC)


def venue_fee(fees: Fees, instrument: Instrument, price: int, size: int, *, maker: bool) -> int:
    """Micro-units of currency; negative is a rebate."""
    per_unit, ppm = (fees.maker_per_unit, fees.maker_ppm) if maker else (fees.taker_per_unit, fees.taker_ppm)
    return half_even(per_unit * size * MICRO + abs(instrument.value(price, size)) * ppm, MICRO)


def impact_charges(fills: NDArray[np.void], fees: Fees, instruments: Sequence[Instrument]) -> list[int]:
    """Micro-units of currency that impact charged to each of the FILL records, beside the venue's fee."""
    fields = ("instrument", "price", "size", "extra", "flags")
    return [
        paid - venue_fee(fees, instruments[number], price, size, maker=bool(flags & 1))
        for number, price, size, paid, flags in zip(*(fills[field].tolist() for field in fields), strict=True)
    ]


def charged_fills(records: NDArray[np.void], broker: BrokerConfig) -> NDArray[np.void]:
    """The FILL records that impact may charge: all where it is only a cost, else those that took."""
    if isinstance(broker.impact, NoImpact):
        return records[:0]
    fills = records[(records["kind"] == RecordKind.FILL) & ((records["flags"] & OTC) == 0)]
    return fills if broker.impact.mode == "cost" else fills[fills["flags"] == 0]
