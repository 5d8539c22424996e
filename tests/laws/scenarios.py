"""Random scenarios for either broker, and how two transcripts are compared."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from msgspec.structs import replace as replace_fields

from engine import kernel_cache
from engine.broker.impact import Impact, NoImpact
from engine.broker.models import RiskConfig
from engine.signals import Probe
from engine.strategy import Wake
from engine.testing import generators as g
from engine.testing.drive import Scenario, Transcript


def compiled():
    """The compiled broker's class."""
    kernel_cache.ensure()
    return pytest.importorskip("engine.broker.simulated").SimulatedBroker


@st.composite
def scenarios(
    draw: st.DrawFn,
    kind: str = "any",
    most_accounts: int = 2,
    one_pass: bool = True,
    tight: bool = True,
    impact: bool = True,
) -> Scenario:
    """A tape of a book kind with programs of orders for one or two accounts, which may move the market."""
    accounts = draw(st.integers(1, most_accounts))
    tape = draw(g.tapes(kind))
    symbols = [instrument.symbol for instrument in tape.instruments] if impact else []
    return Scenario(
        tape=tape,
        programs=[draw(g.order_programs()) for _ in range(accounts)],
        wakes=[draw(g.wakes()) for _ in range(accounts)],
        config=draw(g.broker_configs(one_pass=one_pass, symbols=symbols)),
        risk=draw(g.risk_configs(tight=tight)),
        seed=draw(st.integers(0, 2**40)),
        wants=[(draw(st.booleans()), draw(st.booleans())) for _ in range(accounts)],
    )


@st.composite
def moving_scenarios(draw: st.DrawFn, kind: str = "any", one_pass: bool = True) -> Scenario:
    """As ``scenarios``, but with impact always, and orders of which most trade: the book moves under their feet."""
    plain = draw(scenarios(kind, one_pass=one_pass, tight=False, impact=False))
    impact = draw(g.impacts([instrument.symbol for instrument in plain.tape.instruments]).filter(_moves))
    return replace(
        plain,
        programs=[draw(g.eager_programs()) for _ in plain.programs],
        wakes=[replace_fields(wake, on_quote=True, on_trade=True) for wake in plain.wakes],
        config=replace_fields(plain.config, impact=impact),
        risk=RiskConfig(collar_ppm=0),
    )


@st.composite
def probed_scenarios(draw: st.DrawFn, kind: str = "any", one_pass: bool = True, model: str = "") -> Scenario:
    """A busy tape whose signals each account looks at, and trades on while we move the market or not."""
    tape = draw(g.busy_tapes(kind, most=2))
    symbols = [instrument.symbol for instrument in tape.instruments]
    accounts = draw(st.integers(1, 2))
    span = int(tape.rows["ts_event"][-1] - tape.rows["ts_event"][0])
    seldom = Wake(every_ns=1 + span // draw(st.sampled_from((12, 40))))
    wishes = ("", "any", "up", "down", "flat", "move") if model else ("", "any")
    wakes = [draw(st.sampled_from((seldom, seldom, draw(g.wakes())))) for _ in range(accounts)]
    return Scenario(
        tape=tape,
        programs=[draw(g.eager_programs(most=40)) for _ in range(accounts)],
        wakes=[replace_fields(w, signal=draw(st.sampled_from(wishes)), above=draw(ABOVE)) for w in wakes],
        config=draw(g.broker_configs(one_pass=one_pass, symbols=symbols)),
        risk=RiskConfig(collar_ppm=0),
        seed=draw(st.integers(0, 2**40)),
        wants=[(draw(st.booleans()), draw(st.booleans())) for _ in range(accounts)],
        probes=[tuple(draw(_probe(symbol, model)) for symbol in symbols) for _ in range(accounts)],
    )


ABOVE = st.sampled_from((0.0, 0.35, 0.5))


def _probe(symbol: str, model: str) -> st.SearchStrategy[Probe]:
    if not model:
        return st.builds(Probe, symbol=st.just(symbol), clock=st.sampled_from(("trade", "quote")))
    return st.builds(Probe, symbol=st.just(symbol), model=st.just(model))


def _moves(impact: Impact) -> bool:
    return not isinstance(impact, NoImpact)


def assert_same(one: Transcript, other: Transcript) -> None:
    """The first wake or record that differs, said in full."""
    for number, (left, right) in enumerate(zip(one.sights, other.sights, strict=False)):
        for name, a, b in zip(left._fields, left, right, strict=True):
            assert a == b or name == "next_timer", f"wake {number}, {name}: {a} against {b}"
    for number, (left, right) in enumerate(zip(one.records, other.records, strict=False)):
        assert left == right, f"record {number}: {_named(left)} against {_named(right)}"
    assert len(one.records) == len(other.records), "one journal is longer"
    assert len(one.sights) == len(other.sights), "one of them woke more often"


def _named(record) -> dict[str, int]:
    return {name: int(value) for name, value in zip(record.dtype.names, record, strict=True) if value}
