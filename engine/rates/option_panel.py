"""Short options and the market that marks them: for each sale, the numbers of its own contract at every later close.

Column k of row n is the close k panel days after sale n; columns beyond ``last[n]``, the expiry, are not read.
Forwards and annuities are those of the contract's own swap dates, never of a constant maturity: a curve's roll-down is
then no profit. ``swaption_contract.contract_panel`` fills a panel from curves and surfaces.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import ConfigError
from engine.rates.refusals import numbers, refuse

Floats = NDArray[np.float64]


class OptionPanel:
    """n sales, at most m closes each.

    Parameters
    ----------
    dates : datetime64[D][d], ascending
        The closes of the market.
    sold : int64[n]
        The close, as an index into ``dates``, of each sale.
    last : int64[n]
        Closes from the sale to expiry, >= 1: close ``sold + last`` settles the option.
    forward : float64[n, m]
        Forward swap rate of the contract, decimal.
    annuity : float64[n, m]
        Present value at that close of 1 a year on the swap's fixed dates, > 0: what a hedge is worth per 1.00 of rate.
    years : float64[n, m]
        Option time to expiry (Act/365), > 0 before expiry and 0 at it.
    smiles : float64[n, m, j]
        Normal vols of the contract's expiry and tenor at ``offsets``, > 0; a panel without skew has j = 1.
    offsets : float64[j], ascending
        Strike minus forward, decimal.
    settlement : float64[n, m], optional
        The annuity that the option pays on; left out it is ``annuity`` (physical settlement).

    Raises
    ------
    ConfigError
        If shapes do not fit or a number that will be read is missing or out of range; the sentence says which.
    """

    def __init__(
        self,
        dates: ArrayLike,
        sold: ArrayLike,
        last: ArrayLike,
        forward: ArrayLike,
        annuity: ArrayLike,
        years: ArrayLike,
        smiles: ArrayLike,
        *,
        offsets: ArrayLike = (0.0,),
        settlement: ArrayLike | None = None,
    ) -> None:
        self.dates = np.asarray(dates, "datetime64[D]")
        self.sold, self.last = _indices("sold", sold), _indices("last", last)
        self.forward, self.annuity = _contiguous("forward", forward), _contiguous("annuity", annuity)
        self.years, self.smiles = _contiguous("years", years), _contiguous("smiles", smiles)
        self.offsets = _contiguous("offsets", offsets)
        self.settlement = self.annuity if settlement is None else _contiguous("settlement", settlement)
        self._check_shapes()
        self._check_numbers()

    def __len__(self) -> int:
        return self.sold.size

    @property
    def is_marked(self) -> NDArray[np.bool_]:
        """bool[n, m]: closes from the sale to expiry."""
        return np.arange(self.forward.shape[1]) <= self.last[:, None]

    @property
    def close(self) -> NDArray[np.int64]:
        """int64[n, m]: the index into ``dates`` of each close."""
        return self.sold[:, None] + np.arange(self.forward.shape[1])

    @property
    def expired(self) -> NDArray[np.int64]:
        """int64[n]: the index into ``dates`` of each expiry."""
        return self.sold + self.last

    def _check_shapes(self) -> None:
        shape, j = (self.sold.size, self.forward.shape[-1]), self.offsets.size
        wanted = {
            "last": shape[:1],
            "forward": shape,
            "annuity": shape,
            "years": shape,
            "settlement": shape,
            "smiles": (*shape, j),
        }
        for name, expected in wanted.items():
            if getattr(self, name).shape != expected:
                raise ConfigError(
                    f"{name} has shape {getattr(self, name).shape}, but {shape[0]} sales, {shape[1]} closes and {j} "
                    f"offsets need {expected}; give one row for each sale"
                )

    def _check_numbers(self) -> None:
        m = self.forward.shape[1]
        refuse("last", self.last, (self.last < 1) | (self.last >= m), f"be from 1 to {m - 1}", "give it more closes")
        days = self.dates.size
        refuse(
            "sold",
            self.sold,
            (self.sold < 0) | (self.expired >= days),
            f"be >= 0 and, with last, below {days}",
            "leave out sales that have not expired",
        )
        refuse("offsets", self.offsets, np.r_[False, np.diff(self.offsets) <= 0], "ascend", "sort the offsets")
        read = self.is_marked
        refuse("forward", self.forward, read & ~np.isfinite(self.forward), "be finite", "leave that sale out")
        for name in ("annuity", "settlement"):
            x = getattr(self, name)
            refuse(name, x, read & ~((x > 0) & (x < np.inf)), "be > 0", "leave that sale out")
        bad = read[:, :, None] & ~((self.smiles > 0) & (self.smiles < np.inf))
        refuse("smiles", self.smiles, bad, "be > 0", "leave that sale out, or mark it with a quoted vol")
        at_expiry = np.arange(m) == self.last[:, None]
        wrong = read & np.where(at_expiry, self.years != 0, ~((self.years > 0) & (self.years < np.inf)))
        refuse("years", self.years, wrong, "be > 0 before expiry and 0 at it", "count days to expiry over 365")


def _indices(name: str, values: ArrayLike) -> NDArray[np.int64]:
    found = np.asarray(values)
    if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer):
        raise ConfigError(f"{name} must be one integer for each sale, but is {found.dtype} of shape {found.shape}")
    return np.require(found.astype(np.int64), requirements=("C", "W"))


def _contiguous(name: str, values: ArrayLike) -> Floats:
    return np.require(numbers(name, values), requirements=("C", "W"))
