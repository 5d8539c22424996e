"""Where a swaption seller's profit came from: its ledger's P/L of each close beside the research path's explanation.

The run folder names the programme, the tape and the dealer's half-spreads; the journal says which sales were made. Each
of those is walked again by ``engine.rates`` and explained (``pnl_explain``); what the ledger has and the explanation
has not is ``rest``: rounding, refused deals, closes without a market. So a fault in either path would show.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.config import build
from engine.contracts import ContractClass, Packed, Swaption, money_of, price_units, unpack
from engine.errors import RunError
from engine.instruments import MICRO
from engine.journal import RecordKind
from engine.portfolio import entries
from engine.rates.contract_panel import contract_panel
from engine.rates.curves import DiscountCurve
from engine.rates.open_sales import OpenSales
from engine.rates.option_panel import OptionPanel
from engine.rates.pnl_explain import Explained, explain
from engine.rates.seller_programme import Programme
from engine.rates.short_gamma import BP, Costs, daily_pnl_bp, net_wealth_bp, trace
from engine.rates.short_gamma_kernels import HEDGE, NOTIONAL, STRIKE
from engine.rates.stress import Ladder, stress_ladder
from engine.rates.swap_curve import bootstrap_days
from engine.rates.vol_surface import VolSurface
from engine.run_folder import SavedRun, read
from engine.tape import Kind, Tape, is_axis

Floats = NDArray[np.float64]
PARTS = Explained._fields[1:]
DAY_NS = 86_400_000_000_000
COLUMNS = ("ledger", *PARTS, "closing", "rest")  # money of each close
HEDGES = {"never": np.inf, "50%": 0.5, "25%": 0.25, "10%": 0.1, "daily": 0.0}


class RuleRow(NamedTuple):
    """One hedging rule for the same sales."""

    hedge: str
    mean_bp: float  # net P/L of a sale
    worst_day_bp: float  # P/L of the worst close
    margin_bp: float  # worst-day margin: the largest loss of a stress ladder, of everything open
    margin_date: str


class SellerReport(NamedTuple):
    """What a run of a swaption seller came to; money in units of currency, bp of the notional of one sale."""

    programme: Programme
    notional: int
    dates: NDArray[np.datetime64]  # [d]
    daily: dict[str, Floats]  # COLUMNS, each [d]
    sales: int
    declined: Mapping[str, int]
    ladder: Ladder
    ladder_dates: NDArray[np.datetime64]
    rules: list[RuleRow]


class _Market(NamedTuple):
    dates: NDArray[np.datetime64]
    curves: list[DiscountCurve]
    surface: VolSurface


def short_gamma_report(folder: str | Path) -> SellerReport:
    """Explain a run, and stress it.

    Raises
    ------
    RunError
        If it is not the run of one swaption seller.
    """
    saved = read(folder)
    params = _params(saved)
    programme, symbol = msgspec.convert(params["programme"], Programme), str(params["symbol"])
    notional, otc = int(params.get("notional", 100_000_000)), saved.config.broker.otc
    tape = _as_run(build(saved.config).feed.tape, symbol)
    market = _market(tape, symbol, int(params.get("max_age_days", 0)), programme)
    sales = contract_panel(
        market.dates, market.curves, market.surface, expiry_months=programme.expiry_months,
        tenor_months=programme.tenor_months, market=programme.market, calendar=programme.calendar or None,
        is_cash_settled=programme.is_cash_settled,
    )  # fmt: skip
    walked = _walk(programme, market)
    bought = _fills(saved)
    panels = [(sales.panel, _taken(sales.panel, sales.contracts.expiry, walked, bought, programme), False)]
    if len(walked.book.sales):
        panels.append(_open_part(walked, bought, programme))
    dates, ledger = _ledger_by_close(saved, tape, symbol)
    costs = Costs(hedge_bp=otc.swap_bp, option_half_spread_bp=otc.swaption_vol_bp)
    daily = _explained(panels, programme, costs, dates, notional * BP)
    daily["ledger"], daily["rest"] = ledger, ledger - sum(daily.values())
    settled, is_sold = sales.panel, panels[0][1]
    paths = trace(settled, programme.structure, programme.rule)
    ladder = stress_ladder(
        settled, programme.structure, paths, tenor_years=programme.tenor_months / 12, is_sold=is_sold
    )
    return SellerReport(
        programme=programme,
        notional=notional,
        dates=dates,
        daily={name: daily[name] for name in COLUMNS},
        sales=sum(int(taken.sum()) for _, taken, _ in panels),
        declined=saved.result.declined,
        ladder=ladder,
        ladder_dates=settled.dates,
        rules=[_rule_row(settled, programme, name, costs, is_sold) for name in HEDGES],
    )


def write_daily(report: SellerReport, file: str | Path) -> Path:
    """The P/L of each close and its parts as CSV, in units of currency."""
    with Path(file).open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["date", *COLUMNS])
        for d, date in enumerate(report.dates):
            writer.writerow([date, *(f"{report.daily[name][d]:.2f}" for name in COLUMNS)])
    return Path(file)


def report_lines(report: SellerReport) -> list[str]:
    """The report as lines for a terminal."""
    per_sale = report.notional * BP * max(report.sales, 1)
    lines = [f"{report.sales:,} sales of {report.notional:,}; P/L and what explains it", ""]
    lines += [f"  {'':14}{'money':>18}{'bp a sale':>12}"]
    for name in COLUMNS:
        total = float(report.daily[name].sum())
        lines.append(f"  {name:14}{total:>18,.2f}{total / per_sale:>12.4f}")
    for reason, count in report.declined.items():
        lines.append(f"  not sold: {reason}: {count:,}")
    lines += ["", *_ladder_lines(report), "", "  the same sales under each hedging rule, bp of notional:"]
    lines.append(f"  {'hedged':10}{'mean net':>12}{'worst day':>12}{'margin':>12}  on")
    for row in report.rules:
        lines.append(
            f"  {row.hedge:10}{row.mean_bp:>12.3f}{row.worst_day_bp:>12.1f}{row.margin_bp:>12.1f}  {row.margin_date}"
        )
    return lines


def _ladder_lines(report: SellerReport) -> list[str]:
    ladder, day = report.ladder, report.ladder.worst_day
    lines = [f"  stress at the worst close, {report.ladder_dates[day]}, bp of the notional of one sale:"]
    lines.append(f"  {'rates bp':10}" + "".join(f"{f'vol {vol:+.0%}':>12}" for vol in ladder.vols))
    for shock, row in zip(ladder.rates_bp, ladder.pnl_bp[day].tolist(), strict=True):
        lines.append(f"  {shock:<+10.0f}" + "".join(f"{number:>12.1f}" for number in row))
    return lines


def _params(saved: SavedRun) -> dict[str, Any]:
    entry = saved.config.strategies
    if len(entry) != 1 or "programme" not in entry[0].params:
        raise RunError(f"{saved.folder} is not a run of one swaption seller; run configs/swaption_seller.toml")
    return entry[0].params


def _as_run(tape: Tape, symbol: str) -> Tape:
    """The tape with panels of no other days than its rows have: a run may have been cut in time."""
    number = [instrument.symbol for instrument in tape.instruments].index(symbol)
    closes = tape.rows[(tape.rows["kind"] == Kind.CLOSE) & (tape.rows["instrument"] == number)]
    if not len(closes):
        raise RunError(f"the run saw no close of {symbol}, so there is nothing to explain; run more of its tape")
    days = slice(int(closes["order_id"].min()), int(closes["order_id"].max()) + 1)
    panels = {name: panel if is_axis(name) else panel[days] for name, panel in tape.panels.items()}
    return Tape(tape.rows, tape.manifest, panels)


def _market(tape: Tape, symbol: str, max_age: int, programme: Programme) -> _Market:
    """The closes on which the strategy could decide."""
    named = tape.panels
    prefix = f"{symbol}." if f"{symbol}.date" in named else ""
    rates, vols = (np.asarray(named[prefix + name], np.float64) for name in ("swap_rate", "normal_vol"))
    usable = np.isfinite(rates).all(axis=1) & (vols > 0).all(axis=(1, 2, 3))
    for name in ("swap_rate", "normal_vol"):
        age = named.get(f"{prefix}age_{name}")
        if age is not None:
            usable &= (age <= max_age).reshape(len(age), -1).all(axis=1)
    dates = named[f"{prefix}date"][usable].astype("datetime64[D]")
    tenors = named[f"{prefix}axis_swap_tenor"]
    curves = bootstrap_days(dates, tenors, rates[usable], market=programme.market)
    expiries, swaps, offsets = (named[f"{prefix}axis_vol_{axis}"] for axis in ("expiry", "tenor", "offset"))
    return _Market(dates, curves, VolSurface(dates, expiries, swaps, offsets, vols[usable]))


class _Walked(NamedTuple):
    """The strategy's own walk over the closes."""

    book: OpenSales  # after the last close
    on: set[np.datetime64]  # closes at which every signal was on


def _walk(programme: Programme, market: _Market) -> _Walked:
    """All closes where signals ask for it; otherwise the last ones, for what is open at the end."""
    book, on = OpenSales(programme), set(market.dates.tolist())
    first = 0
    if programme.signals:
        on = set()
    else:
        open_from = [d for d in range(len(market.dates)) if programme.expiry(market.dates[d]) > market.dates[-1]]
        first = open_from[0] if open_from else len(market.dates)
    for d in range(first, len(market.dates)):
        date = market.dates[d]
        book.close(date, market.curves[d], market.surface)
        if programme.signals and not book.signals_off():
            on.add(date.item())
    return _Walked(book, on)


def _fills(saved: SavedRun) -> set[tuple[int, int, int]]:
    """(day, expiry, strike in 1e-14) of every sale of a swaption."""
    terms: dict[int, Packed] = {}
    found = set()
    for entry in entries(saved.records, RecordKind.CONTRACT, RecordKind.FILL):
        if entry.kind == RecordKind.CONTRACT:
            terms[entry.number] = Packed(entry.type, entry.side, entry.tif, entry.price, entry.extra)
        elif terms[entry.number].type == ContractClass.SWAPTION and entry.side < 0:
            swaption = unpack(terms[entry.number])
            assert isinstance(swaption, Swaption)
            found.add((entry.ts // DAY_NS, swaption.expiry, terms[entry.number].price))
    return found


def _taken(
    panel: OptionPanel,
    expiry: NDArray[np.datetime64],
    walked: _Walked,
    sold: set[tuple[int, int, int]],
    programme: Programme,
) -> NDArray[np.bool_]:
    """Which sales were made: the signals were on, and the dealer filled them."""
    strikes = trace(panel, programme.structure, programme.rule)[:, 0, STRIKE, 0]
    taken = np.zeros(len(panel), bool)
    for n, strike in enumerate(strikes.tolist()):
        date = panel.dates[panel.sold[n]]
        key = (int(date.astype(np.int64)), int(expiry[n].astype(np.int64)), price_units(strike))
        taken[n] = date.item() in walked.on and key in sold
    return taken


def _open_part(
    walked: _Walked, sold: set[tuple[int, int, int]], programme: Programme
) -> tuple[OptionPanel, NDArray[np.bool_], bool]:
    """What is open after the last close; its panel ends in a settlement that has not been."""
    book, panel = walked.book, walked.book.panel
    assert panel is not None
    expiry = np.array([sale.expiry for sale in book.sales])
    return panel, _taken(panel, expiry, walked, sold, programme) & ~book.is_expired, True


def _explained(
    panels: list[tuple[OptionPanel, NDArray[np.bool_], bool]],
    programme: Programme,
    costs: Costs,
    dates: NDArray[np.datetime64],
    money: float,
) -> dict[str, Floats]:
    """Each part of the P/L by close, in money, ``closing`` among them."""
    daily = {part: np.zeros(len(dates)) for part in (*PARTS, "closing")}
    for panel, taken, has_phantom in panels:
        found = explain(panel, programme.structure, programme.rule, costs)
        counted = panel.is_marked & taken[:, None]
        if has_phantom:
            counted &= np.arange(panel.forward.shape[1]) < panel.last[:, None]
        at = np.searchsorted(dates, panel.dates[np.minimum(panel.close, panel.dates.size - 1)][counted])
        for part in PARTS:
            np.add.at(daily[part], at, money * getattr(found, part)[counted])
        if not has_phantom:
            at = np.searchsorted(dates, panel.dates[panel.expired[taken]])
            np.add.at(daily["closing"], at, -money * costs.hedge_bp * _closing(panel, programme)[taken])
    return daily


def _closing(panel: OptionPanel, programme: Programme) -> Floats:
    """Annuity times the swaps that a sale closes at expiry, above its net hedge: float64[n].

    Those are hedges at strikes that restriking left, and the swap that was delivered; the latter may also net with a
    hedge and save its unwind, so the number may be negative.
    """
    paths, extra = trace(panel, programme.structure, programme.rule), np.zeros(len(panel))
    for n in range(len(panel)):
        last = int(panel.last[n])
        for (kind, _), path in zip(programme.structure.legs, paths[n], strict=True):
            swaps: dict[float, float] = defaultdict(float)
            changes = np.diff(path[HEDGE, :last], prepend=0.0)
            for strike, change in zip(path[STRIKE, :last].tolist(), changes.tolist(), strict=True):
                swaps[strike] += change
            strike = float(path[STRIKE, last - 1])
            moneyness = float(panel.forward[n, last]) - strike
            is_exercised = kind * moneyness > 0 or (kind == 0 and moneyness != 0)
            if is_exercised and not programme.is_cash_settled:
                swaps[strike] -= float(path[NOTIONAL, last - 1]) * (1 if moneyness > 0 else -1)
            extra[n] += sum(map(abs, swaps.values())) - abs(float(path[HEDGE, last - 1]))
    return extra * panel.annuity[np.arange(len(panel)), panel.last]


def _ledger_by_close(saved: SavedRun, tape: Tape, symbol: str) -> tuple[NDArray[np.datetime64], Floats]:
    """Dates of the run's closes, and the ledger's P/L of each in units of currency."""
    prefix = f"{symbol}." if f"{symbol}.date" in tape.panels else ""
    dates = tape.panels[f"{prefix}date"].astype("datetime64[D]")
    market = [instrument.symbol for instrument in tape.instruments].index(symbol)
    rows = tape.rows[(tape.rows["kind"] == Kind.CLOSE) & (tape.rows["instrument"] == market)]
    equity_at = dict.fromkeys(rows["ts_event"].tolist(), 0)
    days = rows["order_id"] - rows["order_id"].min()
    day_of = dict(zip(rows["ts_event"].tolist(), days.tolist(), strict=True))
    cash = worth = 0
    held: dict[int, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))  # size, mark, worth
    for entry in entries(saved.records, RecordKind.FILL, RecordKind.ADJUST, RecordKind.MARK):
        size, mark, was = held[entry.number]
        if entry.kind == RecordKind.FILL:
            cash -= money_of(entry.price, entry.side * entry.size)
            size += entry.side * entry.size
        elif entry.kind == RecordKind.ADJUST:
            cash, size = cash + entry.extra, size + entry.size
        else:
            mark = entry.price
        now = money_of(mark, size)
        worth += now - was
        held[entry.number] = (size, mark, now)
        equity_at[entry.ts] = cash + worth
    equity = np.zeros(len(dates))
    known = 0
    for ts, amount in equity_at.items():
        known = amount or known
        equity[day_of[ts]] = known / MICRO
    return dates, np.diff(equity, prepend=0.0)


def _rule_row(panel: OptionPanel, programme: Programme, name: str, costs: Costs, is_sold: NDArray[np.bool_]) -> RuleRow:
    rule = msgspec.structs.replace(programme.rule, hedge_beyond=HEDGES[name])
    paths = trace(panel, programme.structure, rule)
    wealth = net_wealth_bp(paths, costs)
    by_day = daily_pnl_bp(panel, wealth, is_sold=is_sold)
    ladder = stress_ladder(panel, programme.structure, paths, tenor_years=programme.tenor_months / 12, is_sold=is_sold)
    mean = float(wealth[is_sold, -1].mean()) if is_sold.any() else np.nan
    day = ladder.worst_day
    return RuleRow(name, mean, float(by_day.min()), float(ladder.margin_bp[day]), str(panel.dates[day]))
