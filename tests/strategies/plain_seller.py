"""What a programme's deals bring in, in plain Python from the research path: with no rounding, and in the ledger's."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from engine.broker.models import Otc
from engine.contracts import TERMS, ContractClass, money_of, price_units
from engine.rates.contract_panel import Sales
from engine.rates.contract_values import open_market
from engine.rates.seller_programme import Programme
from engine.rates.short_gamma import trace
from engine.rates.short_gamma_kernels import HEDGE, NOTIONAL, STRIKE
from engine.tape import Tape, is_axis

BP = 1e-4


class Contract(NamedTuple):
    """Terms; the strike is unrounded."""

    kind: int  # +1 payer, -1 receiver, 0 the swap
    expiry: int
    start: int
    maturity: int
    strike: float

    @property
    def listed(self) -> tuple[int, int, int]:
        """Start, kind and strike in 1e-14: what tells a ledger's contracts apart."""
        return self.start, self.kind, price_units(self.strike)


class Deal(NamedTuple):
    """A change of what one sale holds of a contract."""

    sale: int
    leg: int
    day: int
    contract: Contract
    size: float  # per unit of notional
    units: int


class Prices:
    """Of contracts at the closes of a tape."""

    def __init__(self, tape: Tape, programme: Programme, otc: Otc) -> None:
        self.is_cash, self.otc = programme.is_cash_settled, otc
        days = range(len(tape.panels["date"]))
        self.markets = [open_market(_day(tape, day), programme.market) for day in days]

    def at(self, day: int, contract: Contract, *, listed: bool) -> tuple[float, float]:
        """(mid, half a spread), at the strike that research means or at that of the listed contract."""
        strike = price_units(contract.strike) / 1e14 if listed else contract.strike
        terms = np.zeros(1, TERMS)
        terms["type"] = ContractClass.SWAPTION if contract.kind else ContractClass.FORWARD_SWAP
        terms["side"], terms["is_cash"] = contract.kind, self.is_cash and contract.kind != 0
        terms["expiry"] = contract.expiry if contract.kind else 0
        terms["start"], terms["maturity"], terms["rate"] = contract.start, contract.maturity, strike
        pv, dv01, vega = (float(one[0]) for one in self.markets[day].values(terms, np.full(1, np.nan)))
        return pv, self.otc.swaption_vol_bp * BP * vega if contract.kind else self.otc.swap_bp * dv01


def deals(sales: Sales, programme: Programme, notional: int) -> list[Deal]:
    """Every deal before expiry of every sale, as the research path has it."""
    panel, found = sales.panel, []
    paths = trace(panel, programme.structure, programme.rule)
    legs = sales.contracts.legs
    for n, sold in enumerate(panel.sold.tolist()):
        expiry, start, maturity = (int(x.astype(int)) for x in (sales.contracts.expiry[n], legs.start[n], legs.end[n]))
        for leg, ((kind, _), path) in enumerate(zip(programme.structure.legs, paths[n].tolist(), strict=True)):
            was = (0.0, 0.0, 0.0)
            for k, now in enumerate(zip(path[STRIKE], path[NOTIONAL], path[HEDGE], strict=True)):
                if k == int(panel.last[n]):
                    break
                changes = []
                if now[:2] != was[:2]:
                    kinds = [1, -1] if kind == 0 else [kind]
                    changes += [(one, was[0], was[1], 0.0) for one in kinds if k]
                    changes += [(one, now[0], 0.0, -now[1]) for one in kinds]
                    changes = [(one, rate, -held if held else 0.0, to) for one, rate, held, to in changes]
                if now[2] != was[2]:
                    changes.append((0, now[0], was[2], now[2]))
                for one, strike, before, after in changes:
                    contract = Contract(one, expiry, start, maturity, strike)
                    units = round(notional * after) - round(notional * before)
                    found.append(Deal(n, leg, sold + k, contract, after - before, units))
                was = now
    return found


def exact_money(sales: Sales, all_deals: list[Deal], prices: Prices) -> np.ndarray:
    """What each sale brought in per unit of notional, float64[n]: sizes, prices and money unrounded.

    At expiry the net hedge is unwound at half a spread, and what was delivered is worth its mid.
    """
    money = np.zeros(len(sales.panel))
    held: dict[tuple[int, int, Contract], float] = defaultdict(float)
    for sale, leg, day, contract, size, _ in all_deals:
        mid, spread = prices.at(day, contract, listed=False)
        money[sale] -= size * mid + abs(size) * spread
        held[sale, leg, contract] += size
    hedges: dict[tuple[int, int, float], float] = defaultdict(float)
    for (sale, leg, contract), size in held.items():
        day = int(sales.panel.expired[sale])
        mid, spread = prices.at(day, contract._replace(kind=0), listed=False)
        if not contract.kind:
            money[sale] += size * mid
            hedges[sale, leg, spread] += size
        elif prices.is_cash:
            money[sale] += size * prices.at(day, contract, listed=False)[0]
        else:
            money[sale] += size * max(contract.kind * mid, 0.0)
    for (sale, _, spread), size in hedges.items():
        money[sale] -= abs(size) * spread
    return money


def ledger_money(sales: Sales, all_deals: list[Deal], prices: Prices) -> dict[tuple[int, int, int], int]:
    """Micro-units that each listed contract brought in, where the sales of ``all_deals`` are made."""
    by_close: dict[tuple[int, Contract], int] = defaultdict(int)
    for _, _, day, contract, _, units in all_deals:
        by_close[day, contract] += units
    money: dict[Contract, int] = defaultdict(int)
    held: dict[Contract, int] = defaultdict(int)

    def trade(day: int, contract: Contract, units: int) -> None:
        if units:
            mid, spread = prices.at(day, contract, listed=True)
            price = price_units(mid) + (1 if units > 0 else -1) * price_units(spread)
            money[contract] -= money_of(price, units)
            held[contract] += units

    for (day, contract), units in sorted(by_close.items()):
        trade(day, contract, units)
    ends = dict(zip(sales.contracts.expiry.astype(int).tolist(), sales.panel.expired.tolist(), strict=True))
    for contract in [one for one, units in held.items() if one.kind and units]:
        day, swap = ends[contract.expiry], contract._replace(kind=0)
        price = price_units(prices.at(day, contract if prices.is_cash else swap, listed=True)[0])
        paid = price if prices.is_cash else max(contract.kind * price, 0)
        money[contract] += money_of(paid, held[contract])
        if paid and not prices.is_cash:
            units = contract.kind * held[contract]
            money[swap] -= money_of(price, units)
            held[swap] += units
    for swap in [one for one in held if not one.kind]:
        trade(ends[swap.expiry], swap, -held[swap])
    return {contract.listed: amount for contract, amount in money.items()}


def _day(tape: Tape, day: int) -> dict[str, np.ndarray]:
    return {name: panel if is_axis(name) else panel[day] for name, panel in tape.panels.items()}
