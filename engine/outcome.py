"""What a journal came to: the ledger folded from it, and what strategies say of their parent orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.broker.models import Account, BrokerConfig
from engine.parent import Parent
from engine.portfolio import fold
from engine.result import Result, balances, count_carried, count_orders, holdings, market_vwap, parent_cost
from engine.tape import Manifest
from engine.venue_fee import charged_fills, impact_charges


def outcome(
    records: NDArray[np.void],
    *,
    name: str,
    seed: int,
    partial: str,
    fingerprint: str,
    rows: int,
    span: tuple[int, int],
    manifest: Manifest,
    pieces: Sequence[NDArray[np.void]],
    accounts: Sequence[Account],
    parents: Sequence[Sequence[Parent]],
    declined: Mapping[str, int],
    broker: BrokerConfig,
) -> Result:
    """The result of RECORD[n].

    Parameters
    ----------
    records : RECORD[n]
    rows, span : int, (int, int)
        Of the market that was handed over: how many, and the times of the first and the last.
    manifest : Manifest
        Of the tape.
    pieces : sequence of ROW[n]
        The market's rows in order of time, for what its trades cost.
    accounts, parents
        Each account, and the parent orders of its strategy; fewer where a strategy has not been started.
    declined : mapping of reason to count
    broker : BrokerConfig
        Its fees say what of them was impact.
    """
    instruments = manifest.instruments
    ledger = fold(records, instruments, list(accounts))
    numbers = {instrument.symbol: number for number, instrument in enumerate(instruments)}
    orders_charged, holdings_charged = Counter[tuple[int, int]](), Counter[tuple[int, int]]()
    taken = charged_fills(records, broker)
    for record, money in zip(taken, impact_charges(taken, broker.fees, instruments), strict=True):
        orders_charged[int(record["account"]), int(record["order_no"])] += money
        holdings_charged[int(record["account"]), int(record["instrument"])] += money
    costs = []
    for account, of_strategy in enumerate(parents):
        for parent in of_strategy:
            number = numbers[parent.order.symbol]
            vwap = market_vwap(pieces, number, parent.order.start, parent.order.end)
            owner = accounts[account].name
            costs.append(parent_cost(parent, account, owner, instruments[number], records, vwap, orders_charged))
    return Result(
        name=name,
        fingerprint=fingerprint,
        seed=seed,
        partial=partial,
        rows=rows,
        ts_first=span[0],
        ts_last=span[1],
        synthetic=manifest.synthetic,
        records=len(records),
        orders=count_orders(records),
        balances=balances(ledger),
        holdings=holdings(ledger, holdings_charged),
        parents=costs,
        verdict=manifest.verdict,
        carried=count_carried(records),
        declined=dict(sorted(declined.items())),
    )
