"""What a swaption is worth and how that moves: Bachelier's model on arrays that broadcast.

Forwards, strikes and normal vols are decimals (0.018; 0.008 is 80 bp a year), expiry is in years (Act/365), annuity is
the present value of 1 paid on each of the swap's fixed dates. Values are parts of notional: times 1e4 they are bp of
notional, divided by annuity first they are running bp. ``kind`` is ``PAYER`` (+1), ``RECEIVER`` (-1) or ``STRADDLE``
(0). ``black`` holds the same for lognormal vols.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import ConfigError
from engine.rates.bachelier import PAYER, RECEIVER, STRADDLE, fill_greeks, fill_implied_vol
from engine.rates.gaussian import fill_quantiles
from engine.rates.refusals import numbers, refuse

__all__ = [
    "PAYER",
    "RECEIVER",
    "STRADDLE",
    "Greeks",
    "gamma_neutral_amount",
    "implied_normal_vol",
    "price_swaption",
    "strike_for_delta",
]

Floats = NDArray[np.float64]


class Greeks(NamedTuple):
    """Each float64 of the broadcast shape, per unit of notional."""

    value: Floats
    delta: Floats  # per 1.00 of forward swap rate
    gamma: Floats  # of delta, per 1.00 of forward swap rate
    vega: Floats  # per 1.00 of vol
    theta: Floats  # per year that passes, <= 0


def price_swaption(
    forward: ArrayLike,
    strike: ArrayLike,
    normal_vol: ArrayLike,
    expiry: ArrayLike,
    *,
    annuity: ArrayLike = 1.0,
    kind: ArrayLike = PAYER,
) -> Greeks:
    """Value and greeks of bought swaptions; the annuity is held fixed in every derivative.

    ``theta = -normal_vol^2 gamma / 2``. At expiry 0 the value is intrinsic, delta is that of the exercise (at the
    money one half), and the other greeks are 0.

    Raises
    ------
    ConfigError
        If shapes do not broadcast, a vol or an annuity is not positive, an expiry is negative, or a number is not
        finite.

    Source: Bachelier (1900); see ``bachelier``.
    """
    inputs = checked_market(forward, strike, normal_vol, expiry, annuity, kind, vol_name="normal_vol")
    shape = inputs[0].shape
    out = np.empty((5, inputs[0].size))
    fill_greeks(*(one.ravel() for one in inputs), out)
    return Greeks(*(row.reshape(shape)[()] for row in out))


def implied_normal_vol(
    price: ArrayLike,
    forward: ArrayLike,
    strike: ArrayLike,
    expiry: ArrayLike,
    *,
    annuity: ArrayLike = 1.0,
    kind: ArrayLike = PAYER,
) -> Floats:
    """The normal vol that gives ``price`` (part of notional), by Newton's method on the logarithm of the time value.

    Raises
    ------
    ConfigError
        As ``price_swaption``; also if a price is not above intrinsic value, where no positive vol gives it.
    """
    price = numbers("price", price)
    inputs = checked_market(forward, strike, price, expiry, annuity, kind, vol_name="price")
    flat_forward, flat_strike, flat_price, flat_expiry, flat_annuity, flat_kind = (one.ravel() for one in inputs)
    refuse("expiry", inputs[3], inputs[3] == 0, "be > 0", "an expired option has no implied vol")
    out = np.empty(flat_price.size)
    fill_implied_vol(flat_forward - flat_strike, flat_price / flat_annuity, flat_expiry, flat_kind, out)
    vol = out.reshape(inputs[0].shape)
    refuse("price", inputs[2], np.isnan(vol), "be above intrinsic value", "check forward, strike, annuity and kind")
    return vol[()]


def strike_for_delta(
    delta: ArrayLike, forward: ArrayLike, normal_vol: ArrayLike, expiry: ArrayLike, *, kind: ArrayLike = PAYER
) -> Floats:
    """The strike of the payer or receiver whose delta per unit of annuity has the absolute value ``delta``.

    ``K = F - kind quantile(delta) normal_vol sqrt(expiry)``: the vol is that of the strike itself. Where vol depends
    on the strike, ``smile.strike_offset_for_delta`` solves for both.

    Raises
    ------
    ConfigError
        As ``price_swaption``; also if a delta is not between 0 and 1, or a kind is a straddle.
    """
    delta = numbers("delta", delta)
    refuse("delta", delta, ~((delta > 0) & (delta < 1)), "be between 0 and 1", "give 0.25 for a 25-delta strike")
    f, d, vol, years, _, sign = checked_market(forward, delta, normal_vol, expiry, 1.0, kind, vol_name="normal_vol")
    refuse("kind", sign, sign == STRADDLE, "be +1 (payer) or -1 (receiver)", "a straddle has no such strike")
    c = np.empty(d.size)
    fill_quantiles(d.ravel(), c)
    return (f - sign * c.reshape(f.shape) * vol * np.sqrt(years))[()]


def gamma_neutral_amount(delta: float) -> float:
    """Strangles of this ``delta`` a leg that have the gamma of one at-the-money straddle, at one vol: ``exp(c^2 / 2)``.

    c is the normal quantile of ``delta``. With skew, divide the gammas of ``price_swaption`` instead.
    """
    c = float(strike_for_delta(delta, 0.0, 1.0, 1.0, kind=RECEIVER))
    return math.exp(0.5 * c * c)


def checked_market(
    forward: ArrayLike,
    strike: ArrayLike,
    vol: ArrayLike,
    expiry: ArrayLike,
    annuity: ArrayLike,
    kind: ArrayLike,
    *,
    vol_name: str,
) -> list[NDArray]:
    """The six inputs in one shape, each contiguous, or one sentence about the first that is wrong."""
    given = {"forward": forward, "strike": strike, vol_name: vol, "expiry": expiry, "annuity": annuity}
    inputs = {name: numbers(name, value) for name, value in given.items()}
    for name in ("forward", "strike"):
        refuse(name, inputs[name], ~np.isfinite(inputs[name]), "be a finite rate", "leave out the days without one")
    for name in (vol_name, "annuity"):
        x = inputs[name]
        refuse(name, x, ~((x > 0) & (x < np.inf)), "be > 0 and finite", "leave out the days without a quote")
    years = inputs["expiry"]
    refuse("expiry", years, ~((years >= 0) & (years < np.inf)), "be >= 0 years", "leave out options that have expired")
    kinds = np.asarray(kind)
    known = (kinds == PAYER) | (kinds == RECEIVER) | (kinds == STRADDLE)
    refuse("kind", kinds, ~known, "be +1, -1 or 0", "give PAYER, RECEIVER or STRADDLE")
    named = {**inputs, "kind": kinds.astype(np.int64)}
    try:
        shape = np.broadcast_shapes(*(value.shape for value in named.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in named.items())
        raise ConfigError(f"shapes do not broadcast: {shapes}; give one shape, or scalars") from None
    # a kernel is compiled once only if it always gets contiguous, writable arrays
    full = (one if one.shape == shape else np.broadcast_to(one, shape).copy() for one in named.values())
    return [np.require(one, requirements=("C", "W")) for one in full]
