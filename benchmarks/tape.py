"""The tapes that every engine is measured on: one stock for three hours, and a hundred of them for two minutes.

A book of limit orders without intelligence, the same bytes on every machine. Each event draws four uniform numbers
and a waiting time (exponential, 1 ms on average) and is one of

1. a trade (15 %) that takes up to 40 lots from the best level of a side,
2. the depth change that shows what that trade left,
3. a new best level inside a wide spread,
4. a change of one of the ten best levels, which pulls its size towards 200 lots and now and then empties the best.

So the spread is nearly always one tick and the touch moves about twenty times a second. It is a load, not a market:
``feeds/synthetic.py`` is the generator for markets.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.instruments import Instrument
from engine.tape import ROW, Flag, Kind, Manifest, Tape

DATA = Path(os.environ.get("TICKWRIGHT_BENCH_DATA", Path(__file__).parent / "_data"))
SEED = 20240817
START = 1_704_067_200_000_000_000  # 2024-01-01 UTC
FEED_LATENCY_NS = 200_000
TICK = "0.01"
FIRST_BID = 20_000  # ticks
LEVELS_AT_START = 20  # a side
PRICES = 1 << 17  # the grid of the generator, ticks
DRAWS_AT_ONCE = 1_000_000  # part of the recipe: another number gives another tape

DEPTH, TRADE, LAST = int(Kind.DEPTH), int(Kind.TRADE), int(Flag.LAST)

# hftbacktest's row and flags, as its documentation of the data format names them
HFT_ROW = np.dtype(
    [
        ("ev", "<u8"),
        ("exch_ts", "<i8"),
        ("local_ts", "<i8"),
        ("px", "<f8"),
        ("qty", "<f8"),
        ("order_id", "<u8"),
        ("ival", "<i8"),
        ("fval", "<f8"),
    ],
    align=True,
)
HFT_DEPTH, HFT_TRADE = 1, 2
HFT_EXCHANGE, HFT_LOCAL, HFT_BUY, HFT_SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28


@njit(cache=True)
def _walk(uniform, waiting, rows, state, book):
    # state: best bid, best ask, time, and what the last trade left: book side (0 nothing), price, size
    # book: (2, PRICES) sizes of bids and asks; side s = +1 is row 0, -1 is row 1
    for i in range(rows.shape[0]):
        which, direction, where, how_much = uniform[i, 0], uniform[i, 1], uniform[i, 2], uniform[i, 3]
        state[2] += waiting[i]
        spread = state[1] - state[0]
        kind = DEPTH
        if state[3] != 0:  # the change that shows the trade before it
            side, price, size = state[3], state[4], state[5]
            state[3] = 0
        elif which < 0.1765:
            kind = TRADE
            side = 1 if direction < 0.5 else -1
            hit = 1 if side > 0 else 0  # the row of the book that is hit
            price = state[hit]
            shown = book[hit, price]
            size = min(1 + int(where * where * 40), shown)
            left = shown - size
            if left == 0 and (book[hit, price + side] == 0 or spread > 1):
                left = 1  # never a hole behind the best, never a wider spread
            state[3], state[4], state[5] = -side, price, left
        else:
            side = 1 if direction < 0.5 else -1
            own = 0 if side > 0 else 1
            if spread >= 2 and where < 0.6:
                price = state[own] + side
                size = 1 + int(how_much * 200)
            else:
                draw = (where - 0.6) / 0.4 if spread >= 2 else where
                behind = 0
                while behind < 9 and draw > 0.45:
                    draw = (draw - 0.45) / 0.55
                    behind += 1
                price = state[own] - side * behind
                shown = book[own, price]
                size = max(1, shown + round((how_much - 0.5) * 50 + (200 - shown) * 0.03))
                if behind == 0 and how_much < 0.012 and spread < 2 and book[own, price - side] > 0:
                    size = 0
        if kind == DEPTH:
            own = 0 if side > 0 else 1
            book[own, price] = size
            if (price - state[own]) * side > 0:
                state[own] = price
            elif size == 0 and price == state[own]:
                while book[own, state[own]] == 0:
                    state[own] -= side
        rows[i].ts_event = state[2]
        rows[i].kind = kind
        rows[i].side = side
        rows[i].price = price
        rows[i].size = size


def generate(n: int, *, seed: int = SEED) -> NDArray[np.void]:
    """ROW[n] of one instrument (number 0); a shorter tape is the beginning of a longer one."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(n, ROW)
    book = np.zeros((2, PRICES), np.int64)
    opening = 2 * LEVELS_AT_START
    for i in range(opening):
        side, behind = (1, i // 2) if i % 2 == 0 else (-1, i // 2)
        price = FIRST_BID - behind if side > 0 else FIRST_BID + 1 + behind
        book[0 if side > 0 else 1, price] = 200
        for field, value in (("ts_event", START), ("kind", DEPTH), ("side", side), ("price", price), ("size", 200)):
            rows[field][i] = value
    state = np.array([FIRST_BID, FIRST_BID + 1, START, 0, 0, 0])
    for start in range(opening, n, DRAWS_AT_ONCE):
        part = rows[start : start + DRAWS_AT_ONCE]
        uniform = rng.random((len(part), 4))
        waiting = np.maximum(1, rng.exponential(1e6, len(part))).astype(np.int64)
        _walk(uniform, waiting, part, state, book)
    rows["ts_recv"] = rows["ts_event"] + FEED_LATENCY_NS
    rows["flags"] = LAST
    return rows


def merge(streams: list[NDArray[np.void]]) -> NDArray[np.void]:
    """One tape of many instruments, numbered as given, in order of (ts_event, instrument, place in its stream)."""
    rows = np.concatenate(streams)
    rows["instrument"] = np.repeat(np.arange(len(streams), dtype=np.uint16), [len(stream) for stream in streams])
    return rows[np.argsort(rows["ts_event"], kind="stable")]


def hftbacktest_rows(rows: NDArray[np.void]) -> NDArray[np.void]:
    """The same events in hftbacktest's 64-byte row: prices and sizes as floats, flags in ``ev``."""
    out = np.zeros(len(rows), HFT_ROW)
    kind = np.where(rows["kind"] == TRADE, HFT_TRADE, HFT_DEPTH).astype(np.uint64)
    side = np.where(rows["side"] > 0, HFT_BUY, HFT_SELL).astype(np.uint64)
    out["ev"] = kind | side | np.uint64(HFT_EXCHANGE | HFT_LOCAL)
    out["exch_ts"], out["local_ts"] = rows["ts_event"], rows["ts_recv"]
    out["px"], out["qty"] = np.round(rows["price"] * float(TICK), 10), rows["size"]
    return out


def _save(rows: NDArray[np.void], name: str, symbols: int) -> None:
    instruments = [
        Instrument(symbol=f"S{j:03d}", price_unit=TICK, tick=1, book="L2", levels=0, source=j) for j in range(symbols)
    ]
    recipe = f"benchmarks/tape.py, seed {SEED}"
    manifest = Manifest(name=name, instruments=instruments, source="generated", recipe=recipe, synthetic=True)
    manifest.licence = "Apache-2.0"
    Tape(rows, manifest).save(DATA / name, overwrite=True)


def prepare() -> None:
    """Write what is missing of the tapes and their hftbacktest twins under ``_data`` (about 3 GB)."""
    DATA.mkdir(parents=True, exist_ok=True)
    if not (DATA / "hundred_hft.npz").exists():
        streams = [generate(100_000, seed=SEED + j) for j in range(100)]
        _save(merge(streams), "hundred", 100)
        arrays: dict[str, Any] = {f"s{j:03d}": hftbacktest_rows(rows) for j, rows in enumerate(streams)}
        np.savez(DATA / "hundred_hft.npz", **arrays)
    if not (DATA / "ten_million_hft.npz").exists():
        rows = generate(10_000_000)
        _save(rows, "ten_million", 1)
        _save(rows[:1_000_000], "one_million", 1)
        np.savez(DATA / "ten_million_hft.npz", data=hftbacktest_rows(rows))


if __name__ == "__main__":
    prepare()
