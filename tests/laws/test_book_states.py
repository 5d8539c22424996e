"""The book that strategies see, step by step, against a plain list of market orders."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from scenarios import compiled

from engine.instruments import Instrument
from engine.tape import ROW, Flag, Kind
from engine.testing.reference import ReferenceBroker

SIDES = st.sampled_from((1, -1))
PRICES = st.integers(95, 105)
SIZES = st.integers(1, 9)


class BookMachine(RuleBasedStateMachine):
    """Orders come, shrink, trade and go; both brokers show the sum of what is left, level by level."""

    @initialize()
    def begin(self) -> None:
        self.orders: dict[int, tuple[int, int, int]] = {}
        self.ts = 0
        instrument = Instrument(symbol="A", tick=1, book="L3", levels=0)
        self.brokers = [make([instrument], sessions=[]) for make in (ReferenceBroker, compiled())]

    def send(self, kind: Kind, flags: int = 0, **fields: int) -> None:
        self.ts += 1
        row = np.zeros(1, ROW)
        for name, value in {"kind": kind, "ts_event": self.ts, "flags": flags | Flag.LAST, **fields}.items():
            row[name] = value
        for broker in self.brokers:
            broker.load(row)
            assert broker.next() is None

    @rule(side=SIDES, price=PRICES, size=SIZES)
    def add(self, side: int, price: int, size: int) -> None:
        number = self.ts + 1
        self.orders[number] = side, price, size
        self.send(Kind.ADD, order_id=number, side=side, price=price, size=size)

    @precondition(lambda self: self.orders)
    @rule(which=st.integers(0, 99), kind=st.sampled_from((Kind.REDUCE, Kind.EXECUTE)), part=SIZES)
    def shrink(self, which: int, kind: Kind, part: int) -> None:
        number = sorted(self.orders)[which % len(self.orders)]
        side, price, size = self.orders[number]
        part = min(part, size)
        self.orders[number] = side, price, size - part
        self.send(kind, order_id=number, side=side, price=price, size=part)

    @precondition(lambda self: self.orders)
    @rule(which=st.integers(0, 99))
    def delete(self, which: int) -> None:
        number = sorted(self.orders)[which % len(self.orders)]
        side, price, size = self.orders.pop(number)
        self.send(Kind.DELETE, order_id=number, side=side, price=price, size=size)

    @rule(side=SIDES, price=PRICES, size=SIZES)
    def execute_hidden(self, side: int, price: int, size: int) -> None:
        self.send(Kind.EXECUTE, Flag.HIDDEN, side=side, price=price, size=size)

    @rule()
    def clear(self) -> None:
        self.orders = {}
        self.send(Kind.CLEAR)

    @invariant()
    def both_show_what_is_left(self) -> None:
        for side in (1, -1):
            left: dict[int, int] = {}
            for at_side, price, size in self.orders.values():
                if at_side == side and size:
                    left[price] = left.get(price, 0) + size
            expected = sorted(left.items(), reverse=side == 1)
            for broker in self.brokers:
                assert broker.levels(0, side, 20) == expected


BookMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestBook = BookMachine.TestCase
