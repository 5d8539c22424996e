"""How a paper broker stands, read off its role."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.journal import RecordKind
from engine.live.standing import AccountStanding, Latch, Standing

if TYPE_CHECKING:
    from engine.live.broker_role import BrokerRole


def standing_of(role: BrokerRole) -> Standing:
    """Positions and P/L are the venue's, at marks where there are any; orders are those that the account knows."""
    core, receiver = role.core, role.receiver
    counters = receiver.counters
    return Standing(
        role="broker",
        run=role.config.name,
        state=_state(role),
        market_ts=(core.venue.clock if core is not None else 0) or role.market_ts,
        ts_pub=role.ts_pub,
        rows=core.seq if core is not None else 0,
        next_seq=receiver.known,
        epoch=max(0, receiver.epoch),
        ended=receiver.ended,
        recoveries=counters["REQUESTS"],
        gaps=counters["GAP"],
        duplicates=counters["DUP"],
        records=core.records.count if core is not None else 0,
        entries=role.appended,
        waiting_for=_waited_for(role),
        late_orders=sum(mine.late for mine in role.attachments),
        skipped_wakes=role.skipped_wakes,
        refused=dict(sorted(role.refused.items())),
        latches=[
            Latch(number=number, account=role.accounts[account].name, why=why)
            for number, (account, why) in role.latches.in_force.items()
        ],
        accounts=[_account(role, n) for n in range(len(role.accounts))],
    )


def _state(role: BrokerRole) -> str:
    core = role.core
    if core is None:
        return "joining"
    return "ended" if core.ended else "waiting" if core.waiting is not None else "running"


def _waited_for(role: BrokerRole) -> list[str]:
    core = role.core
    if core is None:
        return [role.accounts[n].name for n in range(role.strategies) if role.attachments[n].heard_at == 0]
    return [] if core.waiting is None else [role.accounts[core.waiting].name]


def _account(role: BrokerRole, n: int) -> AccountStanding:
    mine, core = role.attachments[n], role.core
    found = AccountStanding(
        name=role.accounts[n].name,
        is_client=not mine.attached,
        attached=bool(mine.peer),
        late_orders=mine.late,
        skipped_wakes=len(mine.skipped),
    )
    if core is None:
        return found
    venue = core.venue
    worth = dict.fromkeys(venue.currencies, 0)
    positions: dict[str, int] = {}
    for i, (entry, instrument) in enumerate(zip(venue.ledger[n], venue.instruments, strict=True)):
        position, mark = int(entry["position"]), venue.mark(i)
        worth[instrument.currency] += int(entry["cash"])
        if position:
            positions[instrument.symbol] = position
            worth[instrument.currency] += instrument.value(mark, position) if mark is not None else 0
    if venue.dealer is not None:
        for market, instrument in enumerate(venue.instruments):
            worth[instrument.currency] += venue.dealer.books[n].equity(market)
    orders, fills, rejected = (int(core.records.kinds[n, kind]) for kind in COUNTED)
    return AccountStanding(
        **{name: getattr(found, name) for name in found.__struct_fields__ if name not in _OF_THE_CORE},
        wakes=core.numbers[n] + 1,
        answered=core.numbers[n] + (core.waiting != n),
        positions=positions,
        pnl={currency: money for currency, money in worth.items() if money},
        open_orders=len(venue.open_orders(n)),
        orders=orders,
        fills=fills,
        rejected=rejected,
    )


COUNTED = (RecordKind.ORDER, RecordKind.FILL, RecordKind.REJECT)
_OF_THE_CORE = {"wakes", "answered", "positions", "pnl", "open_orders", "orders", "fills", "rejected"}
