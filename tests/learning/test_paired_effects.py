"""Differences of paired costs: errors that hold, no effect where there is none, and one of the size that it has."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.learning.paired_effects import DETECTABLE, bootstrap, differences
from engine.learning.parent_study import Trial
from engine.rates.block_bootstrap import block_rows
from engine.vwap_study_views import Part, null_verdict, verdict, versus

PARTS: dict[str, Any] = {"impact_bp": 0.0, "timing_bp": 0.0, "completion_bp": 0.0, "fees_bp": 0.1}


def trial(arm: str, window: int, side: int, slippage_bp: float, **changed) -> Trial:
    terms: dict[str, Any] = {"symbol": "X", "day": "2026-01-05", "shares": 1, "done": 1, "taken": 0, "vwap": 40.0}
    spread: dict[str, Any] = {"slippage_bp": slippage_bp, "spread_bp": slippage_bp}
    return Trial(**(terms | PARTS | spread | {"arm": arm, "window": window, "side": side} | changed))


def made_up(rng: np.random.Generator, *, advantage_bp: float, windows: int = 90) -> list[Trial]:
    """Two arms in one market, whose own costs have the same law but for what the agent is given."""
    market = rng.normal(0, 20, windows)
    return [
        trial(arm, w, side, side * market[w] + rng.normal(0, 1.5) - (advantage_bp if arm == "agent" else 0))
        for w in range(windows) for side in (1, -1) for arm in ("agent", "twap")
    ]  # fmt: skip


def judged(trials: list[Trial], seed: int = 1):
    return versus(Part("X all", trials, 3), "agent", ["agent", "twap"], seed=seed, draws=400)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 40), block=st.integers(1, 50))
def test_the_bootstrap_draws_the_very_blocks_that_row_by_row_drawing_does(seed, n, block):
    x = np.random.default_rng(seed).normal(0, 1, n)
    found = bootstrap({"X": x}, block=block, rng=np.random.default_rng(seed), draws=50)
    rng = np.random.default_rng(seed)
    drawn = [x[block_rows(n, min(block, n), rng)].mean() for _ in range(50)]
    assert found.mean == pytest.approx(x.mean(), abs=1e-12)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, (2.5, 97.5))), abs=1e-9)
    assert found.error == pytest.approx(np.std(drawn, ddof=1), abs=1e-9)


def test_a_window_counts_once_however_many_parents_it_has():
    trials = [
        trial("a", 0, 1, 3.0),
        trial("b", 0, 1, 1.0),
        trial("a", 0, 1, 9.0, shares=7),
        trial("b", 0, 1, 5.0, shares=7),
    ]
    trials += [trial("a", 1, 1, 2.0), trial("b", 1, 1, 2.0)]
    assert differences(trials, "a", "b", lambda t: t.slippage_bp)["X"].tolist() == [3.0, 0.0]


def test_arms_of_the_same_law_are_told_apart_about_as_seldom_as_intervals_say():
    rng, found = np.random.default_rng(7), []
    for _ in range(100):
        means = differences(made_up(rng, advantage_bp=0.0), "agent", "twap", lambda t: t.slippage_bp)
        found.append(bootstrap(means, block=3, rng=rng, draws=400))
    beaten, worse = sum(one.high < 0 for one in found), sum(one.low > 0 for one in found)
    assert max(beaten, worse) <= 8, (beaten, worse)  # 2.5 expected on each side, and a block bootstrap's optimism


def test_a_planted_advantage_is_found_with_its_size():
    rng = np.random.default_rng(11)
    rows = judged(made_up(rng, advantage_bp=0.8))
    one = rows[0].slippage
    assert one.low < -0.8 < one.high < 0
    assert one.detectable == pytest.approx(DETECTABLE * one.error)
    assert one.detectable < 0.8
    said = verdict("X all", "agent", rows)
    assert f"X: agent beats the best baseline, twap, by {-one.mean:.2f} bp" in said
    assert "would be seen four times in five" in said


def test_what_does_not_beat_the_best_baseline_says_so_and_why():
    rng = np.random.default_rng(3)
    trials = made_up(rng, advantage_bp=-0.8)
    trials += [trial("dear", t.window, t.side, t.slippage_bp + 9) for t in trials if t.arm == "twap"]
    rows = versus(Part("X all", trials, 3), "agent", ["agent", "twap", "dear"], seed=1, draws=400)
    assert rows[1].slippage.high < 0  # it beats one, but not the best
    said = verdict("X all", "agent", rows)
    assert "does NOT beat the best baseline, twap, by more than its interval: its parents cost" in said
    assert said.endswith("it loses on spread")
    said = verdict("X all", "agent", judged(made_up(rng, advantage_bp=0.0)))
    for words in ("and 0 is in the interval", "no part of it costs more beyond its interval"):
        assert words in said


def test_timing_in_a_market_without_alpha_is_called_a_mistake():
    trials = [trial("twap", w, s, 0.0) for w in range(30) for s in (1, -1)]
    honest = trials + [trial("agent", w, s, -0.5) for w in range(30) for s in (1, -1)]
    assert null_verdict("X all", "agent", judged(honest)).endswith("timing is 0 within its interval against every arm")
    peeking = trials + [trial("agent", w, s, -0.5, timing_bp=-0.5) for w in range(30) for s in (1, -1)]
    assert "shows timing against 1 of 1 arms: twap -0.50 bp" in null_verdict("X all", "agent", judged(peeking))
