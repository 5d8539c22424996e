"""One account's over-the-counter contracts: numbers, terms and positions, in columns that pricing reads at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.contracts import TERMS, Packed, as_row, money_of

POSITION = np.dtype(
    [
        ("size", "<i8"),  # signed notional
        ("cash", "<i8"),  # micro-units that came in
        ("mark", "<i8"),  # 1e-14 of notional
        ("is_marked", "?"),
        ("state", "<f8"),  # what was fixed at an earlier close and is paid later; NaN is nothing yet
        ("dv01", "<f8"),  # per unit of notional, when last marked
        ("market", "<i8"),
    ]
)


class ContractBook:
    """Contracts in the order in which they were listed; number n stands at place n - 1 of the columns."""

    def __init__(self) -> None:
        self.terms = np.zeros(64, TERMS)
        self.positions = np.zeros(64, POSITION)
        self.packed: list[Packed] = []
        self.cash: dict[int, int] = {}  # by market, all contracts together
        self._places: dict[tuple[int, Packed], int] = {}

    def __len__(self) -> int:
        return len(self.packed)

    def find(self, market: int, packed: Packed) -> int | None:
        """The place of a contract, or None if it was never listed."""
        return self._places.get((market, packed))

    def list(self, market: int, packed: Packed) -> int:
        """Give a contract its place."""
        place = len(self.packed)
        if place == len(self.terms):
            self.terms = np.concatenate([self.terms, np.zeros(place, TERMS)])
            self.positions = np.concatenate([self.positions, np.zeros(place, POSITION)])
        self._places[market, packed] = place
        self.packed.append(packed)
        self.terms[place] = as_row(packed)
        self.positions[place] = (0, 0, 0, False, np.nan, np.nan, market)
        return place

    def open_in(self, market: int) -> NDArray[np.int64]:
        """Places of the contracts of a market that are held, in the order listed."""
        used = self.positions[: len(self)]
        return np.flatnonzero((used["size"] != 0) & (used["market"] == market))

    def move(self, place: int, units: int, money: int) -> None:
        """Units and money come in."""
        position = self.positions[place]
        position["size"] += units
        position["cash"] += money
        market = int(position["market"])
        self.cash[market] = self.cash.get(market, 0) + money

    def equity(self, market: int) -> int:
        """All cash of a market's contracts, and what the open ones are worth at their marks."""
        held = self.positions[self.open_in(market)]
        worth = sum(map(money_of, held["mark"].tolist(), held["size"].tolist()))
        return self.cash.get(market, 0) + worth
