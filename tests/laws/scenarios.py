"""Random scenarios for either broker, and how two transcripts are compared."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from engine import kernel_cache
from engine.testing import generators as g
from engine.testing.drive import Scenario, Transcript


def compiled():
    """The compiled broker's class."""
    kernel_cache.ensure()
    return pytest.importorskip("engine.broker.simulated").SimulatedBroker


@st.composite
def scenarios(
    draw: st.DrawFn, kind: str = "any", most_accounts: int = 2, one_pass: bool = True, tight: bool = True
) -> Scenario:
    """A tape of a book kind with programs of orders for one or two accounts."""
    accounts = draw(st.integers(1, most_accounts))
    return Scenario(
        tape=draw(g.tapes(kind)),
        programs=[draw(g.order_programs()) for _ in range(accounts)],
        wakes=[draw(g.wakes()) for _ in range(accounts)],
        config=draw(g.broker_configs(one_pass=one_pass)),
        risk=draw(g.risk_configs(tight=tight)),
        seed=draw(st.integers(0, 2**40)),
        wants=[(draw(st.booleans()), draw(st.booleans())) for _ in range(accounts)],
    )


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
