"""Fair worlds by the hundred: the market of 1Mx10Y sales alone, straight from the model, where nothing earns.

``feeds.synthetic_rates`` with every switch off, without its panels: forward rates and annuities of each contract come
from the model's discount factors in place of a bootstrap of rounded quotes, vols from the two expiries and the tenor
that the sales read. A fair smile is symmetric, so half of its strikes are computed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.rates.holidays import is_business_day
from engine.rates.option_panel import OptionPanel
from engine.rates.schedules import add_months
from engine.rates.short_gamma_programme import Market
from engine.rates.swap_curve import FixedLegs
from engine.rates.swaption_contract import expiry_date, underlyings
from engine.rates.vol_surface import fill_smile
from feeds.fair_vols import Asked, Nodes, market_vols
from feeds.rates_path import SWAP, fill_discounts
from feeds.synthetic_rates import CALENDAR, RatesParams, World, make_world

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EXPIRY_DAYS = (30, 91)
TENOR_YEARS = 10.0
TENOR_MONTHS = 120


class FairWorlds:
    """Fair histories of one length and start, a seed each; their contracts' dates are worked out once.

    Parameters
    ----------
    start : datetime64[D]
        The first close is on it, or on the next business day.
    years : int
        Of each history.
    params : RatesParams, optional
        What the world is like; its dates and nodes are set here.
    """

    def __init__(self, start: np.datetime64, years: int, params: RatesParams | None = None) -> None:
        first = start.astype("datetime64[D]")
        while not is_business_day(first, CALENDAR):
            first += 1
        plain = params or RatesParams()
        self._params = _with(plain, date=str(first), years=years, has_bonds=False)
        end = add_months(first, 12 * years)
        every = first + np.arange(int((end - first).astype(np.int64)))
        self._first, self._dates = first, every[is_business_day(every, CALENDAR)]
        expiry = expiry_date(self._dates, 1, calendar=CALENDAR)
        self._contracts = underlyings(expiry, TENOR_MONTHS)
        at = np.minimum(np.searchsorted(self._dates, expiry), self._dates.size - 1)
        self._sold = np.flatnonzero(self._dates[at] == expiry)
        self._last = at[self._sold] - self._sold

    def market(self, seed: int) -> Market:
        """The history of one seed."""
        world = make_world(self._params, seed)
        surface = self._surface(world)
        forward, annuity = self._rates(world)
        n, m = self._sold.size, int(self._last.max()) + 1
        smiles, years = np.ones((n, m, surface.shape[2])), np.zeros((n, m))
        left = (self._contracts.expiry - self._first).astype(np.int64)
        expiries = np.array(EXPIRY_DAYS) / 365.0
        _fill_marks(self._sold, self._last, left, world.closes, expiries, surface, years, smiles)
        sold, k = self._sold[:, None], np.arange(m)
        seen = np.minimum(k, forward.shape[1] - 1)
        panel = OptionPanel(
            self._dates, self._sold, self._last, forward[sold, seen], annuity[sold, seen], years, smiles,
            offsets=self._offsets,
        )  # fmt: skip
        middle = surface.shape[2] // 2
        return Market(panel, surface[:, 0, middle].copy(), surface[:, 1, middle].copy(), forward[:, 0].copy())

    @property
    def _offsets(self) -> Floats:
        away = np.unique(np.abs(np.array(self._params.vol_offsets_bp))) * 1e-4
        return np.concatenate([-away[:0:-1], away])

    def _surface(self, world: World) -> Floats:
        """[close, expiry, offset] at the swaps' tenor."""
        away = self._offsets[self._offsets.size // 2 :]
        nodes = Nodes(np.array(EXPIRY_DAYS, np.int64), np.array([TENOR_YEARS]), away)
        known, on = world.path.variance[world.closes], world.closes
        quiet = Asked(0.0, np.zeros((on.size, len(EXPIRY_DAYS))), 0.0)
        half = market_vols(world.motion, world.path, known, on, nodes, quiet)[:, :, 0]
        return np.concatenate([half[:, :, :0:-1], half], axis=2)

    def _rates(self, world: World) -> tuple[Floats, Floats]:
        """Forward rate and annuity of each close's contract, sold or not, at the closes up to its expiry: [d, m]."""
        d, m = self._dates.size, int(self._last.max()) + 1
        legs: FixedLegs = self._contracts.legs
        closes = np.arange(d)[:, None] + np.arange(m)
        inside = closes < d
        owner, k = np.nonzero(inside)
        payments = np.diff(legs.offsets)[owner]
        offsets = np.concatenate([[0], np.cumsum(payments + 1)])
        until = np.empty(offsets[-1], np.int64)
        paid = (legs.pay - self._first).astype(np.int64)
        begins = (legs.start - self._first).astype(np.int64)
        _fill_until(owner, legs.offsets, begins, paid, offsets, until)
        factors = np.empty(until.size)
        day = world.closes[closes[owner, k]]
        fill_discounts(world.motion, world.path, SWAP, day, offsets, until, factors)
        rates = np.ones((2, d, m))
        _fill_rates(owner, k, legs.offsets, legs.accrual, offsets, factors, rates)
        return rates[0], rates[1]


def _with(params: RatesParams, **changes: object) -> RatesParams:
    from msgspec.structs import replace

    return replace(params, **changes)


@compiled
def _fill_until(owner, legs, begins, paid, offsets, until):
    """Start and payment days of each contract and close."""
    for i in range(owner.size):
        until[offsets[i]] = begins[owner[i]]
        for j in range(legs[owner[i]], legs[owner[i] + 1]):
            until[offsets[i] + 1 + j - legs[owner[i]]] = paid[j]


@compiled
def _fill_rates(owner, k, legs, accrual, offsets, factors, rates):
    for i in range(owner.size):
        annuity = 0.0
        for j in range(offsets[i] + 1, offsets[i + 1]):
            annuity += accrual[legs[owner[i]] + j - offsets[i] - 1] * factors[j]
        rates[0, owner[i], k[i]] = (factors[offsets[i]] - factors[offsets[i + 1] - 1]) / annuity
        rates[1, owner[i], k[i]] = annuity


@compiled
def _fill_marks(sold, last, expiry, closes, expiries, surface, years, smiles):
    """Option time and smile of each sale at each close up to its expiry; vols are those of one tenor."""
    tenor = np.array([10.0])
    for n in range(sold.size):
        for k in range(last[n] + 1):
            at = sold[n] + k
            years[n, k] = (expiry[sold[n]] - closes[at]) / 365.0
            vols = surface[at].reshape(surface.shape[1], 1, surface.shape[2])
            fill_smile(expiries, tenor, vols, years[n, k], 10.0, smiles[n, k])
