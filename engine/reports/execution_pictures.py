"""The slides' pictures as tables: impact accrual, basket profile, path dependence.

Times are ms since 1970 UTC, or minutes since arrival. Impact is the model's displacement of the mid in bp; beside it
stands the difference of the replays with impact on and off, which is rounded to ticks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.broker.impact import Market, NoImpact
from engine.journal import RecordKind
from engine.orders import OrderType
from engine.reports.execution_impact import estimated_bp
from engine.reports.execution_market import market_trades
from engine.reports.execution_replay import Sight, World
from engine.reports.execution_result import ParentCosts, Picture, Table
from engine.result import ParentCost
from engine.run_folder import SavedRun
from engine.strategy import MINUTE
from engine.tape import Kind

PARENTS = 4  # that are drawn one by one
POINTS = 600
SUBMISSIONS = 6  # of the close view
Floats = NDArray[np.float64]


def pictures(parents: Sequence[ParentCosts], world: World, free: Sequence[Sight], saved: SavedRun) -> list[Picture]:
    """Of a run: a basket's for each currency, then two for each of the first parents."""
    numbers = {one.symbol: k for k, one in enumerate(world.setup.feed.tape.instruments)}
    accounts = [account.name for account in world.setup.accounts]
    paths = []
    for n, (told, parent) in enumerate(zip(parents, world.result.parents, strict=True)):
        number = numbers[parent.symbol]
        paths.append(_Path(n, told, parent, number, accounts.index(parent.account), world, free[number], saved))
    currencies = sorted({told.currency for told in parents})
    found = [_basket(currency, [path for path in paths if path.told.currency == currency]) for currency in currencies]
    for path in paths[:PARENTS]:
        accruals = _accrual(path), _accrual(path, close=True)
        found += [*(picture for picture in accruals if picture is not None), _path(path)]
    return found


class _Path:
    """What is known of one parent's time in the market."""

    def __init__(
        self,
        index: int,
        told: ParentCosts,
        parent: ParentCost,
        number: int,
        account: int,
        world: World,
        free: Sight,
        saved: SavedRun,
    ) -> None:
        self.index, self.told, self.number, self.world, self.free = index, told, number, world, free
        self.sight = world.sights[number]
        self.instrument = world.setup.feed.tape.instruments[number]
        sessions = world.setup.feed.tape.sessions
        lived = [one for one in sessions if one[0] < parent.end and parent.start < one[1]] or [
            (parent.start, parent.end)
        ]
        self.session = lived[0][0], lived[-1][1]
        mine = world.records[
            (world.records["account"] == account) & np.isin(world.records["order_no"], parent.children)
        ]
        orders = mine[mine["kind"] == RecordKind.ORDER]
        self.fills = mine[mine["kind"] == RecordKind.FILL]
        self.dark = np.isin(self.fills["order_no"], orders["order_no"][orders["type"] == OrderType.PEG_MID])
        model = saved.config.broker.impact
        self.broker, self.moves = saved.config.broker, not isinstance(model, NoImpact)
        day: Market | None = None if isinstance(model, NoImpact) else model.market.get(told.symbol)
        self.unit = day.daily_volume / model.units_a_day if day and not isinstance(model, NoImpact) else 0.0

    def impact_bp(self, ts: NDArray[np.int64]) -> Floats:
        """The model's displacement of the mid."""
        return estimated_bp(ts, self.number, self.world, self.broker)

    def displaced_bp(self, ts: NDArray[np.int64]) -> Floats:
        """What the replays say, rounded to ticks; NaN before the first quote."""
        moved, stood = self.sight.twice_mid(ts), self.free.twice_mid(ts)
        return np.where((moved > 0) & (stood > 0), (moved - stood) / np.maximum(stood, 1) * 1e4, np.nan)

    def mid(self, ts: NDArray[np.int64]) -> Floats:
        """As replayed, in price units; NaN before the first quote."""
        twice = self.sight.twice_mid(ts)
        return np.where(twice > 0, twice / 2, np.nan)

    def volume(self, ts: NDArray[np.int64]) -> Floats:
        """Market volume since the parent's start, in clock units; in size units where no average day is known."""
        trades = market_trades(self.world.pieces, self.number, self.told.start, self.session[1])
        total = np.concatenate([[0], np.cumsum(trades["size"])])
        return total[np.searchsorted(trades["ts_event"], ts, side="right")] / (self.unit or 1.0)

    def done(self, ts: NDArray[np.int64], which: NDArray[np.bool_] | None = None, *, money: bool = False) -> Floats:
        """Size (or currency) filled by ``ts``."""
        fills = self.fills if which is None else self.fills[which]
        worth = fills["size"] * (fills["price"] * self.instrument.quoted(1) if money else 1.0)
        return np.concatenate([[0.0], np.cumsum(worth)])[np.searchsorted(fills["ts"], ts, side="right")]


def _accrual(path: _Path, *, close: bool = False) -> Picture | None:
    """Displacement over volume time, with the executions that made it; ``close``: of the first submissions."""
    fills, told = path.fills, path.told
    if not len(fills) or not path.moves:
        return None
    start, end, title = told.start, path.session[1], f"{told.name}: impact over the order and its decay"
    if close:
        _, first = np.unique(fills["order_no"], return_index=True)
        begins = np.sort(fills["ts"][first])[: SUBMISSIONS + 1]
        if len(begins) <= SUBMISSIONS:
            return None
        # until the next one but no longer than the submissions took, so that what decays can be seen
        start, end = int(begins[0]) - 1, int(begins[-1])
        title = f"{told.name}: its first {SUBMISSIONS} submissions"
        fills = fills[fills["ts"] < end]
    dark = path.dark[: len(fills)]
    trades = market_trades(path.world.pieces, path.number, start, end + 1)["ts_event"]
    moments = (_thin(trades, 2 * POINTS), fills["ts"], fills["ts"] - 1, [start, end])  # just before each fill, too
    ts = np.unique(np.concatenate(moments))
    ts = ts[(ts >= start) & (ts <= end)]
    impact = {"volume": path.volume(ts), "impact_bp": path.impact_bp(ts), "displaced_bp": path.displaced_bp(ts)}
    tables = [_table("impact", **impact, time_ms=ts / 1e6)]
    for name, which in (("lit", ~dark), ("dark", dark)):
        some = fills[which]
        some = some if close else _thin(some)
        at = some["ts"]
        tables.append(_table(name, volume=path.volume(at), size=some["size"] * told.side, impact_bp=path.impact_bp(at)))
    unit = "clock units, parts of an average day as the model counts them" if path.unit else "size units"
    return Picture(
        kind="impact accrual",
        parent=path.index,
        currency=told.currency,
        title=title,
        tables=tables,
        note=f"market volume in {unit}; the market is displaced by whole ticks",
    )


def _basket(currency: str, paths: list[_Path]) -> Picture:
    """Dollar-weighted moves of buys and sells since arrival, our impact on them, and what was traded lit and dark."""
    longest = max(path.told.end - path.told.start for path in paths)
    before = max(min(path.told.start - path.session[0], longest // 3) for path in paths)
    after = max(min(path.session[1] - path.told.end, longest // 3) for path in paths)
    since = np.linspace(-before, longest + after, POINTS // 2).astype(np.int64)
    columns: dict[str, Any] = {"minutes": since / MINUTE}
    for side, name in ((1, "buys"), (-1, "sells")):
        group = [path for path in paths if path.told.side == side]
        columns[f"{name}_bp"] = _weighted(group, since, _Path.mid, relative=True)
        columns[f"{name}_impact_bp"] = _weighted(group, since, _Path.impact_bp)
        for venue in ("lit", "dark"):
            total = np.zeros(len(since))
            for path in group:
                total += path.done(path.told.start + since, path.dark if venue == "dark" else ~path.dark, money=True)
            columns[f"{name}_{venue}"] = total
    return Picture(
        kind="basket profile",
        parent=None,
        currency=currency,
        title=f"Basket of {len(paths)} parent{'s' * (len(paths) > 1)} in {currency}",
        tables=[_table("profile", **columns), _table("span", minutes=[0.0, longest / MINUTE])],
        note="weighted by value at arrival; minutes since each parent's arrival",
    )


def _weighted(paths: list[_Path], since: NDArray[np.int64], value: Any, *, relative: bool = False) -> Floats:
    total, weights = np.zeros(len(since)), np.zeros(len(since))
    for path in paths:
        at = path.told.start + since
        values = value(path, at)
        if relative:
            arrival = float(path.mid(np.array([path.told.start]))[0])
            values = (values / arrival - 1) * 1e4
        inside = (at >= path.session[0]) & (at < path.session[1]) & np.isfinite(values)
        total[inside] += values[inside] * path.told.notional
        weights[inside] += path.told.notional
    return np.where(weights > 0, total / np.maximum(weights, 1), np.nan)


def _path(path: _Path) -> Picture:
    """Price and trades; net volume of the market and ours, net order flow of quotes; target and done."""
    told, unit = path.told, path.instrument.quoted(1)
    margin = (told.end - told.start) // 20
    start, end = max(told.start - margin, path.session[0]), min(told.end + margin, path.session[1])
    ts = np.linspace(start, end, POINTS).astype(np.int64)
    trades = market_trades(path.world.pieces, path.number, start, end)
    aggressor = np.where(trades["kind"] == Kind.EXECUTE, -trades["side"], trades["side"]).astype(np.int64)
    net = np.concatenate([[0], np.cumsum(aggressor * trades["size"])])
    flow = order_flow(path.free)
    at = np.searchsorted(path.free.ts, ts, side="right")
    flow_at = flow[at] - flow[np.searchsorted(path.free.ts, start, side="right")]
    bins = told.bins
    edges = np.array([one.start for one in bins] + [bins[-1].end])
    target = np.concatenate([[0], np.cumsum([one.planned for one in bins])])
    some = _thin(trades)
    return Picture(
        kind="path",
        parent=path.index,
        currency=told.currency,
        title=f"{told.name}: path of the order",
        tables=[
            _table(
                "path",
                time_ms=ts / 1e6,
                price=path.mid(ts) * unit,
                market_net_traded=net[np.searchsorted(trades["ts_event"], ts, side="right")],
                own_net_traded=path.done(ts) * told.side,
                net_order_flow=flow_at,
                target=np.interp(ts, edges, target),
                done=path.done(ts),
            ),
            _table("trades", time_ms=some["ts_event"] / 1e6, price=some["price"] * unit),
            _table("fills", time_ms=_thin(path.fills)["ts"] / 1e6, price=_thin(path.fills)["price"] * unit),
        ],
        note="order flow of the touch after Cont, Kukanov and Stoikov (2014); trades recorded, price as replayed",
    )


def order_flow(sight: Sight) -> Floats:
    """Cumulative order-flow imbalance of the touch, size units: ``[n + 1]``, from 0 before the first quote.

    R. Cont, A. Kukanov, S. Stoikov (2014), "The price impact of order book events", J. Financial Econometrics 12.
    """
    bid, ask = sight.bid, sight.ask
    bid_size, ask_size = sight.bid_size.astype(float), sight.ask_size.astype(float)
    if not len(bid):
        return np.zeros(1)
    up = np.where(bid[1:] >= bid[:-1], bid_size[1:], 0) - np.where(bid[1:] <= bid[:-1], bid_size[:-1], 0)
    down = np.where(ask[1:] <= ask[:-1], ask_size[1:], 0) - np.where(ask[1:] >= ask[:-1], ask_size[:-1], 0)
    return np.concatenate([[0.0, 0.0], np.cumsum(up - down)])


def _thin(values: Any, most: int = POINTS) -> Any:
    return values[:: max(1, -(-len(values) // most))]


def _table(name: str, **columns: Any) -> Table:
    """NaN, which JSON lacks, becomes None."""
    return Table(
        name=name,
        columns={
            key: [None if value != value else round(value, 6) for value in np.asarray(values, float).tolist()]
            for key, values in columns.items()
        },
    )
