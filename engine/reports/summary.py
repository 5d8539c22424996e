"""What a run came to, in a few lines: the data verdict before any profit, the fingerprint last."""

from __future__ import annotations

from engine.reports.formats import counts, moment, money
from engine.result import Balance, Holding, ParentCost, Result

SHOWN = 12  # open contracts


def summary(result: Result, without: Result | None = None) -> list[str]:
    """The lines that end a run; ``without`` is what it came to in a market that own orders do not move."""
    lines = [("data", _data(result))]
    if result.synthetic:
        lines.append(("", "the market is synthetic: what works on it is no evidence of what works on a real one"))
    if result.partial:
        lines.append(("PARTIAL", result.partial))
    lines.append(("orders", _orders(result)))
    lines += [("parent", _parent(parent, result)) for parent in result.parents]
    lines += _positions(result)
    if result.carried:
        said = "marks repeated and cash flows left out, because the day's panels had no quote"
        lines.append(("CARRIED", f"{sum(result.carried.values()):,} ({counts(result.carried)}): {said}"))
    if result.declined:
        lines.append(("declined", counts(result.declined)))
    for balance in result.balances:
        lines.append(
            ("P/L", f"{balance.account}: {money(balance.pnl)} {balance.currency} ({_made_of(result, balance)})")
        )
    if without is not None:
        lines += [("no impact", text) for text in _against(result, without)]
    lines.append(("fingerprint", result.fingerprint))
    if result.folder:
        lines.append(("folder", result.folder))
    return [f"{name:<12}{text}" for name, text in lines]


def _against(result: Result, without: Result) -> list[str]:
    """What the same run came to without own impact, and so what impact cost."""
    lines = []
    for parent, free in zip(result.parents, without.parents, strict=False):
        texts = [
            f"{name} {after:+.2f} bp instead of {before:+.2f}"
            for name, before, after in (
                ("arrival", parent.slippage_arrival_bp, free.slippage_arrival_bp),
                ("market VWAP", parent.slippage_vwap_bp, free.slippage_vwap_bp),
            )
            if before is not None and after is not None
        ]
        lines.append(f"{parent.name}: {free.done:,} done; {', '.join(texts) or 'nothing to compare'}")
    for balance, free in zip(result.balances, without.balances, strict=True):
        change = money(balance.pnl - free.pnl)
        lines.append(f"P/L {balance.account}: {money(free.pnl)} {balance.currency}; own impact changed it by {change}")
    return lines


def _data(result: Result) -> str:
    if not result.rows:
        return "no rows"
    found = counts(result.verdict) or "no faults found"
    return f"{result.rows:,} rows, {moment(result.ts_first)} to {moment(result.ts_last)} UTC; {found}"


def _orders(result: Result) -> str:
    orders = result.orders
    text = (
        f"{orders.sent:,} sent, {orders.accepted:,} accepted, {orders.fills:,} fills ({orders.maker_fills:,} as maker)"
    )
    for name in ("rejected", "cancelled", "expired"):
        if reasons := getattr(orders, name):
            text += f"; {name} {sum(reasons.values()):,} ({counts(reasons)})"
    return text


def _parent(parent: ParentCost, result: Result) -> str:
    text = f"{parent.name}: {parent.done:,} of {parent.size:,} done ({parent.done / parent.size:.1%})"
    if parent.average_price is None:
        return text
    currency = next((h.currency for h in result.holdings if h.symbol == parent.symbol), "")
    text += f" at {parent.average_price:,.6g}"
    for name, price, slippage in (
        ("arrival", parent.arrival_price, parent.slippage_arrival_bp),
        ("market VWAP", parent.interval_vwap, parent.slippage_vwap_bp),
    ):
        if price is not None and slippage is not None:
            text += f", {slippage:+.2f} bp against {name} {price:,.6g}"
    text += f", fees {money(parent.fees)} {currency}"
    return f"{text}, impact charged {money(parent.impact_charged)}" if parent.impact_charged else text


def _positions(result: Result) -> list[tuple[str, str]]:
    """Instruments and closed contracts by line, open contracts up to a screenful."""
    held = [holding for holding in result.holdings if holding.contracts and holding.size]
    shown = [holding for holding in result.holdings if not (holding.contracts and holding.size)] + held[:SHOWN]
    lines = [("position", _holding(holding)) for holding in shown]
    if len(held) > SHOWN:
        lines.append(("", f"and {len(held) - SHOWN:,} more open contracts, all in results.json"))
    return lines


def _holding(holding: Holding) -> str:
    if holding.contracts and not holding.size:
        traded = f"{holding.fills:,} fills, {holding.volume:,} traded"
        return f"{holding.account} {holding.contracts:,} {holding.symbol} in {holding.currency}: closed; {traded}"
    mark = "not marked, at cost" if holding.mark is None else f"marked at {holding.mark:,.6g}"
    held = f"{holding.size:+,} ({mark})" if holding.size else "flat"
    return f"{holding.account} {holding.symbol}: {held}; {holding.fills:,} fills, {holding.volume:,} traded"


def _made_of(result: Result, balance: Balance) -> str:
    held = [h for h in result.holdings if (h.account, h.currency) == (balance.account, balance.currency)]
    names = ("realised", "unrealised", "fees", "impact_charged", "adjustments")
    parts = [(name.replace("_", " "), sum(getattr(h, name) for h in held)) for name in names]
    return ", ".join(f"{name} {money(amount)}" for name, amount in parts if amount or name in ("realised", "fees"))
