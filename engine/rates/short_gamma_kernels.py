"""The life of one short option leg under one hedging rule, close by close: the only place where the rule is written.

Wealth after the close k, per unit of the notional sold, at mid:

    W_k = premiums received - paid - notional value_k + annuity_k (hedge forward_k - paid_k),      W_0 = 0

``hedge`` is the notional of forward swaps on the option's own dates (+ pays fixed) and ``paid`` the sum of hedges
traded times their fixed rates, so that one number replaces a list of swaps. Costs are kept apart, as what was traded:
they are linear in it, and every cost setting reads the same walk.
"""

from __future__ import annotations

import math

from engine.compiled import compiled
from engine.rates.bachelier import STRADDLE, delta, gamma, value_and_delta
from engine.rates.gaussian import density
from engine.rates.smile import smile_vol, strike_offset_for_delta

# A leg that is restruck at 25 delta stands on a 25 % threshold: rounding of a strike must not decide about a hedge.
KNIFE_EDGE = 1e-9
# rows of a path, one column for each close
WEALTH, HEDGED, VEGA_TRADED, STRIKE, NOTIONAL, HEDGE, PAID = range(7)
PATH_ROWS = 7
# columns of a rule
HEDGE_BEYOND, RESTRIKE_BELOW, HEDGE_AT_STRIKE = range(3)


@compiled
def walk_all(forward, annuity, settlement, years, offsets, smiles, last, kinds, quantiles, owners, rules, scratch, out):
    """Add the totals of every sale n, leg and rule r to ``out[n, owners[leg], r]``, the premium after the last rule."""
    roots, valued, no_path = scratch[0], scratch[1:3], scratch[:, :0]
    for n in range(last.size):
        f, a, paid_on, smile, end = forward[n], annuity[n], settlement[n], smiles[n], last[n]
        fill_roots(years[n], end, roots)
        for i in range(kinds.size):
            kind, c, s = kinds[i], quantiles[i], owners[i]
            value_leg(f, a, paid_on, roots, offsets, smile, end, kind, c, False, valued)
            out[n, s, rules.shape[0], 0] += valued[0, 0]
            for r in range(rules.shape[0]):
                totals = walk(f, a, paid_on, roots, offsets, smile, end, kind, c, valued, rules[r], no_path)
                for column in range(4):
                    out[n, s, r, column] += totals[column]


@compiled
def trace_all(forward, annuity, settlement, years, offsets, smiles, last, kinds, quantiles, rule, scratch, paths):
    """The path of every sale and leg under one rule."""
    roots, valued = scratch[0], scratch[1:3]
    for n in range(last.size):
        f, a, paid_on, smile, end = forward[n], annuity[n], settlement[n], smiles[n], last[n]
        fill_roots(years[n], end, roots)
        for i in range(kinds.size):
            kind, c, path = kinds[i], quantiles[i], paths[n, i]
            value_leg(f, a, paid_on, roots, offsets, smile, end, kind, c, True, valued)
            walk(f, a, paid_on, roots, offsets, smile, end, kind, c, valued, rule, path)
            path[WEALTH, end + 1 :] = path[WEALTH, end]


@compiled
def fill_roots(years, last, roots):
    """Square roots of the years to expiry."""
    for k in range(last + 1):
        roots[k] = math.sqrt(years[k])


@compiled
def struck(forward, root, offsets, smiles, k, kind, quantile):
    """(strike, vol) of a leg at close k: at the money for quantile 0, else where its delta is that of the quantile."""
    offset = strike_offset_for_delta(offsets, smiles, k, -kind * quantile * root)
    return forward + offset, smile_vol(offsets, smiles, k, offset)


@compiled
def unit_vega(moneyness, deviation, root, kind):
    """Vega per unit of annuity."""
    legs = 2.0 if kind == STRADDLE else 1.0
    return legs * root * density(moneyness / deviation) if deviation > 0.0 else 0.0


@compiled
def value_once(moneyness, deviation, annuity, settlement, kind):
    """Value of a leg, and its delta as a notional of forward swaps."""
    level, slope = value_and_delta(moneyness, deviation, kind)
    return settlement * level, settlement / annuity * slope


@compiled
def value_leg(forward, annuity, settlement, roots, offsets, smiles, last, kind, quantile, marks, out):
    """The leg's strike at the sale followed to expiry: value in ``out[0]``, delta in forward swaps in ``out[1]``.

    Values between the first and the last close are only wanted for daily marks; without ``marks`` they are left out.
    """
    strike, _ = struck(forward[0], roots[0], offsets, smiles, 0, kind, quantile)
    for k in range(last + 1):
        moneyness = forward[k] - strike
        deviation = roots[k] * smile_vol(offsets, smiles, k, -moneyness)
        if marks or k == 0 or k == last:
            out[0, k], out[1, k] = value_once(moneyness, deviation, annuity[k], settlement[k], kind)
        else:
            out[1, k] = settlement[k] / annuity[k] * delta(moneyness, deviation, kind)


@compiled
def walk(forward, annuity, settlement, roots, offsets, smiles, last, kind, quantile, valued, rule, path):
    """One leg sold at close 0 and held to close ``last``: (gross, hedged, vega traded, number of hedges).

    ``roots`` are square roots of the years to expiry and ``valued`` holds ``value_leg`` of the first strike. At closes
    1 .. last - 1 first the restrike rule, then the hedge rule: where |option delta + hedges| exceeds the threshold
    times the notional, hedge to zero. The close ``last`` is settlement and the unwind of the hedge. ``path[:, 0 ..
    last]`` is filled where it has columns; then ``valued`` needs its marks.
    """
    threshold, restrike, at_strike = rule[HEDGE_BEYOND], rule[RESTRIKE_BELOW], rule[HEDGE_AT_STRIKE] != 0.0
    strike, vol = struck(forward[0], roots[0], offsets, smiles, 0, kind, quantile)
    cash, notional, hedge, paid = valued[0, 0], 1.0, 0.0, 0.0
    moneyness, deviation = forward[0] - strike, vol * roots[0]
    target = settlement[0] * gamma(moneyness, deviation, kind)
    vega = settlement[0] * unit_vega(moneyness, deviation, roots[0], kind)
    wealth, all_hedged, all_vega, hedges = 0.0, 0.0, vega, 0
    is_first, keeps_path = True, path.shape[1] > 0  # the first strike stands
    if keeps_path:
        _note(path, 0, (wealth, 0.0, vega, strike, notional, hedge, paid))
    for k in range(1, last + 1):
        unit, slope, vega = valued[0, k], valued[1, k], 0.0
        if restrike > 0.0:
            moneyness = forward[k] - strike
            deviation = roots[k] * smile_vol(offsets, smiles, k, -moneyness)
            is_due = k < last and notional * settlement[k] * gamma(moneyness, deviation, kind) < restrike * target
            if is_due or not is_first:
                unit, slope = value_once(moneyness, deviation, annuity[k], settlement[k], kind)
            if is_due:
                vega = notional * settlement[k] * unit_vega(moneyness, deviation, roots[k], kind)
                cash -= notional * unit
                strike, notional, unit, slope, sold = restruck(
                    forward[k], annuity[k], settlement[k], roots[k], offsets, smiles, k, kind, quantile, target
                )
                cash += notional * unit
                vega += sold
                all_vega += vega
                is_first = False
        if keeps_path or k == last:
            wealth = cash - notional * unit + annuity[k] * (hedge * forward[k] - paid)
        wanted = hedge
        if k == last:
            wanted = 0.0
        elif abs(hedge - notional * slope) > (threshold + KNIFE_EDGE) * notional:
            wanted = notional * slope
            hedges += 1
        traded = wanted - hedge
        fixed_rate = strike if at_strike else forward[k]
        cash -= traded * annuity[k] * (forward[k] - fixed_rate)
        paid += traded * fixed_rate
        hedge = wanted
        all_hedged += abs(traded) * annuity[k]
        if keeps_path:
            _note(path, k, (wealth, abs(traded) * annuity[k], vega, strike, notional, hedge, paid))
    return wealth, all_hedged, all_vega, float(hedges)


@compiled
def restruck(forward, annuity, settlement, root, offsets, smiles, k, kind, quantile, target):
    """(strike, notional, value, delta in forward swaps, vega) of a leg sold anew at close k with gamma ``target``."""
    strike, vol = struck(forward, root, offsets, smiles, k, kind, quantile)
    moneyness, deviation = forward - strike, vol * root
    unit, slope = value_once(moneyness, deviation, annuity, settlement, kind)
    notional = target / (settlement * gamma(moneyness, deviation, kind))
    return strike, notional, unit, slope, notional * settlement * unit_vega(moneyness, deviation, root, kind)


@compiled
def _note(path, k, values):
    for row in range(PATH_ROWS):
        path[row, k] = values[row]
