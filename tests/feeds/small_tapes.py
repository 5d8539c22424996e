"""Small valid tapes, and LOBSTER files of markets small enough to think through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from engine.instruments import Instrument
from engine.tape import ROW, Flag, Kind, Manifest, Tape

LAST = int(Flag.LAST)


@st.composite
def tapes(draw: st.DrawFn, symbol: str = "A", max_groups: int = 12, start: int = 0) -> Tape:
    """A tape of quotes and trades of one instrument, in groups of one time each; times repeat often."""
    gaps = draw(st.lists(st.integers(0, 3), max_size=max_groups))
    rows = []
    at = start
    for gap in gaps:
        at += gap
        size = draw(st.integers(1, 3))
        rows += [(at, draw(st.integers(1, 50)), index == size - 1) for index in range(size)]
    out = np.zeros(len(rows), ROW)
    for index, (ts, price, last) in enumerate(rows):
        out[index]["ts_event"] = out[index]["ts_recv"] = ts
        out[index]["kind"], out[index]["price"], out[index]["size"] = Kind.TRADE, price, index + 1
        out[index]["flags"] = LAST * last
    return Tape(out, Manifest(name=symbol, instruments=[Instrument(symbol=symbol, book="NONE", levels=0)]))


def lobster_market(
    seed: int, n: int, levels: int, *, step_ns: int = 1_000
) -> tuple[list[tuple[int, ...]], list[list[int]]]:
    """Messages and book rows as LOBSTER cuts them from a whole random market.

    The market has every order; as in LOBSTER, a message is written only if it changes what the first ``levels`` show
    (or is hidden), and the book row is the first ``levels`` after it. Levels beyond come into view unannounced.
    """
    rng = np.random.default_rng(seed)
    book: dict[int, dict[int, int]] = {1: {}, -1: {}}
    live: list[list[int]] = []  # id, side, price, left
    messages: list[tuple[int, ...]] = []
    rows: list[list[int]] = []

    def view() -> list[int]:
        asks, bids = sorted(book[-1].items()), sorted(book[1].items(), reverse=True)
        out: list[int] = []
        for level in range(levels):
            out += asks[level] if level < len(asks) else (9_999_999_999, 0)
            out += bids[level] if level < len(bids) else (-9_999_999_999, 0)
        return out

    def change(side: int, price: int, by: int) -> None:
        book[side][price] = book[side].get(price, 0) + by
        if book[side][price] == 0:
            del book[side][price]

    time, number = 34_200_000_000_000, 0
    while len(messages) < n:
        time += int(rng.integers(0, 3)) * step_ns  # a third of the times repeat
        before, kind = view(), int(rng.integers(1, 6))
        if kind == 1 or len(live) < 6:
            kind, number = 1, number + 1
            side = int(rng.choice((-1, 1)))
            best = min(book[-1], default=1_000_200) if side > 0 else max(book[1], default=1_000_000)
            price, size = best - side * 100 * int(rng.integers(1, 3 * levels + 2)), int(rng.integers(1, 9)) * 10
            live.append([number, side, price, size])
            change(side, price, size)
            message = (time, 1, number, size, price, side)
        elif kind == 5:
            message = (time, 5, 0, int(rng.integers(1, 50)), 1_000_150, int(rng.choice((-1, 1))))
        else:
            if kind == 4:  # at the best price of a side, the oldest order
                side = int(rng.choice((-1, 1)))
                if not book[side]:
                    continue
                best = max(book[1]) if side > 0 else min(book[-1])
                order = next(one for one in live if one[1] == side and one[2] == best)
            else:
                order = live[int(rng.integers(len(live)))]
            size = order[3] if kind == 3 else int(rng.integers(1, order[3] + 1))
            if kind == 2 and size == order[3]:
                kind = 3
            order[3] -= size
            change(order[1], order[2], -size)
            if order[3] == 0:
                live.remove(order)
            message = (time, kind, order[0], size, order[2], order[1])
        if view() != before or kind == 5:
            messages.append(message)
            rows.append(view())
    return messages, rows


def write_lobster_csv(
    folder: Path, messages: list[tuple[int, ...]], rows: list[list[int]], levels: int
) -> tuple[Path, Path]:
    """The two files in LOBSTER's raw form."""
    one = folder / f"TEST_2012-06-21_34200000_57600000_message_{levels}.csv"
    two = folder / f"TEST_2012-06-21_34200000_57600000_orderbook_{levels}.csv"
    text = "".join(f"{ns // 10**9}.{ns % 10**9:09d},{','.join(map(str, rest))}\n" for ns, *rest in messages)
    one.write_text(text)
    two.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return one, two


def write_lobster_parquet(
    folder: Path, messages: list[tuple[int, ...]], rows: list[list[int]], levels: int
) -> tuple[Path, Path]:
    """The two files as parquet."""
    import pandas as pd

    one, two = folder / "TEST_2012-06-21_message.parquet", folder / "TEST_2012-06-21_orderbook.parquet"
    pd.DataFrame(messages, columns=["time_ns", "type", "order_id", "size", "price", "direction"]).to_parquet(one)
    names = [
        f"{side}_{what}_{level + 1}" for level in range(levels) for side in ("ask", "bid") for what in ("px", "sz")
    ]
    pd.DataFrame(rows, columns=names).to_parquet(two)
    return one, two


class DictBook:
    """The book that docs/simulation.md section 3 keeps from rows, in plain Python."""

    def __init__(self) -> None:
        self.levels: dict[int, dict[int, int]] = {1: {}, -1: {}}

    def apply(self, kind: int, side: int, price: int, size: int, flags: int) -> None:
        if kind in (Kind.DEPTH, Kind.REVEAL):
            self._set(side, price, size)
        elif kind == Kind.ADD:
            self._set(side, price, self.levels[side].get(price, 0) + size)
        elif kind in (Kind.REDUCE, Kind.DELETE, Kind.EXECUTE) and not flags & Flag.HIDDEN:
            self._set(side, price, self.levels[side].get(price, 0) - size)

    def _set(self, side: int, price: int, size: int) -> None:
        if size > 0:
            self.levels[side][price] = size
        else:
            self.levels[side].pop(price, None)

    def best(self, side: int, levels: int) -> list[tuple[int, int]]:
        """The best levels of a side as (price, size)."""
        return sorted(self.levels[side].items(), reverse=side > 0)[:levels]


def shown(row: np.ndarray, side: int) -> list[tuple[int, int]]:
    """The occupied levels of a side in a row of a book file."""
    first = 2 if side > 0 else 0
    pairs = zip(row[first::4].tolist(), row[first + 1 :: 4].tolist(), strict=True)
    return [(price, size) for price, size in pairs if size > 0]
