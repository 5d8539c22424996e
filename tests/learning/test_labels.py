from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.learning.dataset import Dataset
from engine.learning.features import Samples
from engine.learning.labels import band_of, classes, horizon_cdf, moves, stale_ns, times_to_move
from engine.model_file import Band


def made(tick: list[int], mid2: list[int], *, ready: list[bool] | None = None, ts: list[int] | None = None) -> Samples:
    n = len(tick)
    return Samples(
        ts=np.array(ts if ts else range(n), np.int64) * (1 if ts else 10),
        row=np.arange(n),
        tick=np.array(tick, np.int64),
        mid2=np.array(mid2, np.int64),
        spread=np.full(n, 4),
        values=np.arange(float(n))[:, None].repeat(18, axis=1),
        ready=np.array(ready if ready else [True] * n),
    )


@st.composite
def days(draw: st.DrawFn) -> Samples:
    """Ticks that skip and repeat, two sessions at times, samples that are not ready."""
    steps = draw(st.lists(st.integers(0, 3), min_size=1, max_size=25))
    tick = np.cumsum(steps) + 1
    if draw(st.booleans()):
        tick = np.concatenate([tick, np.cumsum(draw(st.lists(st.integers(0, 3), min_size=1, max_size=9)))])
    n = len(tick)
    mid2 = draw(st.lists(st.integers(-9, 9), min_size=n, max_size=n))
    return made(tick.tolist(), mid2, ready=draw(st.lists(st.booleans(), min_size=n, max_size=n)))


@given(samples=days(), horizon=st.integers(1, 6))
def test_a_move_is_that_to_the_first_sample_so_many_ticks_later_in_its_session(samples: Samples, horizon: int) -> None:
    found = moves(samples, horizon)
    n, session = len(samples), 0
    sessions = [session := session + (k > 0 and samples.tick[k] < samples.tick[k - 1]) for k in range(n)]
    for i in range(n):
        later = [j for j in range(i, n) if sessions[j] == sessions[i] and samples.tick[j] >= samples.tick[i] + horizon]
        known = bool(later) and bool(samples.ready[i]) and bool(samples.ready[later[0]])
        assert found.known[i] == known
        assert found.end[i] == (later[0] if known else i)
        assert found.change[i] == (samples.mid2[later[0]] - samples.mid2[i] if known else 0)


@given(samples=days(), horizon=st.integers(1, 6), after=days())
def test_a_label_never_depends_on_samples_after_its_end(samples: Samples, horizon: int, after: Samples) -> None:
    whole = moves(samples, horizon)
    for cut in range(1, len(samples)):
        part = moves(Samples(*(column[:cut] for column in samples)), horizon)
        inside = whole.known[:cut] & (whole.end[:cut] < cut)
        assert (part.known == inside).all()
        assert (part.change[inside] == whole.change[:cut][inside]).all()


@given(change=st.lists(st.integers(-50, 50), min_size=1), half=st.integers(0, 30), fraction=st.floats(0, 4))
def test_turning_the_market_over_turns_the_classes_over(change: list[int], half: int, fraction: float) -> None:
    moved, spread = np.array(change), np.full(len(change), 7)
    band = Band(rule="spread", half_width=half, fraction=fraction)
    assert (classes(-moved, spread, band) == 2 - classes(moved, spread, band)).all()


def test_the_bands_rules() -> None:
    change, spread = np.array([-9, -2, 0, 1, 5]), np.full(5, 5)
    assert classes(change, spread, band_of("move", change)).tolist() == [0, 0, 1, 2, 2]
    assert classes(change, spread, band_of("spread", change, fraction=0.5)).tolist() == [0, 1, 1, 1, 1]
    assert classes(change, spread, band_of("spread", change, fraction=0.49)).tolist() == [0, 1, 1, 1, 2]
    with pytest.raises(ConfigError, match="no training sample"):
        band_of("thirds", change[:0])


@given(change=st.lists(st.integers(-40, 40), min_size=1, max_size=60))
def test_no_band_of_thirds_is_nearer_to_a_third_flat(change: list[int]) -> None:
    moved = np.abs(change)
    chosen = band_of("thirds", np.array(change)).half_width
    miss = abs(np.mean(moved <= chosen) - 1 / 3)
    assert all(miss <= abs(np.mean(moved <= other) - 1 / 3) + 1e-12 for other in moved)


@given(samples=days(), horizon=st.integers(1, 6), half=st.integers(0, 6))
def test_a_move_happens_after_its_forecast_and_before_its_label_ends(samples: Samples, horizon: int, half: int) -> None:
    found, band = moves(samples, horizon), Band(half_width=half)
    labels = classes(found.change, samples.spread, band)
    moved = found.known & (labels != 1)
    waits = times_to_move(samples, found, band)
    assert len(waits) == moved.sum()
    assert (waits > 0).all()
    assert (waits <= (samples.ts[found.end] - samples.ts)[moved]).all()


@given(waits=st.lists(st.integers(1, 1_000), min_size=1, max_size=80))
def test_the_horizons_distribution_is_that_of_the_waits(waits: list[int]) -> None:
    cdf = horizon_cdf(np.array(waits))
    times, parts = [ns for ns, _ in cdf], [part for _, part in cdf]
    assert times == sorted({*times})
    assert parts == sorted(parts)
    assert parts[-1] == 1
    assert all(np.mean(np.array(waits) <= ns) >= part - 1e-12 for ns, part in cdf)
    assert np.mean(np.array(waits) <= stale_ns(cdf)) >= 0.9


def test_no_move_has_no_distribution() -> None:
    assert horizon_cdf(np.empty(0, np.int64)) == []
    assert stale_ns([]) == 1


@given(first=days(), second=days(), horizon=st.integers(1, 5))
def test_no_label_of_a_dataset_looks_into_another_day(first: Samples, second: Samples, horizon: int) -> None:
    data = Dataset.of([first, second], horizon)
    assert (data.end[data.day == 0] < len(first)).all()
    assert (data.start[data.day == 1] >= len(first)).all()
    assert (np.diff(data.start) > 0).all()


def test_a_horizon_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        moves(made([1, 2], [0, 0]), 0)
