"""What a run's parent orders cost, and why: eq. 3 of the slides and its extension, from a run folder.

``analyse`` replays the run, once as it was and once without its impact (``execution_replay``), measures each parent
against its schedule and the recorded market (``execution_market``), splits what each fill cost (``execution_split``)
and adds up exactly (``execution_identity``). docs/costs.md defines every number.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from engine import run_folder
from engine.broker.impact import NoImpact
from engine.reports.execution_basket import baskets
from engine.reports.execution_market import market_trades
from engine.reports.execution_parent import RESIDUAL, Worked, quoted, work
from engine.reports.execution_pictures import pictures
from engine.reports.execution_quality import fill_rates, forecast, markouts
from engine.reports.execution_replay import Sight, World, replay, replay_without_impact
from engine.reports.execution_result import Arrival, Costs, ParentCosts, ProfitLoss
from engine.reports.execution_rows import costs_of_bins, costs_of_children
from engine.run_folder import SavedRun


def analyse(
    folder: str | os.PathLike[str], *, counterfactual: bool = True, step: Callable[[str], None] = lambda text: None
) -> Costs:
    """The execution cost analysis of a run.

    Parameters
    ----------
    folder : path
        A run folder.
    counterfactual : bool
        Replay the run without its impact too. Otherwise own impact is not told apart from the market's moves.
    step : callable, optional
        Told what is being done.

    Raises
    ------
    RunError
        If the folder cannot be read, the run was partial or does not repeat, or a parent's market never traded.
    """
    saved = run_folder.read(Path(folder))
    moves = not isinstance(saved.config.broker.impact, NoImpact)
    step("replaying the run")
    world = replay(saved)
    other = None
    if moves and counterfactual:
        step("replaying it without its impact")
        other = replay_without_impact(saved)
    step("adding up")
    free = (other or world).sights
    numbers = {one.symbol: k for k, one in enumerate(world.setup.feed.tape.instruments)}
    twins = {(one.account, n): one for n, one in enumerate(other.result.parents)} if other else {}
    parents = []
    for n, parent in enumerate(world.result.parents):
        number = numbers[parent.symbol]
        worked = work(parent, number, world, free[number], saved)
        twin = twins.get((parent.account, n))
        unmoved = work(twin, number, other, free[number], saved) if other and twin else None
        parents.append(_told(worked, number, unmoved, world, free[number], saved))
    notes = (
        [] if parents else ["no strategy of this run registered a parent order (desk.parent), so nothing is measured"]
    )
    if moves and not counterfactual:
        notes.append("without the counterfactual replay, own impact is part of the market's moves in every line")
    if not isinstance(saved.config.broker.latency.feed, int):
        notes.append(
            "the feed's latency is drawn or recorded: what an order saw is taken as the market when it was sent"
        )
    return Costs(
        run=saved.config.name,
        fingerprint=saved.manifest.fingerprint,
        synthetic=world.result.synthetic,
        impact=_impact(saved),
        baskets=baskets(parents, saved.config.seed),
        parents=parents,
        profit=_profit(world, other),
        pictures=pictures(parents, world, free, saved),
        notes=notes,
    )


def _told(
    worked: Worked, number: int, unmoved: Worked | None, world: World, free: Sight, saved: SavedRun
) -> ParentCosts:
    parent, bench, instrument = worked.parent, worked.bench, worked.instrument
    own = [fill for fill in worked.fills if fill.child != RESIDUAL]
    done, volume = sum(fill.size for fill in own), sum(bench.volume)
    notional = round(parent.size * bench.price * instrument.money)
    targets = np.array(bench.schedule.done_by[1:])
    by_bin = (
        np.bincount([fill.bin for fill in own], [fill.size for fill in own], len(bench.bins)) if own else targets * 0
    )
    behind = (np.cumsum(by_bin) - targets) / parent.size
    predicted, note = forecast(worked.split, parent, bench, instrument, free, saved, done)
    return ParentCosts(
        account=parent.account,
        name=parent.name,
        symbol=parent.symbol,
        currency=instrument.currency,
        side=parent.side,
        size=parent.size,
        done=done,
        start=parent.start,
        end=parent.end,
        benchmark=quoted(instrument, bench.price),
        notional=notional,
        split=worked.split,
        total_bp=bp(worked.split.total, notional),
        replayed_vwap_bp=_against_replayed(worked, number, world, free),
        without_impact=unmoved.split if unmoved else None,
        without_impact_bp=bp(unmoved.split.total, notional) if unmoved else None,
        arrival=_arrival(worked, free),
        forecast=predicted,
        participation=done / volume if volume else None,
        worst_deviation=float(np.abs(behind).max()),
        mean_deviation=float(behind.mean()),
        markouts=markouts(parent.side, own, world.sights[number], bench.session[1]),
        fill_rates=fill_rates(parent.side, worked.children, own, world.sights[number], instrument),
        bins=costs_of_bins(worked),
        children=costs_of_children(worked),
        notes=worked.notes + ([note] if note else []),
    )


def bp(money: int, notional: int) -> float:
    """Money as bp of the notional."""
    return money / notional * 1e4 if notional else 0.0


def _arrival(worked: Worked, free: Sight) -> Arrival:
    twice = int(free.twice_mid(worked.parent.start))
    if not twice:  # the first quote comes after the start
        later = free.valid[free.times >= worked.parent.start]
        if not len(later):
            return Arrival(price=None, shortfall=None, shortfall_bp=None)
        twice = int(free.bid[later[0]] + free.ask[later[0]])
    arrived, instrument = Fraction(twice, 2), worked.instrument
    paid = sum((fill.size * (fill.price - arrived) for fill in worked.fills), Fraction(0)) * worked.parent.side
    shortfall = round(paid * instrument.money) + worked.split.fees
    notional = round(worked.parent.size * arrived * instrument.money)
    return Arrival(price=quoted(instrument, arrived), shortfall=shortfall, shortfall_bp=bp(shortfall, notional))


def _against_replayed(worked: Worked, number: int, world: World, free: Sight) -> float | None:
    """Against the VWAP of the market that we had moved: what a desk's own report would say."""
    parent = worked.parent
    trades = market_trades(world.pieces, number, parent.start, parent.end)
    if not len(trades):
        return None
    moved = world.sights[number].twice_mid(trades["ts_event"]) - free.twice_mid(trades["ts_event"])
    prices = trades["price"] + moved / 2
    vwap = float(np.average(prices, weights=trades["size"]))
    paid = float(sum((fill.size * fill.price for fill in worked.fills), Fraction(0)) / parent.size)
    return parent.side * (paid - vwap) / vwap * 1e4


def _profit(world: World, other: World | None) -> list[ProfitLoss]:
    without = {(one.account, one.currency): one.pnl for one in other.result.balances} if other else {}
    return [
        ProfitLoss(
            account=one.account,
            currency=one.currency,
            pnl=one.pnl,
            without_impact=without.get((one.account, one.currency)),
        )
        for one in world.result.balances
    ]


def _impact(saved: SavedRun) -> str:
    model = saved.config.broker.impact
    if isinstance(model, NoImpact):
        return "none: own orders do not move the replayed market"
    name = model.__struct_config__.tag
    kind = getattr(model, "model", "")
    return f"{name}{f' {kind}' if kind else ''}, {model.mode}"
