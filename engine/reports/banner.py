"""What is about to be simulated: every model and every parameter, before the first row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from engine.broker.impact import Impact, NoImpact, Propagator
from engine.broker.models import Fees, Latency, Lognormal, RiskConfig
from engine.config import FEES, LIMITS, Config
from engine.reports.formats import duration, moment, money
from engine.signals import Probe
from engine.tape import Manifest


def banner(config: Config, market: Manifest, rows: int) -> list[str]:
    """The lines that head a run.

    Parameters
    ----------
    config : Config
        As resolved, with every default.
    market : Manifest
        Of the tape, or of all tapes joined.
    rows : int
        That will be replayed; 0 where it is not known before.
    """
    lines = [("run", f"{config.name}, seed {config.seed}"), ("market", _market(market, rows)), ("feed", config.feed)]
    for entry in config.strategies:
        cash = ", ".join(f"{money(amount)} {currency}" for currency, amount in entry.account.cash.items())
        lines.append(("strategy", f"{entry.strategy}({_arguments(entry.params)})"))
        lines.append(("account", f"{entry.account.name}, {cash}"))
        lines += [("probe", _probe(probe)) for probe in entry.probes]
    kinds = {instrument.kind for instrument in market.instruments}
    if kinds != {"rates"}:  # deals at closes meet none of these
        models = [(name, value) for name, value in _fields(config.broker) if name not in ("impact", "otc")]
        lines += [(name, _parameters(value)) for name, value in models]
        lines += _impact(config.broker.impact)
    limits = [(name, value) for name, value in _fields(config.risk) if name not in ("preset", "otc")]
    on = ", ".join(f"{name} {_value(config.risk, name, value)}" for name, value in limits if _is_limit_on(value))
    lines.append(("risk", f"preset {config.risk.preset}: {on}"))
    lines.append(("risk off", ", ".join(name for name, value in limits if not _is_limit_on(value)) or "none"))
    if "rates" in kinds:
        lines += _over_the_counter(config)
    return [f"{name:<12}{text}" for name, text in lines]


def _probe(probe: Probe) -> str:
    model = f"model {probe.model} ({probe.content[:16]})" if probe.model else "no model"
    return f"signals of {probe.symbol} by {probe.clock} ticks, {model}"


def _over_the_counter(config: Config) -> list[tuple[str, str]]:
    """How deals fill at closes, and their limits."""
    otc = config.broker.otc
    rule = {
        "same_close": "deals fill at the very close whose panel the strategy has seen",
        "next_close": "deals fill at the close after the one that the strategy has seen",
    }[otc.fill]
    spreads = {
        "swaptions": f"{otc.swaption_vol_bp:g} bp of vol x vega + {otc.swaption_bp:g} bp of yield x DV01",
        "swaps": f"{otc.swap_bp:g} bp of yield x DV01",
        "bonds": f"{otc.bond_bp:g} bp of yield x DV01",
    }
    half = ", ".join(f"{name} {spread}" for name, spread in spreads.items())
    carried = f"quotes up to {otc.max_age_days} business days old" if otc.max_age_days else "only fresh quotes"
    conventions = ", ".join(f"{currency} as {name}" for currency, name in otc.conventions.items())
    limits = [
        f"{kind}s {', '.join(f'{name} {money(limit)}' for name, limit in _fields(one) if limit) or 'none'}"
        for kind, one in _fields(config.risk.otc)
    ]
    return [
        ("otc", f"{otc.fill}: {rule}, at mid +- half a spread; {carried}; {conventions}"),
        ("half-spread", half),
        ("otc limits", "; ".join(limits)),
    ]


def _impact(impact: Impact) -> list[tuple[str, str]]:
    """What our own orders do to the market, and what is taken for an average day."""
    if isinstance(impact, NoImpact):
        return [("impact", "none: own orders do not move the replayed market, so large ones look too cheap")]
    text = {
        "footprint": "footprint: own fills displace the market that is replayed",
        "cost": "cost: own fills are charged what they would displace, the market stays",
    }[impact.mode]
    model = f"{msgspec.structs.asdict(impact).get('model', type(impact).__struct_config__.tag)}"
    shown = [
        f"{name} {_value(impact, name, value)}"
        for name, value in _fields(impact)
        if name not in ("mode", "market", "model", "region") and value not in (None, False)
    ]
    if isinstance(impact, Propagator):
        where = "own parameters" if impact.parameters else f"region {impact.region}"
        shown.insert(0, f"{where} ({_parameters(impact.used)})")
    first = list(impact.market.items())[:8]
    days = ", ".join(f"{symbol} {day.daily_volume:,} at {day.daily_volatility:.2%}" for symbol, day in first)
    more = f" and {len(impact.market) - 8} more" if len(impact.market) > 8 else ""
    return [
        ("impact", f"{text}; {model}, {', '.join(shown)}"),
        ("average day", f"{days}{more} volatility, measured from this tape where not given"),
    ]


def _market(market: Manifest, rows: int) -> str:
    symbols = [instrument.symbol for instrument in market.instruments]
    named = ", ".join(symbols[:8]) + (f" and {len(symbols) - 8} more" if len(symbols) > 8 else "")
    depth = sorted({instrument.book for instrument in market.instruments})
    kind = ", SYNTHETIC" if market.synthetic else ""
    text = f"{market.name or 'rows'}: {named} ({'/'.join(depth)}{kind})"
    if market.sessions:
        text += f", {_span(market.sessions)}"
    elif market.ts_last:
        text += f", {_span([(market.ts_first, market.ts_last)])}"
    return text + (f", {rows:,} rows" if rows else "")


def _span(sessions: Sequence[tuple[int, int]]) -> str:
    days = f"{len(sessions)} sessions, " if len(sessions) > 1 else ""
    return f"{days}{moment(sessions[0][0])} to {moment(sessions[-1][1])} UTC"


def _arguments(params: dict[str, Any]) -> str:
    return ", ".join(f"{name}={_argument(value)}" for name, value in params.items() if value not in (None, "", ()))


def _argument(value: Any) -> str:
    if isinstance(value, dict):
        return f"({_arguments(value)})"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_argument, value))}]"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _parameters(model: msgspec.Struct, shown: Callable[[Any], bool] = lambda value: True) -> str:
    return ", ".join(
        f"{name} {_value(model, name, value)}" for name, value in _fields(model) if name != "preset" and shown(value)
    )


def _is_limit_on(value: Any) -> bool:
    return value not in (0, ())


def _fields(model: msgspec.Struct) -> list[tuple[str, Any]]:
    return [(field.name, getattr(model, field.name)) for field in msgspec.structs.fields(model)]


def _value(model: msgspec.Struct, name: str, value: Any) -> str:
    """One parameter as people write it: its type and name say the unit."""
    if isinstance(value, Lognormal):
        return f"lognormal (median {duration(value.median_ns)}, sigma {value.sigma}, floor {duration(value.floor_ns)})"
    if isinstance(value, msgspec.Struct):
        return f"({_parameters(value)})"
    if isinstance(model, Fees) and name in FEES:
        return money(value, 6)
    if isinstance(model, RiskConfig) and name in LIMITS:
        return money(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return duration(value) if isinstance(model, Latency) or name.endswith("_ns") else f"{value:,}"
    return str(value).lower() if isinstance(value, bool) else str(value)
