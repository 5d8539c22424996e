"""What a run cost, from its folder: everything adds up, and each line is what its name says."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import run
from engine.broker.impact import Impact, Market, NoImpact, Propagator, SquareRoot
from engine.broker.models import BrokerConfig, Fees, Latency, RiskConfig
from engine.cli import main
from engine.config import load
from engine.errors import RunError
from engine.instruments import Instrument
from engine.parent import Parent, ParentOrder
from engine.reports import execution_parent
from engine.reports.execution import analyse
from engine.reports.execution_impact import estimated_bp
from engine.reports.execution_replay import replay, replay_without_impact
from engine.reports.execution_result import FILL_LINES, LINES, Costs, ParentCosts, Split
from engine.run import run_config
from engine.run_folder import read
from engine.strategy import MILLISECOND, SECOND, Strategy, Wake
from engine.tape import ROW, Flag, Kind, Manifest, Tape
from feeds.replay import TapeFeed
from strategies.follow_schedule import Instruction, Tactics
from strategies.twap import Twap

OPEN, CLOSE, TICK, DAY = 1_000 * SECOND, 1_120 * SECOND, 100, 86_400 * SECOND
NONE = NoImpact()
MOVING = Propagator(market={"X": Market(daily_volume=20_000, daily_volatility=0.02)})
QUIET = RiskConfig(stale_ns=120 * SECOND)
few = settings(max_examples=12)
sides = st.sampled_from(["buy", "sell"])
seeds = st.integers(0, 10**6)


def a_market(seed: int, rows: int = 600, *, trades: float = 0.4) -> Tape:
    """Two minutes of the stock X: quotes two ticks wide and trades at them, one row at a time."""
    rng = np.random.default_rng(seed)
    tape = np.zeros(rows, ROW)
    tape["ts_event"] = tape["ts_recv"] = np.sort(rng.choice((CLOSE - OPEN) // MILLISECOND, rows, replace=False))
    tape["ts_event"] = tape["ts_recv"] = OPEN + tape["ts_event"] * MILLISECOND
    tape["flags"] = Flag.LAST
    bid = 1_000 * TICK
    for n, row in enumerate(tape):
        if n and rng.random() < trades:
            side = int(rng.choice((-1, 1)))
            row["kind"], row["side"], row["size"] = Kind.TRADE, side, rng.integers(1, 300)
            row["price"] = bid if side < 0 else bid + 2 * TICK
        else:
            bid += int(rng.choice((-1, 0, 0, 1))) * TICK
            row["kind"], row["price"], row["size"] = Kind.QUOTE, bid, rng.integers(100, 900)
            row["price2"], row["size2"] = bid + 2 * TICK, rng.integers(100, 900)
    return a_tape(tape)


def a_tape(rows: np.ndarray, **terms: Any) -> Tape:
    instrument = Instrument(symbol="X", tick=TICK, **terms)
    return Tape(rows, Manifest(name="small", instruments=[instrument], sessions=[(OPEN, CLOSE)], synthetic=True))


def mirrored(tape: Tape, about: int = 2_000 * TICK) -> Tape:
    """Bids become asks."""
    rows = tape.rows.copy()
    quotes = rows["kind"] == Kind.QUOTE
    rows["price"] = about - np.where(quotes, tape.rows["price2"], tape.rows["price"])
    rows["price2"] = np.where(quotes, about - tape.rows["price"], 0)
    rows["size"] = np.where(quotes, tape.rows["size2"], tape.rows["size"])
    rows["size2"] = np.where(quotes, tape.rows["size"], 0)
    rows["side"] = -rows["side"]
    return a_tape(rows)


def twap(side: str = "buy", shares: int = 2_000, **terms: Any) -> Twap:
    instruction = Instruction(
        symbol="X",
        side=side,
        shares=shares,
        start_after_open_s=5,
        end_before_close_s=5,
        **terms,  # type: ignore[arg-type]
    )
    return Twap(orders=(instruction,), slice_s=10, tactics=Tactics(finish_s=10))


def folder_of(
    home: str | Path,
    tape: Tape,
    strategy: Strategy | list[Strategy],
    impact: Impact = MOVING,
    *,
    latency: int = 200_000,
    fees: Fees = Fees(),  # noqa: B008
) -> Path:
    """The folder of a run over a saved tape."""
    tape.save(Path(home) / "tape", overwrite=True)
    broker = BrokerConfig(latency=Latency(feed=latency, entry=latency, response=latency), impact=impact, fees=fees)
    feed = TapeFeed(Path(home) / "tape")
    result = run(strategy, feed, broker=broker, risk=QUIET, out=Path(home) / "run", overwrite=True)
    return Path(result.folder)


def costs_of(tape: Tape, strategy: Strategy | list[Strategy], impact: Impact = MOVING, **terms: Any) -> Costs:
    with tempfile.TemporaryDirectory() as home:
        return analyse(folder_of(home, tape, strategy, impact, **terms))


def check_split(split: Split) -> None:
    assert set(split.lines) == set(LINES)
    assert split.t1 + split.t2 + split.t3 + split.fees == split.total == sum(split.lines.values())
    assert split.lines["volume_curve"] == split.t1


def check_parent(one: ParentCosts) -> None:
    """Bins and children each add up to the parent, term by term and line by line."""
    check_split(one.split)
    for rows in ([part.row for part in one.bins], [part.row for part in one.children]):
        for term in ("t1", "t2", "t3"):
            assert sum(getattr(row, term) for row in rows) == getattr(one.split, term)
        for name in (*FILL_LINES, "fees"):
            assert sum(row.lines[name] for row in rows) == one.split.lines[name]
        market = sum(one.split.lines[name] for name in ("volume_curve", "schedule", "remainder"))
        assert sum(row.lines["market"] for row in rows) == market
    assert sum(part.planned for part in one.bins) == sum(part.traded for part in one.bins) == one.size
    if one.without_impact:
        check_split(one.without_impact)


@given(seeds, sides, st.sampled_from([MOVING, msgspec.structs.replace(MOVING, mode="cost"), NONE]))
@few
def test_every_analysis_adds_up_to_the_last_unit(seed: int, side: str, impact: Impact) -> None:
    costs = costs_of(a_market(seed), [twap(side), twap("sell", 500)], impact, latency=300 * MILLISECOND)
    for one in costs.parents:
        check_parent(one)
    (basket,) = costs.baskets
    check_split(basket.split)
    for name in LINES:
        assert basket.split.lines[name] == sum(one.split.lines[name] for one in costs.parents)
    assert basket.interval is not None
    assert basket.interval.low_bp <= basket.total_bp <= basket.interval.high_bp


@given(seeds)
@few
def test_money_that_is_no_whole_number_of_price_steps_adds_up_too(seed: int) -> None:
    tape = a_market(seed)
    odd = a_tape(tape.rows, price_unit="1/7", multiplier="1/300000")
    check_parent(costs_of(odd, twap(), NONE).parents[0])


@given(seeds, sides)
@few
def test_the_total_is_the_slippage_of_the_run_and_its_fees(seed: int, side: str) -> None:
    with tempfile.TemporaryDirectory() as home:
        folder = folder_of(home, a_market(seed), twap(side))
        costs, result = analyse(folder), read(folder).result
    one, parent = costs.parents[0], result.parents[0]
    if parent.done == parent.size:
        assert parent.slippage_vwap_bp is not None
        fees_bp = (parent.fees + parent.impact_charged) / one.notional * 1e4
        assert one.total_bp == pytest.approx(parent.slippage_vwap_bp + fees_bp, abs=1e-6)
        assert one.arrival.shortfall_bp is not None
    assert costs.profit[0].pnl == result.balances[0].pnl


@given(seeds)
@few
def test_a_sale_in_the_mirrored_market_costs_the_same_line_by_line(seed: int) -> None:
    tape = a_market(seed)
    bought = costs_of(tape, twap("buy"), NONE).parents[0]
    sold = costs_of(mirrored(tape), twap("sell"), NONE).parents[0]
    assert bought.split == sold.split
    for one, other in zip(bought.bins, sold.bins, strict=True):  # T3 of a single bin knows the price level
        assert one.row.lines == other.row.lines
        assert (one.row.t1, one.row.t2) == (other.row.t1, other.row.t2)


@given(seeds)
@few
def test_without_impact_its_lines_are_zero_and_no_second_replay_is_told(seed: int) -> None:
    costs = costs_of(a_market(seed), twap(), NONE)
    one = costs.parents[0]
    assert one.split.lines["own_temporary"] == one.split.lines["own_persisting"] == 0
    assert one.without_impact is None
    assert costs.impact.startswith("none")
    assert one.forecast.impact_bp is None
    assert "no cost forecast: the run names no impact model" in one.notes


@given(seeds)
@few
def test_impact_that_is_charged_is_told_apart_from_fees(seed: int) -> None:
    charged = costs_of(a_market(seed), twap(), SquareRoot(mode="cost", prefactor=5.0, market=MOVING.market)).parents[0]
    free = charged.without_impact
    assert free is not None
    # nothing is displaced, so all else is as without impact
    assert charged.split.lines | {"own_persisting": 0} == free.lines | {"own_persisting": 0}
    assert charged.split.lines["own_persisting"] == charged.split.fees - free.fees > 0


@given(seeds)
@few
def test_own_displacement_begins_with_the_first_fill(seed: int) -> None:
    with tempfile.TemporaryDirectory() as home:
        saved = read(folder_of(home, a_market(seed), twap()))
        moved, free = replay(saved).sights[0], replay_without_impact(saved).sights[0]
        fills = saved.records[saved.records["kind"] == 5]
        first = int(fills["ts"][0])
    times = np.arange(OPEN, CLOSE, SECOND // 4)
    apart = moved.twice_mid(times) != free.twice_mid(times)
    assert not apart[times < first].any()
    assert apart[times > first].any()


@given(seeds, st.sampled_from([MOVING, SquareRoot(prefactor=5.0, market=MOVING.market)]))
@few
def test_the_market_stands_displaced_by_what_the_model_counts_rounded_to_ticks(seed: int, impact: Impact) -> None:
    with tempfile.TemporaryDirectory() as home:
        saved = read(folder_of(home, a_market(seed), [twap(), twap("sell", 700)], impact))
        world, free = replay(saved), replay_without_impact(saved)
        trades = world.pieces[0]["ts_event"][world.pieces[0]["kind"] == Kind.TRADE]  # it moves with the market's rows
        estimate = estimated_bp(trades, 0, world, saved.config.broker)
    stood = free.sights[0].twice_mid(trades) / 2
    displaced = world.sights[0].twice_mid(trades) / 2 - stood
    assert np.abs(displaced - estimate * stood / 1e4).max() <= TICK / 2 + 1e-6
    assert np.abs(displaced).max() > 0


def test_days_of_several_tapes_and_a_market_without_a_book_are_measured_too(tmp_path: Path) -> None:
    days = []
    for day in (0, 1):
        tape = a_market(day)
        rows = tape.rows[tape.rows["kind"] == Kind.TRADE].copy()
        rows["ts_event"] = rows["ts_recv"] = rows["ts_event"] + day * DAY
        session = (OPEN + day * DAY, CLOSE + day * DAY)
        instrument = Instrument(symbol="X", tick=TICK, book="NONE")
        manifest = Manifest(name=f"day {day}", instruments=[instrument], sessions=[session], synthetic=True)
        Tape(rows, manifest).save(tmp_path / f"day{day}")
        days.append(tmp_path / f"day{day}")
    result = run(
        twap(limit=50.0), TapeFeed(*days), broker=BrokerConfig(impact=MOVING), risk=QUIET, out=tmp_path / "run"
    )
    one = analyse(result.folder).parents[0]
    check_parent(one)
    assert (one.done, one.participation) == (0, 0)  # nothing displayed, nothing to take or to join


class OverNight(Strategy):
    """Asks for 100 from the first day's end to the second day's begin and trades none of it."""

    wake = Wake(every_ns=20 * SECOND)

    def on_start(self, desk: Any) -> None:
        desk.parent(ParentOrder(symbol="X", side=1, size=100, start=CLOSE - 60 * SECOND, end=OPEN + DAY + 60 * SECOND))


def test_a_parent_of_two_days_counts_its_remainder_at_the_close_of_the_second(tmp_path: Path) -> None:
    for day in (0, 1):
        tape = a_market(day)
        rows = tape.rows.copy()
        rows["ts_event"] = rows["ts_recv"] = rows["ts_event"] + day * DAY
        tape.manifest.sessions = [(OPEN + day * DAY, CLOSE + day * DAY)]
        Tape(rows, tape.manifest).save(tmp_path / f"day{day}")
    feed = TapeFeed(tmp_path / "day0", tmp_path / "day1")
    result = run(OverNight(), feed, broker=BrokerConfig(impact=MOVING), risk=QUIET, out=tmp_path / "run")
    one = analyse(result.folder).parents[0]
    check_parent(one)
    last = rows[rows["kind"] == Kind.QUOTE][-1]
    assert one.children[0].price == pytest.approx((last["price"] + last["price2"]) / 2 / 10_000)
    assert one.forecast.rate == pytest.approx(100 / 20_000)  # half of each day: one day's volume


class TakeOnce(Strategy):
    """Buys 100 at the market when its timer at 20 s fires."""

    wake = Wake(every_ns=20 * SECOND)

    def on_start(self, desk: Any) -> None:
        self.parent: Parent = desk.parent(
            ParentOrder(symbol="X", side=1, size=100, start=OPEN + 10 * SECOND, end=OPEN + 60 * SECOND, name="once")
        )

    def on_timer(self, timer: Any, desk: Any) -> None:
        if desk.now >= self.parent.order.start and not self.parent.children:
            self.parent.sent(desk.buy("X", shares=100), 100, price=None, is_passive=False)

    def on_fill(self, fill: Any, desk: Any) -> None:
        self.parent.observe(fill)


def known_market(trades: bool = True) -> Tape:
    """A mid of 1000 and one of 1001 from just after the order's decision, in ticks; spread of 2, one trade at 1004."""
    rows = np.zeros(4, ROW)
    at = [OPEN, OPEN + 20 * SECOND, OPEN + 30 * SECOND, OPEN + 40 * SECOND]
    rows["ts_event"] = rows["ts_recv"] = at
    rows["flags"], rows["kind"] = Flag.LAST, Kind.QUOTE
    rows["price"] = np.array([999, 1_000, 1_000, 1_000]) * TICK
    rows["price2"] = np.array([1_001, 1_002, 1_002, 1_002]) * TICK
    rows["size"] = rows["size2"] = 1_000
    if trades:
        rows["kind"][2], rows["price"][2], rows["side"][2] = Kind.TRADE, 1_004 * TICK, 1
        rows["price2"][2] = rows["size2"][2] = 0
    rows["size"][2] = 400
    return a_tape(rows)


def test_each_line_is_what_its_name_says() -> None:
    one = costs_of(known_market(), TakeOnce(), NONE, latency=100 * MILLISECOND).parents[0]
    tick = 100 * TICK * 100  # of 100 shares, in micro-units of USD
    assert one.benchmark == pytest.approx(10.04)
    # seen at 1000, arrived at 1001, paid 1002; nothing traded in its bin, whose price is then the mid at its end, 1001
    lines = dict(one.split.lines)
    assert lines.pop("volume_curve") + lines.pop("schedule") == -3 * tick
    assert lines == {
        "remainder": 0,
        "timing": -tick,
        "latency": tick,
        "waiting": 0,
        "spread": tick,
        "own_temporary": 0,
        "own_persisting": 0,
        "fees": 300_000,
    }
    assert one.split.total == -2 * tick + 300_000  # paid 1002 against 1004
    assert any("has no schedule" in note for note in one.notes)
    assert any("did not trade in 29 of 30 bins" in note for note in one.notes)
    assert [(level.level, level.filled) for level in one.fill_rates] == [("crosses", 100)]
    assert [mark.all_bp for mark in one.markouts[:2]] == [pytest.approx(-1e4 / 1_002)] * 2
    assert one.arrival.price == pytest.approx(10.0)
    assert one.arrival.shortfall == 2 * tick + 300_000


def test_levels_taken_beyond_the_touch_are_own_temporary_impact() -> None:
    rows = np.zeros(4, ROW)
    rows["ts_event"] = rows["ts_recv"] = [OPEN, OPEN, OPEN, OPEN + 40 * SECOND]
    rows["kind"], rows["flags"] = Kind.DEPTH, [0, 0, Flag.LAST, Flag.LAST]
    rows["side"] = [1, -1, -1, 1]
    rows["price"] = np.array([999, 1_001, 1_003, 998]) * TICK
    rows["size"] = [500, 60, 500, 100]
    one = costs_of(a_tape(rows, book="L2", levels=5), TakeOnce(), NONE).parents[0]
    check_parent(one)
    assert one.split.lines["spread"] == 100 * TICK * 100  # 100 shares, a tick from the mid to the touch
    assert one.split.lines["own_temporary"] == 40 * 2 * TICK * 100  # 40 of them two ticks further


class RestOnce(TakeOnce):
    """The same, at 999 ticks or better."""

    def on_timer(self, timer: Any, desk: Any) -> None:
        if desk.now >= self.parent.order.start and not self.parent.children:
            self.parent.sent(desk.buy("X", shares=100, limit=999 * TICK), 100, price=999 * TICK, is_passive=True)


def test_what_the_market_does_while_an_order_rests_is_waiting() -> None:
    rows = known_market(trades=False).rows.copy()
    rows["ts_event"] = rows["ts_recv"] = OPEN + np.array([0, 25, 30, 40]) * SECOND
    rows["price"] = np.array([999, 998, 997, 997]) * TICK
    rows["price2"] = np.array([1_001, 1_000, 999, 999]) * TICK
    one = costs_of(a_tape(rows), RestOnce(), NONE).parents[0]
    tick = 100 * TICK * 100
    # resting at 999 when the mid was 1000; it is 999 before the row that reaches us
    assert {name: one.split.lines[name] for name in ("latency", "waiting", "spread")} == {
        "latency": 0,
        "waiting": -tick,
        "spread": 0,
    }
    assert [(level.level, level.rate) for level in one.fill_rates] == [("at the touch", 1.0)]
    assert one.children[0].maker == 100


def test_a_market_that_only_quotes_gives_its_mid_as_benchmark() -> None:
    one = costs_of(known_market(trades=False), TakeOnce(), NONE).parents[0]
    check_parent(one)
    assert any("did not trade while the parent lived" in note for note in one.notes)
    assert one.participation is None
    assert any("more than the market's 0" in note for note in one.notes)


def test_what_was_not_traded_counts_at_the_closing_mark(tmp_path: Path) -> None:
    never = twap(limit=1.0)
    one = analyse(folder_of(tmp_path, a_market(3), never)).parents[0]
    check_parent(one)
    assert one.done == 0
    assert any(note.startswith("unfinished: 2,000 of 2,000") for note in one.notes)
    assert one.split.lines["remainder"] == one.split.total - one.split.t1
    assert [child.number for child in one.children] == [0, -1]


def test_a_parent_larger_than_the_day_says_so(tmp_path: Path) -> None:
    one = analyse(folder_of(tmp_path, a_market(3), twap(shares=200_000))).parents[0]
    check_parent(one)
    assert any("more than the market's" in note for note in one.notes)
    assert any("larger than an average day" in note for note in one.notes)


def test_one_parent_has_no_interval_and_says_why_and_several_have_the_same_one_twice() -> None:
    alone = costs_of(a_market(1), twap()).baskets[0]
    assert alone.interval is None
    assert "trade at least two" in alone.no_interval
    pair = [costs_of(a_market(1), [twap(), twap("sell", 700)]).baskets[0] for _ in range(2)]
    assert pair[0] == pair[1]
    assert pair[0].interval is not None
    assert "only 2 parents" in pair[0].no_interval


def test_a_line_left_out_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path, a_market(1), twap())
    right = execution_parent.fills_of

    def wrong(*args: Any, **terms: Any) -> Any:
        fills, blind = right(*args, **terms)
        return [fill._replace(lines=(*fill.lines[:-1], fill.lines[-1] + 1)) for fill in fills], blind

    monkeypatch.setattr(execution_parent, "fills_of", wrong)
    with pytest.raises(ArithmeticError, match="the lines add up to"):
        analyse(folder)


def test_a_run_that_does_not_repeat_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, a_market(1), twap())
    journal = bytearray((folder / "journal.bin").read_bytes())
    journal[16] ^= 1
    (folder / "journal.bin").write_bytes(journal)
    with pytest.raises(RunError, match=r"does not repeat.*tickwright verify"):
        analyse(folder)


def test_a_partial_run_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, a_market(1), twap())
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"partial": "interrupted"}))
    with pytest.raises(RunError, match=r"partial .interrupted.; run it to its end"):
        analyse(folder)


def test_without_the_counterfactual_all_still_adds_up_and_it_is_said(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, a_market(1), twap())
    costs = analyse(folder, counterfactual=False)
    check_parent(costs.parents[0])
    assert costs.parents[0].without_impact is None
    assert any("without the counterfactual" in note for note in costs.notes)
    assert costs.parents[0].split.total == analyse(folder).parents[0].split.total


def test_the_pictures_hold_what_was_done(tmp_path: Path) -> None:
    costs = analyse(folder_of(tmp_path, a_market(5), [twap(), twap("sell", 700)]))
    kinds = [(picture.kind, picture.parent) for picture in costs.pictures]
    assert kinds[0] == ("basket profile", None)
    assert {("impact accrual", 0), ("path", 0), ("impact accrual", 1), ("path", 1)} <= set(kinds)
    for picture in costs.pictures:
        for table in picture.tables:
            assert len({len(column) for column in table.columns.values()}) == 1
    path = next(picture for picture in costs.pictures if (picture.kind, picture.parent) == ("path", 1))
    columns = path.tables[0].columns
    assert (columns["done"][-1], columns["own_net_traded"][-1]) == (costs.parents[1].done, -costs.parents[1].done)
    assert columns["target"][-1] == 700


def test_the_command_tells_lines_json_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(tmp_path, a_market(5), [twap(), twap("sell", 700)])
    assert main(["costs", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "BASKET      2 parents" in told
    assert told.count("not explained                                         0.00    +0.00") == 3
    page = tmp_path / "costs.html"
    assert main(["costs", str(folder), "--json", "--html", str(page)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert msgspec.convert(answer["costs"], Costs).parents[0].size == 2_000
    html = page.read_text()
    assert "<link" not in html
    assert "<script src" not in html
    assert html.count("Plotly.newPlot(") >= 7
    assert main(["costs", str(tmp_path / "none")]) == 1


@pytest.mark.slow
def test_a_recorded_day_leaves_nothing_unexplained(recorded_data: Path, tmp_path: Path) -> None:
    config = load(
        Path(__file__).parents[2] / "configs" / "vwap_impact.toml", sets=[f'feed_params.root="{recorded_data}"']
    )
    folder = run_config(config, out=tmp_path / "run").folder
    costs = analyse(folder)
    assert [one.symbol for one in costs.parents] == ["AAPL", "AMZN"]
    for one in costs.parents:
        check_parent(one)
        assert one.without_impact is not None
        assert one.split.lines["own_persisting"] > 0
        assert one.without_impact.lines["own_persisting"] == one.without_impact.lines["own_temporary"] == 0
    assert len([picture for picture in costs.pictures if picture.kind == "impact accrual"]) == 4
