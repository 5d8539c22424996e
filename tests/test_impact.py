"""The laws of impact: of the formula, of the kernels, and between them."""

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numba import njit

from engine.broker.impact import (
    DECAYS,
    GATHERAL,
    REGIONS,
    AlmgrenChriss,
    Impact,
    Impulses,
    Market,
    NoImpact,
    Parameters,
    Propagator,
    SquareRoot,
    cell_size,
    check_parameters,
    prepare,
    spread_part,
)
from engine.broker.impact_kernels import (
    book_state,
    displacement,
    displacement_ticks,
    met_by_fill,
    on_market_volume,
    on_own_fill,
)
from engine.broker.impact_tables import KERNEL_ERROR, POWER_ERROR, REACH
from engine.errors import ConfigError
from engine.impact_path import double_integrals, forecast_bp, impact_bp, impulse_bp, mean_cost_bp
from engine.testing.impact_twin import ImpactTwin, by_definition

VOLUME, FILL = 0, 1
MARKET = Market(daily_volume=390_000, daily_volatility=0.02)  # cells of 1000
CELL = 1_000
IMPULSES = Impulses(
    size=100,
    aggressive=tuple(tuple(0.1 * (s + 1) * (1 + i) for i in range(5)) for s in range(3)),
    passive=tuple(tuple(0.02 * (s + 1) * (5 - i) for i in range(5)) for s in range(3)),
)
MODELS = {
    "mi1": Propagator(model="mi1", market={"A": MARKET}),
    "mi2": Propagator(market={"A": MARKET}),
    "mi2 APAC": Propagator(region="APAC", market={"A": MARKET}),
    "hfmi": Propagator(model="hfmi", impulses=IMPULSES, market={"A": MARKET}),
    "square root": SquareRoot(market={"A": MARKET}),
    "almgren chriss": AlmgrenChriss(market={"A": MARKET}),
}
TRANSIENT = {name: model for name, model in MODELS.items() if isinstance(model, Propagator)}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
transient = pytest.mark.parametrize("model", TRANSIENT.values(), ids=TRANSIENT)
law = settings(max_examples=60, deadline=None)


@njit
def _walk(states, table, script, bp, ticks, mid2):
    state = states[0]
    for k in range(script.shape[0]):
        if script[k, 0] == VOLUME:
            on_market_volume(state, table[0], script[k, 2])
        else:
            on_own_fill(state, table[0], script[k, 1], script[k, 2], script[k, 3], script[k, 4])
        bp[k] = displacement(state, table[0])
        ticks[k] = displacement_ticks(state, table[0], mid2, 1)


@njit
def _book_state(side, bid, ask, bid_size, ask_size, tick):
    return book_state(side, bid, ask, bid_size, ask_size, tick)


def walk(model, script, mid2=400_000):
    """Displacement in bp and ticks after each step."""
    states, table = prepare(model, ["A"])
    bp, ticks = np.zeros(len(script)), np.zeros(len(script), np.int64)
    _walk(states, table, np.array(script, np.int64).reshape(-1, 5), bp, ticks, mid2)
    return bp, ticks


def volume(size):
    return (VOLUME, 0, size, 0, 0)


def fill(side, size, kind=0, book=0):
    return (FILL, side, size, kind, book)


prints = st.builds(volume, st.integers(1, 300) | st.integers(1, 5_000) | st.integers(1, 10**8))
fills = st.builds(fill, st.sampled_from((1, -1)), st.integers(1, 3_000), st.integers(0, 3), st.integers(0, 14))
scripts = st.lists(prints | fills, min_size=1, max_size=40)


def cells_of(script):
    """What the definition needs: (own by cell, cells ended, fraction of the current) after all of a script."""
    passed, own = 0, {}
    for op, side, size, _, _ in script:
        if op == VOLUME:
            passed += size
        else:
            own[passed // CELL] = own.get(passed // CELL, 0) + side * size
    return own, passed // CELL, passed % CELL / CELL


# ---- the kernels


@every_model
@given(script=scripts, mid2=st.integers(200, 10**8))
@law
def test_the_kernel_equals_its_plain_twin_to_the_last_bit(model, script, mid2):
    [twin] = ImpactTwin.all_of(model, ["A"])
    bp, ticks = walk(model, script, mid2)
    for k, (op, side, size, kind, book) in enumerate(script):
        if op == VOLUME:
            twin.on_market_volume(size)
        else:
            twin.on_own_fill(side, size, kind, book)
        assert bp[k] == twin.displacement()
        assert ticks[k] == twin.displacement_ticks(mid2, 1)


@transient
@given(script=scripts)
@law
def test_streaming_equals_the_sum_over_all_cells_within_the_stated_bound(model, script):
    script = [*script, volume(CELL // 3)]
    own, ended, u = cells_of(script)
    assume(ended <= REACH)
    states, _ = prepare(model, ["A"])
    scale, gamma = float(states[0]["scale"]), model.used.gamma
    impulses = {n: scale * np.sign(size) * (abs(size) / CELL) ** gamma for n, size in own.items()}
    if model.model == "hfmi":
        impulses = hfmi_impulses(script, scale)
    over = 1 - model.used.omega if model.model == "hfmi" else gamma
    decay = DECAYS[model.model]
    exact = by_definition(decay, model.used.omega, over, impulses, ended, u)
    parts = by_definition(decay, model.used.omega, over, {n: abs(f) for n, f in impulses.items()}, ended, u)
    assert abs(walk(model, script)[0][-1] - exact) <= (KERNEL_ERROR + POWER_ERROR) * parts


def hfmi_impulses(script, scale):
    passed, found, psi = 0, {}, IMPULSES.table()
    for op, side, size, kind, book in script:
        if op == VOLUME:
            passed += size
        else:
            found[passed // CELL] = found.get(passed // CELL, 0.0) + scale * side * size * psi[kind, book]
    return found


@pytest.mark.parametrize("omega", [0.416, 0.5, 0.607, 0.675, 0.8, 0.95])
@pytest.mark.parametrize("model", ["mi1", "mi2"])
def test_one_cell_decays_as_the_power_law_over_five_decades(model, omega):
    p = Parameters(alpha=1.0, beta=0.0, gamma=1.0, omega=omega, delta=0.0)
    states, table = prepare(Propagator(model=model, parameters=p, market={"A": MARKET}), ["A"])
    lags = np.unique(np.geomspace(1, REACH * CELL, 400).astype(np.int64))
    script = [fill(1, CELL), *(volume(int(step)) for step in np.diff(lags, prepend=0))]
    bp = np.zeros(len(script))
    _walk(states, table, np.array(script, np.int64), bp, np.zeros(len(script), np.int64), 2)
    exact = [
        by_definition(DECAYS[model], omega, 1.0, {0: float(states[0]["scale"])}, int(n) // CELL, int(n) % CELL / CELL)
        for n in lags
    ]
    assert np.abs(bp[1:] / exact - 1).max() <= KERNEL_ERROR


@every_model
@given(script=scripts)
@law
def test_buying_is_the_mirror_image_of_selling(model, script):
    mirrored = [(op, -side, *rest) for op, side, *rest in script]
    bp, ticks = walk(model, script)
    other, other_ticks = walk(model, mirrored)
    assert np.array_equal(bp, -other)
    assert np.array_equal(ticks, -other_ticks)  # half-even has no favourite side


@every_model
@given(volumes=st.lists(prints, min_size=1, max_size=10))
@law
def test_who_does_not_trade_moves_nothing(model, volumes):
    assert not walk(model, volumes)[0].any()


@pytest.mark.parametrize("model", TRANSIENT.values(), ids=TRANSIENT)
def test_transient_impact_decays_to_zero(model):
    script = [fill(1, CELL), *[volume(CELL * 3**k) for k in range(16)]]
    bp, ticks = walk(model, script)
    assert (np.diff(bp[1:]) < 0).all()
    assert ticks[1] > 0
    assert ticks[-1] == 0
    assert bp[-1] < 0.01 * bp[1]


def test_temporary_impact_ends_with_its_cell_and_lasting_impact_stays():
    model = MODELS["almgren chriss"]
    script = [fill(1, 500), volume(800), volume(200), volume(10**9), fill(-1, 500), volume(CELL)]
    bp, _ = walk(model, script)
    lasting = 0.314 * 200 * 500 / 390_000
    for moved, passed in ((bp[0], 250), (bp[1], 800)):  # participation is measured over a quarter of a cell at least
        assert moved == pytest.approx(lasting + 0.142 * 200 * (500 / passed) ** 0.6, rel=KERNEL_ERROR)
    assert bp[2] == bp[3] == pytest.approx(lasting)
    assert bp[-1] == 0


def test_the_square_root_law_is_met_at_every_size():
    bp, _ = walk(MODELS["square root"], [fill(1, 1_000), volume(50), fill(1, 3_000), fill(-1, 4_000)])
    assert bp[[0, 2, 3]] == pytest.approx([0.5 * 200 * (q / 390_000) ** 0.5 for q in (1_000, 4_000, 0)])


@njit
def _met(states, table, script, met, moved):
    """Of each fill: bp met on average, and what stood before and after it."""
    state = states[0]
    for k in range(script.shape[0]):
        _, side, size, kind, book = script[k]
        moved[k, 0] = displacement(state, table[0])
        if script[k, 0] == VOLUME:
            on_market_volume(state, table[0], size)
        else:
            met[k] = met_by_fill(state, table[0], side, size, kind, book)
            on_own_fill(state, table[0], side, size, kind, book)
        moved[k, 1] = displacement(state, table[0])


def met_by(model, script):
    states, table = prepare(model, ["A"])
    met, moved = np.zeros(len(script)), np.zeros((len(script), 2))
    _met(states, table, np.array(script, np.int64).reshape(-1, 5), met, moved)
    return met, moved


@every_model
@given(script=scripts)
@law
def test_what_a_fill_meets_lies_between_what_stood_before_and_after_it_and_the_twin_says_the_same(model, script):
    [twin] = ImpactTwin.all_of(model, ["A"])
    met, moved = met_by(model, script)
    for k, (op, side, size, kind, book) in enumerate(script):
        if op == VOLUME:
            twin.on_market_volume(size)
            continue
        assert met[k] == twin.met_by_fill(side, size, kind, book)
        twin.on_own_fill(side, size, kind, book)
        slack = 2e-4 * abs(moved[k]).max() + 1e-9  # of few shares after many: the tables' slopes are this exact
        assert moved[k].min() - slack <= met[k] <= moved[k].max() + slack


@every_model
@given(script=scripts, side=st.sampled_from((1, -1)), sizes=st.lists(st.integers(1, 3_000), min_size=2, max_size=5))
@law
def test_a_fill_in_pieces_meets_as_much_as_the_whole(model, script, side, sizes):
    pieces, _ = met_by(model, [*script, *(fill(side, size) for size in sizes)])
    whole, moved = met_by(model, [*script, fill(side, sum(sizes))])
    mean = pieces[-len(sizes) :] @ sizes / sum(sizes)
    assert mean == pytest.approx(whole[-1], rel=1e-4, abs=1e-5 * abs(moved).max())


@transient
@given(script=scripts, cut=st.integers(1, 10**6))
@law
def test_cutting_a_print_in_two_changes_nothing(model, script, cut):
    cut_up = [
        part
        for step in script
        for part in ([volume(step[2] - cut), volume(cut)] if step[0] == VOLUME and step[2] > cut else [step])
    ]
    assert walk(model, cut_up)[0][-1] == pytest.approx(walk(model, script)[0][-1], rel=1e-12, abs=1e-12)


def test_fills_of_one_cell_add_up_before_the_power_is_taken():
    parts, _ = walk(MODELS["mi2"], [fill(1, 100), volume(10), fill(1, 300), volume(10)])
    whole, _ = walk(MODELS["mi2"], [fill(1, 400), volume(20)])
    assert parts[-1] == whole[-1]


@given(first=scripts, second=scripts)
@law
def test_the_state_of_the_book_makes_impulses_that_add_up(first, second):
    """HFMI is linear in its transactions; only the volume clock is shared."""
    model = MODELS["hfmi"]
    script = [step for pair in zip(first, second, strict=False) for step in pair]
    only = [[step for step in script if step[0] == VOLUME or (step[1] > 0) == up] for up in (True, False)]
    parts = sum(walk(model, steps)[0][-1] for steps in only if steps)
    scale = sum(abs(walk(model, steps)[0][-1]) for steps in only if steps)
    assert walk(model, script)[0][-1] == pytest.approx(parts, abs=1e-9 * scale + 1e-12)


def test_a_dark_fill_moves_the_mid_by_the_dark_part():
    for kind in (0, 1):
        lit, dark = (walk(MODELS["hfmi"], [fill(1, 100, k, 7), volume(CELL)])[0][-1] for k in (kind, kind + 2))
        assert dark == pytest.approx(0.5 * lit)


def test_an_impulse_of_the_book_stands_at_once_and_till_its_cell_ends():
    bp, _ = walk(MODELS["hfmi"], [fill(1, 100, 0, 7), volume(CELL // 2), volume(CELL // 2)])
    assert bp == pytest.approx(IMPULSES.aggressive[1][2], rel=1e-9)


@given(bid=st.integers(1, 1_000), spread=st.integers(1, 9), sizes=st.tuples(st.integers(0, 99), st.integers(0, 99)))
def test_the_state_of_the_book_is_seen_from_our_side(bid, spread, sizes):
    buy = _book_state(1, bid, bid + spread, *sizes, 1)
    sell = _book_state(-1, bid, bid + spread, *reversed(sizes), 1)
    assert buy == sell
    assert buy // 5 == min(spread, 3) - 1
    if sum(sizes):
        assert buy % 5 == min(5 * sizes[0] // sum(sizes), 4)


def test_ticks_are_rounded_half_even():
    model = SquareRoot(prefactor=1.0, market={"A": Market(daily_volume=10_000, daily_volatility=0.01)})
    # net size 10_000 displaces by 100 bp; a mid of 50, 150, 250 by half a tick more than a whole one
    for mid, ticks in ((50, 0), (150, 2), (250, 2), (350, 4)):
        for side in (1, -1):
            assert walk(model, [fill(side, 10_000)], 2 * mid)[1][0] == side * ticks


def test_several_instruments_have_their_own_state():
    model = Propagator(market={"A": MARKET, "B": Market(daily_volume=3_900_000, daily_volatility=0.01)})
    states, table = prepare(model, ["A", "B"])
    assert [int(state["cell"]) for state in states] == [1_000, 10_000]
    _walk(states, table, np.array([fill(1, 10)], np.int64), np.zeros(1), np.zeros(1, np.int64), 2)
    assert states["own"].tolist() == [10, 0]


def test_the_streamed_displacement_of_a_constant_rate_parent_is_the_macro_form():
    model, v, cells = MODELS["mi2"], 0.1, 90  # three clock units
    script = [step for _ in range(cells * 10) for step in (fill(1, int(v * CELL / 10)), volume(CELL // 10))]
    bp, _ = walk(model, script)
    at = np.arange(1, cells + 1) / 30
    macro = impact_bp(model.used, [v], [0.0, cells / 30], at, daily_volatility=0.02)
    assert bp[19::20] == pytest.approx(macro, rel=KERNEL_ERROR + POWER_ERROR)


# ---- the formula

parameters = st.builds(
    Parameters,
    alpha=st.floats(10, 1_000),
    beta=st.floats(0, 1),
    gamma=st.floats(0.6, 1),
    omega=st.floats(0.42, 0.95),
    delta=st.floats(0, 0.5),
)
rates = st.lists(st.floats(-1, 1), min_size=1, max_size=8)
widths = st.lists(st.floats(0.01, 3), min_size=8, max_size=8)


def edges_of(widths, n):
    return np.concatenate([[0.0], np.cumsum(widths[:n])])


@given(p=parameters, v=rates, w=widths)
@law
def test_doubling_alpha_doubles_impact(p, v, w):
    edges = edges_of(w, len(v))
    doubled = Parameters(alpha=2 * p.alpha, beta=p.beta, gamma=p.gamma, omega=p.omega, delta=p.delta)
    one, two = (impact_bp(q, v, edges, edges + 0.1, daily_volatility=0.02) for q in (p, doubled))
    assert two == pytest.approx(2 * one, rel=1e-15)


@given(p=parameters, v=rates, w=widths, k=st.integers(0, 7), part=st.floats(0.1, 0.9))
@law
def test_cutting_a_cell_in_two_changes_nothing(p, v, w, k, part):
    k %= len(v)
    edges = edges_of(w, len(v))
    at = np.linspace(0, edges[-1] + 5, 20)
    finer = np.insert(edges, k + 1, edges[k] + part * (edges[k + 1] - edges[k]))
    whole = impact_bp(p, v, edges, at, daily_volatility=0.02)
    cut = impact_bp(p, np.insert(v, k, v[k]), finer, at, daily_volatility=0.02)
    size = np.abs(impulse_bp(p, v, 0.02)).sum() * (edges[-1] + 5)
    least = np.finfo(float).tiny  # below it a float has fewer digits
    assert cut == pytest.approx(whole, rel=1e-12, abs=1e-12 * size + least)


@given(p=parameters, v=st.lists(st.floats(-1, 1), min_size=2, max_size=8), w=widths)
@law
def test_impact_adds_over_cells_of_impulse(p, v, w):
    edges = edges_of(w, len(v))
    at = edges[-1] + 0.5
    alone = [
        impact_bp(p, np.where(np.arange(len(v)) == k, v, 0), edges, [at], daily_volatility=0.02) for k in range(len(v))
    ]
    assert sum(alone) == pytest.approx(impact_bp(p, v, edges, [at], daily_volatility=0.02), abs=1e-9)


def test_but_not_over_cells_of_participation():
    p = REGIONS["NA"]
    one, two = (impact_bp(p, [v], [0, 1], [1], daily_volatility=0.02)[0] for v in (0.1, 0.2))
    assert two == pytest.approx(2**p.gamma * one)


@given(p=parameters, v=rates, w=widths)
@law
def test_impact_is_odd_in_the_side_and_zero_for_nothing(p, v, w):
    edges = edges_of(w, len(v))
    at = np.linspace(0, edges[-1] + 5, 9)
    there, back = (impact_bp(p, side * np.array(v), edges, at, daily_volatility=0.02) for side in (1, -1))
    assert np.array_equal(there, -back)
    assert not impact_bp(p, np.zeros(len(v)), edges, at, daily_volatility=0.02).any()


@given(p=parameters, t=st.floats(0.1, 10), k=st.floats(1.001, 50))
def test_after_an_order_of_length_t_impact_falls_as_the_slides_say(p, t, k):
    end, later = impact_bp(p, [0.1], [0, t], [t, k * t], daily_volatility=0.02)
    a = 1 - p.omega
    assert later / end == pytest.approx(k**a - (k - 1) ** a, rel=1e-9, abs=1e-9)


@given(p=parameters, v=rates, w=widths)
@law
def test_impact_decays_to_zero(p, v, w):
    edges = edges_of(w, len(v))
    far = edges[-1] * np.array([10, 1e3, 1e6, 1e9])
    gone = np.abs(impact_bp(p, v, edges, far, daily_volatility=0.02))
    bound = np.abs(impulse_bp(p, v, 0.02)) @ np.diff(edges) * (far - edges[-1]) ** -p.omega
    # A difference of powers of two times loses the digits that the times share.
    rounding = 4 * np.finfo(float).eps * far / np.diff(edges).min() / (1 - p.omega)
    assert (gone <= bound * (1 + 1e-6 + rounding) + 1e-9).all()


@given(omega=st.floats(0.42, 0.95), v=rates, w=widths)
@law
def test_no_round_trip_earns_from_linear_impact(omega, v, w):
    edges = edges_of(w, len(v))
    net = np.append(v, -np.dot(v, np.diff(edges)) / 0.5)  # the last bin brings the position back to zero
    p = Parameters(alpha=100.0, beta=0.0, gamma=1.0, omega=omega, delta=0.0)
    assert mean_cost_bp(p, net, np.append(edges, edges[-1] + 0.5), daily_volatility=0.02) >= -1e-9


@given(region=st.sampled_from(sorted(REGIONS)), v=st.floats(0.01, 1), times=st.tuples(*[st.floats(0.01, 10)] * 3))
@settings(max_examples=200, deadline=None)
def test_no_buying_then_selling_earns_with_a_regions_parameters(region, v, times):
    bought, pause, sold = times
    edges = np.cumsum([0, bought, pause, sold])
    trip = [v, 0.0, -v * bought / sold]
    for side in (1, -1):
        assert mean_cost_bp(REGIONS[region], side * np.array(trip), edges, daily_volatility=0.02) > 0


def test_a_round_trip_earns_where_the_inequalities_are_broken():
    """They are not empty words: slow in, fast out, with gamma + omega = 0.6."""
    p = Parameters(alpha=100.0, beta=0.0, gamma=0.3, omega=0.3, delta=0.0)
    assert mean_cost_bp(p, [0.01, -1.0], [0, 100, 101], daily_volatility=0.02) < 0
    with pytest.raises(ConfigError, match="below 1"):
        check_parameters(p)


@given(p=parameters, v=rates, w=widths)
@law
def test_the_mean_cost_is_the_impact_averaged_over_the_schedule(p, v, w):
    edges = edges_of(w, len(v))
    assume(np.abs(v).max() > 0.01)
    points = np.linspace(0, 1, 4_001)[:-1] + 0.5 / 4_000
    at = (edges[:-1, None] + points * np.diff(edges)[:, None]).ravel()
    i = impact_bp(p, v, edges, at, daily_volatility=0.02).reshape(len(v), -1).mean(1)
    weights = np.array(v) * np.diff(edges)
    size = np.abs(weights).sum()
    scale = np.abs(impulse_bp(p, v, 0.02)).max() * edges[-1] / (1 - p.omega)
    assert mean_cost_bp(p, v, edges, daily_volatility=0.02) == pytest.approx(weights @ i / size, abs=3e-4 * scale)


def test_double_integrals_of_one_bin_are_the_known_number():
    assert double_integrals([0, 2], 0.5)[0, 0] == pytest.approx(2**1.5 / 0.75)


# ---- what is refused


@given(p=parameters)
def test_admissible_parameters_pass_and_regions_are_admissible(p):
    assume(p.gamma + p.omega >= 1)
    check_parameters(p)
    for region in REGIONS.values():
        check_parameters(region)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"gamma": 0.3}, "gamma 0.3 . omega 0.675 is below 1"),
        ({"omega": 0.41, "gamma": 0.9}, "2 - log2.3. = 0.415"),
        ({"alpha": 0.0}, "needs alpha"),
        ({"omega": 1.0}, "0 < omega < 1"),
        ({"delta": float("nan")}, "not finite"),
    ],
)
def test_inadmissible_parameters_are_refused_with_a_sentence(change, says):
    with pytest.raises(ConfigError, match=says):
        check_parameters(
            Parameters(**{**{f: getattr(REGIONS["NA"], f) for f in Parameters.__struct_fields__}, **change})
        )


def test_the_least_omega_is_gatherals():
    assert pytest.approx(0.41503749927884376) == GATHERAL


@pytest.mark.parametrize(
    ("market", "says"),
    [
        ({}, "nothing is said of A's average day"),
        ({"A": Market(daily_volume=0, daily_volatility=0.02)}, "daily_volume is 0"),
        ({"A": Market(daily_volume=1, daily_volatility=0.0)}, "daily_volatility is 0.0"),
    ],
)
@pytest.mark.parametrize("model", [Propagator, SquareRoot, AlmgrenChriss])
def test_a_footprint_that_cannot_be_computed_is_refused(model, market, says):
    with pytest.raises(ConfigError, match=says):
        prepare(model(market=market), ["A"])


def test_hfmi_without_impulses_is_refused():
    with pytest.raises(ConfigError, match="HFMI needs impulses"):
        prepare(Propagator(model="hfmi", market={"A": MARKET}), ["A"])


def test_a_bin_without_volume_and_a_parent_larger_than_the_day_are_refused():
    with pytest.raises(ConfigError, match=r"bin 1 from 1\.0 to 1\.0 has no market volume"):
        impact_bp(REGIONS["NA"], [0.1, 0.1], [0, 1, 1], [2], daily_volatility=0.02)
    with pytest.raises(ConfigError, match="larger than an average day"):
        forecast_bp(MODELS["mi2"], MARKET, 400_000, 13.0)


def test_two_ways_to_forecast_agree_with_their_formulas():
    assert forecast_bp(MODELS["square root"], MARKET, 3_900, 13.0) == pytest.approx(0.5 * 200 * 0.1 * 2 / 3)
    p = REGIONS["NA"]
    a = 1 - p.omega
    expected = p.alpha * 0.02**p.beta * 0.1**p.gamma * 3**a / (a * (1 + a)) + 0.118 * 2.0
    assert forecast_bp(MODELS["mi2"], MARKET, 9_000, 3.0, spread_bp=2.0) == pytest.approx(expected)


def test_a_config_names_its_model_and_a_typo_is_refused():
    said = {"type": "propagator", "region": "EMEA", "mode": "cost", "market": {"A": msgspec.to_builtins(MARKET)}}
    model = msgspec.convert(said, Impact)
    assert model == Propagator(region="EMEA", mode="cost", market={"A": MARKET})
    assert spread_part(model) == 0.066
    assert msgspec.convert({"type": "none"}, Impact) == NoImpact()
    with pytest.raises(msgspec.ValidationError, match="regoin"):
        msgspec.convert({"type": "propagator", "regoin": "NA"}, Impact)


def test_a_cell_is_a_thirtieth_of_a_half_hour_of_average_volume():
    assert cell_size(MODELS["mi2"], MARKET) == 390_000 / 13 / 30
