"""How our own executions move the price: models, regional parameters, and what a run prepares from them.

The price that the strategy and its later child orders meet is ``p = p0 (1 + 1e-4 I)``; a fill of a schedule is also
charged half a spread or a part of it (``spread_part``), which a replay pays at the touch anyway. I, in basis points:

=================  ==============================================================================================
MI.1, MI.2, HFMI   transient: impulses that decay as a power of the market volume since (the kernels differ; below)
square root        Y sigma sign(Q) sqrt(|Q| / V), Q our net size so far: does not decay
Almgren-Chriss     lasting g sigma Q / V, and temporary eta sigma sign(v) |v|^theta that ends with its cell of volume
=================  ==============================================================================================

The transient models (slides eq. 1 and 2) cut market volume, ours excluded, into cells of equal size; v is our signed
size in the cell over the cell's size, while the cell lasts over what has passed of it (``impact_tables``). A cell's
impulse is ``alpha sigma^beta sign(v) |v|^gamma`` (MI.1, MI.2) or the sum of ``psi[kind of fill, state of the book] size
/ typical size`` (HFMI). The kernel is the power law at the cell's middle (MI.1) or integrated over the cell (MI.2,
HFMI). Units are our reading, since the slides state none: alpha in bp, sigma the daily volatility as a fraction, time
in units of a ``units_a_day``-th of a day's average volume.

HFMI's impulses are measured after a transaction, so ``psi`` is the displacement from then on till its cell ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.broker.impact_tables import COLUMNS, TABLE, Decay, kernel_tables, power, power_tables
from engine.errors import ConfigError

GATHERAL = 2 - math.log2(3)  # 0.415, least omega for any gamma
CELLS_A_UNIT = 30
UNITS_A_DAY = 13  # half-hours of a US session
SPREADS, IMBALANCES = 3, 5  # states of the book: 1, 2, 3 or more ticks; fifths of imbalance towards our side

Positive = Annotated[float, msgspec.Meta(gt=0)]
Mode = Literal["footprint", "cost"]
Region = Literal["NA", "APAC", "EMEA"]
Model = Literal["mi1", "mi2", "hfmi"]
DECAYS: dict[Model, Decay] = {"mi1": "pointwise", "mi2": "integrated", "hfmi": "integrated"}

# One instrument of a run. ``z`` holds the impulse of the cell not yet ended, that of the one before, and the
# exponentials of all others, in bp; the columns of a kernel table weigh them.
IMPACT = np.dtype(
    [
        ("cell", "<i8"),  # size of a cell
        ("volume", "<i8"),  # market volume in the cell so far, below ``cell``
        ("ended", "<i8"),  # cells since the run began
        ("own", "<i8"),  # our signed size in the cell
        ("net", "<i8"),  # and since the run began
        ("moved", "<i8"),  # whether we ever traded: before, there is nothing to decay
        ("scale", "<f8"),  # bp of an impulse of 1 when its cell ends
        ("lasting_scale", "<f8"),
        ("lasting", "<f8"),  # bp that do not decay
        ("z", "<f8", (COLUMNS,)),
    ]
)


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of the transient models; see the module. ``delta`` is the part of the spread that a fill pays."""

    alpha: float  # bp
    beta: float
    gamma: float
    omega: float
    delta: float


REGIONS: dict[str, Parameters] = {
    # the slides print omega as 1-0.325 and so on: that is the kernel's exponent itself
    "NA": Parameters(alpha=488.0, beta=0.89, gamma=0.663, omega=0.675, delta=0.118),
    "APAC": Parameters(alpha=389.0, beta=0.857, gamma=0.573, omega=0.607, delta=0.102),
    "EMEA": Parameters(alpha=349.0, beta=0.734, gamma=0.65, omega=0.61, delta=0.066),
}


class Market(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a day of an instrument is like on average."""

    daily_volume: int  # size units
    daily_volatility: float  # of returns, as a fraction: 0.02 is 2 %


class Impulses(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """HFMI's response of the mid, in bp, to one transaction of ``size``, by book state: [3 spreads][5 imbalances].

    The spread is 1, 2, or 3 and more ticks; the imbalance, seen from the transaction's side, is in fifths from -1 to 1.
    A fill in the dark, at whatever urgency, moves the mid ``dark_part`` as much: dark volume is modelled, not observed.
    """

    size: int  # typical transaction, size units
    aggressive: tuple[tuple[float, ...], ...]
    passive: tuple[tuple[float, ...], ...]
    dark_part: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5

    def table(self) -> NDArray[np.float64]:
        """float64[4, 15]: aggressive, passive, aggressive dark, passive dark, by state of the book."""
        lit = np.array([self.aggressive, self.passive], np.float64).reshape(2, -1)
        return np.concatenate([lit, self.dark_part * lit])


class NoImpact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="none", tag_field="type"):
    """Our orders do not move the market."""


class _Moving(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type"):
    """``footprint`` displaces what later orders meet; ``cost`` charges each fill the same and displaces nothing."""

    mode: Mode = "footprint"
    market: dict[str, Market] = {}  # by symbol
    units_a_day: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = UNITS_A_DAY
    cells_a_unit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = CELLS_A_UNIT


class Propagator(_Moving, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="propagator"):
    """Transient impact in volume time: MI.1, MI.2 or HFMI."""

    model: Model = "mi2"
    region: Region = "NA"
    parameters: Parameters | None = None  # instead of the region's
    impulses: Impulses | None = None  # of HFMI
    gamma_factor: bool = False  # eq. 2 prints gamma once more, as a factor of the impulse

    @property
    def used(self) -> Parameters:
        """The region's parameters, unless others are given."""
        return self.parameters or REGIONS[self.region]


class SquareRoot(_Moving, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="square_root"):
    """Y sigma sqrt(Q / V): Tóth et al. (2011), Phys. Rev. X 1, 021006."""

    prefactor: Positive = 0.5  # Y


class AlmgrenChriss(_Moving, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="almgren_chriss"):
    """Lasting and temporary impact; defaults of Almgren, Thum, Hauptmann and Li (2005), "Direct estimation".

    The dependence on shares outstanding that they find is left out: it needs data that tapes do not have.
    """

    permanent: Annotated[float, msgspec.Meta(ge=0)] = 0.314  # daily volatilities for a day's volume
    temporary: Annotated[float, msgspec.Meta(ge=0)] = 0.142  # daily volatilities at participation 1
    exponent: Positive = 0.6


Impact = NoImpact | Propagator | SquareRoot | AlmgrenChriss


def spread_part(model: Impact) -> float:
    """The part of the spread that a schedule's fills pay in the model's formula."""
    match model:
        case Propagator(model="mi1"):
            return 0.5
        case Propagator():
            return model.used.delta
    return 0.0


def check_parameters(p: Parameters, where: str = "impact") -> None:
    """Refuse parameters that are no model of impact, or that let a round trip earn money from its own impact.

    Raises
    ------
    ConfigError
        Where alpha or gamma is not positive, omega not between 0 and 1, beta or delta negative; and, after Gatheral
        (2010), "No-dynamic-arbitrage and market impact", where gamma + omega < 1 or omega < 2 - log2(3).
    """
    values = msgspec.structs.asdict(p)
    if not all(math.isfinite(value) for value in values.values()):
        raise ConfigError(f"{where}: {values} has a number that is not finite; fit the parameters again")
    if p.alpha <= 0 or p.gamma <= 0 or not 0 < p.omega < 1 or p.beta < 0 or p.delta < 0:
        raise ConfigError(f"{where}: needs alpha, gamma > 0, beta, delta >= 0 and 0 < omega < 1, but got {values}")
    if p.gamma + p.omega < 1:
        raise ConfigError(
            f"{where}: gamma {p.gamma:.4g} + omega {p.omega:.4g} is below 1, which lets a slow buy and a fast sale "
            "earn money from their own impact (Gatheral 2010); raise gamma or omega, or use a region's parameters"
        )
    if p.omega < GATHERAL:
        raise ConfigError(
            f"{where}: omega {p.omega:.4g} is below 2 - log2(3) = {GATHERAL:.3f}, which lets a round trip earn "
            "money from its own impact (Gatheral 2010); raise omega, or use a region's parameters"
        )


def cell_size(model: Propagator | SquareRoot | AlmgrenChriss, market: Market) -> int:
    """Market volume of a cell, size units, at least 1."""
    return max(1, round(market.daily_volume / (model.units_a_day * model.cells_a_unit)))


def prepare(model: Impact, symbols: Sequence[str]) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """The state of each instrument, IMPACT[n], and the tables that all share, TABLE[1].

    Parameters
    ----------
    model : Impact
        Not ``NoImpact``: it needs neither.
    symbols : sequence of str
        Of the instruments, in the order of the tape. Each needs its average day in ``model.market``.

    Raises
    ------
    ConfigError
        If an instrument's volume or volatility is missing or not positive, parameters permit manipulation, or HFMI
        has no impulses.
    """
    assert not isinstance(model, NoImpact)
    states, table = np.zeros(len(symbols), IMPACT), np.zeros(1, TABLE)
    markets = [_market(model.market, symbol) for symbol in symbols]
    shared, omega, decay, exponent, over = table[0], 0.0, "momentary", 1.0, 0.0
    match model:
        case Propagator():
            check_parameters(model.used)
            decay, omega, exponent = DECAYS[model.model], model.used.omega, model.used.gamma
            over = exponent
            if model.model == "hfmi":
                shared["by_state"], shared["psi"] = 1, _impulses(model).table()
                over = 1 - omega  # the response was measured: it stands at once, and till the cell ends
        case SquareRoot():
            shared["by_root"] = 1
        case AlmgrenChriss():
            exponent = over = model.exponent
    shared["kernel"], shared["decay"] = kernel_tables(decay, omega, over)
    shared["mantissa"], shared["octave"] = power_tables(exponent)
    shared["mean"] = 1 / (1 + exponent)
    for state, market in zip(states, markets, strict=True):
        state["cell"] = cell_size(model, market)
        state["scale"], state["lasting_scale"] = _scales(model, market, int(state["cell"]))
    return states, table


def _scales(model: Propagator | SquareRoot | AlmgrenChriss, market: Market, cell: int) -> tuple[float, float]:
    """bp of an impulse of 1 at the nodes of the kernel tables, and bp of a net size of 1."""
    sigma_bp = market.daily_volatility * 1e4
    match model:
        case SquareRoot():
            return 0.0, model.prefactor * sigma_bp / math.sqrt(market.daily_volume)
        case AlmgrenChriss():
            return model.temporary * sigma_bp, model.permanent * sigma_bp / market.daily_volume
        case Propagator(model="hfmi"):
            return 1 / _impulses(model).size, 0.0
    p, width = model.used, Decimal(cell * model.units_a_day) / market.daily_volume
    scale = Decimal(p.alpha) * power(market.daily_volatility, p.beta) * power(width, 1 - Decimal(p.omega))
    if model.model == "mi2":
        scale /= 1 - Decimal(p.omega)
    return float(scale) * (p.gamma if model.gamma_factor else 1.0), 0.0


def _market(markets: Mapping[str, Market], symbol: str) -> Market:
    if symbol not in markets:
        raise ConfigError(
            f"impact: nothing is said of {symbol}'s average day; give market.{symbol} with daily_volume and "
            'daily_volatility, or switch impact off with type = "none"'
        )
    found = markets[symbol]
    if found.daily_volume <= 0:
        raise ConfigError(f"impact: {symbol}'s daily_volume is {found.daily_volume}; it must be > 0, in size units")
    if not (found.daily_volatility > 0 and math.isfinite(found.daily_volatility)):
        raise ConfigError(
            f"impact: {symbol}'s daily_volatility is {found.daily_volatility}; it must be > 0, as a fraction "
            "(0.02 is 2 %)"
        )
    return found


def _impulses(model: Propagator) -> Impulses:
    found = model.impulses
    if found is None:
        raise ConfigError("impact: HFMI needs impulses, the mid's response by book state; estimate them from a tape")
    for name, table in (("aggressive", found.aggressive), ("passive", found.passive)):
        if len(table) != SPREADS or any(len(row) != IMBALANCES for row in table):
            raise ConfigError(f"impact: impulses.{name} needs {SPREADS} spreads of {IMBALANCES} imbalances each")
        if not all(math.isfinite(value) for row in table for value in row):
            raise ConfigError(
                f"impact: impulses.{name} has a number that is not finite; estimate it from a longer tape"
            )
    if found.size < 1:
        raise ConfigError(f"impact: impulses.size is {found.size}; it is a typical transaction's size, at least 1")
    return found
