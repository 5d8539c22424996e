"""The config that works parent orders through a recorded day (skipped where the data is absent)."""

from pathlib import Path

import pytest

from engine import build, load, run

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "vwap_lobster.toml"


@pytest.mark.slow
def test_two_parents_are_worked_through_a_recorded_day_and_chunks_change_nothing(recorded_data, monkeypatch):
    monkeypatch.setenv("TICKWRIGHT_DATA", str(recorded_data))
    results = []
    for chunks in (None, 7, 1000):
        setup = build(load(CONFIG), feed_overrides={} if chunks is None else {"chunks": chunks})
        config = setup.config
        results.append(
            run(setup.strategies, setup.feed, accounts=setup.accounts, broker=config.broker, risk=config.risk, seed=7)
        )
    assert [parent.done for parent in results[0].parents] == [20_000, 10_000]
    assert all(abs(parent.slippage_vwap_bp) < 20 for parent in results[0].parents)
    assert len({result.fingerprint for result in results}) == 1
    assert all(result.parents == results[0].parents for result in results)
