"""hftbacktest on our tapes. Runs in its own environment and imports nothing of ours but the worker protocol.

Each strategy is one function: compiled by numba, hftbacktest's recommended way, and called as it stands for the
``…_python`` workloads. Latencies of 200 us on all legs, the risk-averse queue model (its counterpart of our pessimistic
one, and its fastest), the exchange that does not fill in parts, the range-of-interest book (its fastest), no fees model
beyond a constant.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
from hftbacktest import GTC, GTX, LIMIT, BacktestAsset, ROIVectorMarketDepthBacktest
from numba import njit

from benchmarks.worker import serve

DATA = Path(os.environ.get("TICKWRIGHT_BENCH_DATA", Path(__file__).parent / "_data"))
FILE = DATA / "ten_million_hft.npz"
LATENCY_NS = 200_000
LOTS = 5
DONE = 0  # what elapse answers while there is data


def market(*assets):
    """An engine over arrays of rows or files, one an asset."""
    built = []
    for data in assets:
        asset = BacktestAsset().data(data).linear_asset(1.0).tick_size(0.01).lot_size(1.0)
        asset = (
            asset.constant_order_latency(LATENCY_NS, LATENCY_NS).risk_adverse_queue_model().no_partial_fill_exchange()
        )
        asset = asset.trading_value_fee_model(0.0, 0.0005).last_trades_capacity(0).roi_lb(190.0).roi_ub(210.0)
        built.append(asset)
    return ROIVectorMarketDepthBacktest(built)


@njit
def every_row(hbt):
    count = 0
    while True:
        answer = hbt.wait_next_feed(False, 1_000_000_000_000)
        if answer == 1:
            return count, 0, 0
        count += answer == 2


@njit
def wake(hbt):
    count = 0
    while hbt.elapse(100_000_000) == DONE:
        count += 1
    return count, 0, 0


@njit
def maker(hbt):
    wakes = sent = 0
    while hbt.elapse(100_000_000) == DONE:
        wakes += 1
        hbt.clear_inactive_orders(0)
        depth = hbt.depth(0)
        if depth.best_bid_tick >= depth.best_ask_tick:
            continue
        twice_mid = depth.best_bid_tick + depth.best_ask_tick
        orders = hbt.orders(0).values()
        while orders.has_next():
            order = orders.get()
            if order.cancellable:
                hbt.cancel(0, order.order_id, False)
        hbt.submit_buy_order(0, sent + 1, (twice_mid - 1) // 2 * 0.01, LOTS, GTX, LIMIT, False)
        hbt.submit_sell_order(0, sent + 2, (twice_mid + 2) // 2 * 0.01, LOTS, GTX, LIMIT, False)
        sent += 2
    return wakes, sent, hbt.state_values(0).num_trades


@njit
def slicer(hbt):
    wakes = sent = resting = 0
    while hbt.elapse(500_000_000) == DONE:
        wakes += 1
        hbt.clear_inactive_orders(0)
        depth = hbt.depth(0)
        if wakes % 2 == 1:
            sent += 1
            resting = sent
            hbt.submit_buy_order(0, resting, depth.best_bid, LOTS, GTX, LIMIT, False)
            continue
        order = hbt.orders(0).get(resting)
        if order is not None and order.cancellable:
            hbt.cancel(0, resting, False)
            sent += 1
            hbt.submit_buy_order(0, sent, depth.best_ask + 0.05, order.leaves_qty, GTC, LIMIT, False)
    return wakes, sent, hbt.state_values(0).num_trades


@cache
def rows(count=None):
    data = np.load(FILE)["data"]
    return data if count is None else data[:count].copy()


@cache
def hundred():
    with np.load(DATA / "hundred_hft.npz") as arrays:
        return [arrays[name] for name in sorted(arrays.files)]


def timed(strategy, assets):
    """A workload: warm the strategy up on a short market, then offer the run over the whole one."""

    def prepare():
        data = assets()
        beginning = data[0][:20_000].copy()  # named: the engine keeps a bare pointer to it
        short = market(beginning)
        strategy(short)
        short.close()
        hbt = market(*data)

        def work():
            wakes, sent, fills = strategy(hbt)
            hbt.close()
            return {"wakes": int(wakes), "orders": int(sent), "fills": int(fills)}

        return work, sum(len(part) for part in data)

    return prepare


def open_file():
    """File to first event."""

    def work():
        hbt = market([str(FILE)])
        answer = hbt.wait_next_feed(False, 1_000_000_000_000)
        hbt.close()
        return {"wakes": int(answer == 2)}

    return work, 10_000_000


WORKLOADS = {
    "wake": timed(wake, lambda: [rows()]),
    "wake_python": timed(wake.py_func, lambda: [rows()]),
    "maker": timed(maker, lambda: [rows()]),
    "maker_python": timed(maker.py_func, lambda: [rows()]),
    "slicer": timed(slicer, lambda: [rows()]),
    "slicer_python": timed(slicer.py_func, lambda: [rows()]),
    "every_row": timed(every_row, lambda: [rows(1_000_000)]),
    "every_row_python": timed(every_row.py_func, lambda: [rows(1_000_000)]),
    "hundred": timed(wake, hundred),
    "hundred_python": timed(wake.py_func, hundred),
    "open": open_file,
}

if __name__ == "__main__":
    serve(WORKLOADS)
