"""One account's money and positions in plain integers (rulebook section 10)."""

from __future__ import annotations

from collections import defaultdict

from engine.instruments import Instrument, half_even


class Ledger:
    """Cash and P/L by currency, position and average cost by instrument. Money is in micro-units."""

    def __init__(self, cash: dict[str, int], instruments: list[Instrument]) -> None:
        self.instruments = instruments
        self.start: dict[str, int] = defaultdict(int, cash)
        self.cash: dict[str, int] = defaultdict(int, cash)
        self.realised: dict[str, int] = defaultdict(int)
        self.fees: dict[str, int] = defaultdict(int)
        self.adjustments: dict[str, int] = defaultdict(int)
        self.position: dict[int, int] = defaultdict(int)
        self.cost: dict[int, int] = defaultdict(int)  # signed: what the position was bought (sold) for
        self.flow: dict[int, int] = defaultdict(int)  # all cash that an instrument moved
        self.traded: set[int] = set()

    def fill(self, index: int, side: int, price: int, size: int, fee: int) -> None:
        """Trade ``size`` at ``price``: what closes is realised at average cost, what opens adds to the cost."""
        instrument = self.instruments[index]
        currency = instrument.currency
        paid = side * instrument.value(price, size)
        position = self.position[index]
        closed = min(size, abs(position)) if position * side < 0 else 0
        if closed:
            out = half_even(self.cost[index] * closed, abs(position))
            proceeds = -paid if closed == size else -side * instrument.value(price, closed)
            self.realised[currency] += proceeds - out
            self.cost[index] += paid + proceeds - out
        else:
            self.cost[index] += paid
        self.position[index] = position + side * size
        self.fees[currency] += fee
        self._move(index, -paid - fee)
        self.traded.add(index)

    def adjust(self, index: int, money: int, units: int = 0) -> None:
        """Money and units that come without a trade."""
        currency = self.instruments[index].currency
        self.adjustments[currency] += money
        self.position[index] += units
        if not self.position[index]:
            self.realised[currency] -= self.cost[index]
            self.cost[index] = 0
        self._move(index, money)

    def equity(self, currency: str, marks: list[int | None]) -> int:
        """Cash and positions at marks; what has no mark counts as nothing."""
        return self.cash[currency] + sum(value for _, value in self.values(currency, marks))

    def values(self, currency: str, marks: list[int | None]) -> list[tuple[int, int]]:
        """(instrument, position value) of one currency."""
        return [
            (index, instrument.value(mark, self.position[index]))
            for index, (instrument, mark) in enumerate(zip(self.instruments, marks, strict=True))
            if instrument.currency == currency and mark is not None
        ]

    def identity(self, currency: str) -> tuple[int, int]:
        """Both sides of cash + cost = start + realised - fees + adjustments; unrealised is value - cost."""
        cost = sum(self.cost[i] for i, instrument in enumerate(self.instruments) if instrument.currency == currency)
        right = self.start[currency] + self.realised[currency] - self.fees[currency] + self.adjustments[currency]
        return self.cash[currency] + cost, right

    def _move(self, index: int, money: int) -> None:
        self.cash[self.instruments[index].currency] += money
        self.flow[index] += money
