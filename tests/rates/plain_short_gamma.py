"""The short-gamma backtest once more, in plain Python with a list of swaps: slow, readable, independent of ours.

It imports nothing of the engine and prices with ``statistics.NormalDist``; the strike of a delta is found by
bisection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import NormalDist

NORMAL = NormalDist()


@dataclass
class Leg:
    """One option leg sold at close 0, its hedges, and the cash that changed hands."""

    kind: str  # "payer", "receiver" or "straddle"
    delta: float | None  # None: at the money
    cash: float = 0.0
    notional: float = 1.0
    strike: float = 0.0
    swaps: list[tuple[float, float]] = field(default_factory=list)  # (notional, fixed rate), + pays fixed
    hedged: float = 0.0
    vega_traded: float = 0.0
    hedges: int = 0
    wealth: list[float] = field(default_factory=list)


def sell_and_hold(market: list[dict], leg: Leg, hedge_beyond: float, restrike_below: float, at_strike: bool) -> Leg:
    """``market`` is one dictionary a close: forward, annuity, settlement, years, offsets, vols."""
    first = market[0]
    leg.strike = strike_for(first, leg)
    leg.cash = price(first, leg)
    leg.vega_traded = vega(first, leg)
    first_gamma = leg.notional * gamma(first, leg)
    leg.wealth.append(0.0)
    for k, today in enumerate(market[1:], start=1):
        if k == len(market) - 1:
            leg.wealth.append(worth(today, leg))
            leg.hedged += abs(hedge(leg)) * today["annuity"]
            return leg
        if leg.notional * gamma(today, leg) < restrike_below * first_gamma:
            leg.cash -= leg.notional * price(today, leg)
            leg.vega_traded += leg.notional * vega(today, leg)
            leg.strike = strike_for(today, leg)
            leg.notional = first_gamma / gamma(today, leg)
            leg.cash += leg.notional * price(today, leg)
            leg.vega_traded += leg.notional * vega(today, leg)
        leg.wealth.append(worth(today, leg))
        wanted = leg.notional * delta(today, leg) * today["settlement"] / today["annuity"]
        if abs(wanted - hedge(leg)) > (hedge_beyond + 1e-9) * leg.notional:
            traded = wanted - hedge(leg)
            rate = leg.strike if at_strike else today["forward"]
            leg.cash -= traded * today["annuity"] * (today["forward"] - rate)
            leg.swaps.append((traded, rate))
            leg.hedged += abs(traded) * today["annuity"]
            leg.hedges += 1
    return leg


def worth(today: dict, leg: Leg) -> float:
    swaps = sum(notional * today["annuity"] * (today["forward"] - rate) for notional, rate in leg.swaps)
    return leg.cash - leg.notional * price(today, leg) + swaps


def hedge(leg: Leg) -> float:
    return sum(notional for notional, _ in leg.swaps)


def price(today: dict, leg: Leg) -> float:
    gap, s = today["forward"] - leg.strike, deviation(today, leg.strike)
    payer = max(gap, 0.0) if s == 0 else gap * NORMAL.cdf(gap / s) + s * NORMAL.pdf(gap / s)
    receiver = payer - gap
    return today["settlement"] * {"payer": payer, "receiver": receiver, "straddle": payer + receiver}[leg.kind]


def delta(today: dict, leg: Leg) -> float:
    upper = NORMAL.cdf((today["forward"] - leg.strike) / deviation(today, leg.strike))
    return {"payer": upper, "receiver": upper - 1, "straddle": 2 * upper - 1}[leg.kind]


def gamma(today: dict, leg: Leg) -> float:
    s = deviation(today, leg.strike)
    one = today["settlement"] * NORMAL.pdf((today["forward"] - leg.strike) / s) / s
    return 2 * one if leg.kind == "straddle" else one


def vega(today: dict, leg: Leg) -> float:
    return gamma(today, leg) * deviation(today, leg.strike) * math.sqrt(today["years"])


def deviation(today: dict, strike: float) -> float:
    return smile(today, strike - today["forward"]) * math.sqrt(today["years"])


def smile(today: dict, offset: float) -> float:
    nodes = list(zip(today["offsets"], today["vols"], strict=True))
    if offset <= nodes[0][0]:
        return nodes[0][1]
    for (left, low), (right, high) in pairwise(nodes):
        if offset <= right:
            return low + (high - low) * (offset - left) / (right - left)
    return nodes[-1][1]


def strike_for(today: dict, leg: Leg) -> float:
    """At the money, or where the leg's |delta| at the vol of the strike itself is ``leg.delta``."""
    if leg.delta is None:
        return today["forward"]
    sign = 1 if leg.kind == "payer" else -1
    near, far = 0.0, 0.25  # distance from the forward, in the direction that is out of the money
    for _ in range(53):
        middle = 0.5 * (near + far)
        tail = NORMAL.cdf(-middle / deviation(today, today["forward"] + sign * middle))
        near, far = (middle, far) if tail > leg.delta else (near, middle)
    return today["forward"] + sign * near
