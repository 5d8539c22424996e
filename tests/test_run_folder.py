from __future__ import annotations

import importlib
import io
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
import pytest
from rich.console import Console

from engine import Strategy, Wake, run, run_config
from engine.broker.models import Account, RiskConfig
from engine.config import Config, build, load, make_feed
from engine.errors import ConfigError, RunError, StrategyError, TapeError
from engine.journal import RECORD, RecordKind, read_journal
from engine.portfolio import Entry, fold
from engine.progress import RunProgress
from engine.reports.banner import banner
from engine.reports.formats import duration, moment, money
from engine.reports.record_text import record_text
from engine.reports.summary import summary
from engine.run import CountedFeed, KeptJournal
from engine.run_folder import UNFINISHED, create, read
from engine.strategy import SECOND
from engine.tape import Tape
from engine.verify import verify
from engine.volume_curve import CurveSource
from feeds.lobster import LobsterFeed
from feeds.replay import TapeFeed
from feeds.synthetic import SyntheticFeed
from strategies.follow_schedule import Instruction
from strategies.vwap_schedule import VwapSchedule

MINE = """
from engine import SECOND, Strategy, Wake

class Mine(Strategy):
    wake = Wake(every_ns=SECOND)

    def on_timer(self, timer, desk):
        quote = desk.quote("XYZ")
        if quote.is_two_sided:
            desk.buy("XYZ", shares=100, limit=quote.bid)
"""


class Buyer(Strategy):
    """A lot at the bid each second."""

    wake = Wake(every_ns=SECOND)

    def on_timer(self, timer: object, desk) -> None:  # type: ignore[no-untyped-def]
        desk.buy("XYZ", shares=100, limit=desk.quote("XYZ").bid)


class Broken(Buyer):
    """Raises in the tenth second."""

    def on_timer(self, timer: object, desk) -> None:  # type: ignore[no-untyped-def]
        super().on_timer(timer, desk)
        if desk.position("XYZ") > 200:
            raise KeyError("no idea")


class Mine(Buyer):
    """With a parameter."""

    class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        shares: int


@pytest.fixture
def config(tmp_path: Path, small_tape: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    file = tmp_path / "mine.toml"
    file.write_text(f'strategy = "mine.py:Mine"\nseed = 3\n[feed_params]\ntapes = ["{small_tape}"]\n')
    return file


def test_a_run_in_a_notebook_is_the_run_of_the_command(config: Path, small_tape: Path, tmp_path: Path) -> None:
    result = run_config(config, out=tmp_path / "a")
    kept = KeptJournal()
    again = run(Buyer(), TapeFeed(small_tape), seed=3, journal=kept)
    assert again.fingerprint == result.fingerprint
    assert np.array_equal(kept.records, read_journal(tmp_path / "a/journal.bin"))
    assert again.pnl == result.pnl


def test_a_run_of_objects_leaves_a_folder_that_can_be_verified(small_tape: Path, tmp_path: Path) -> None:
    rows = Tape.load(small_tape).rows
    start, end = (int(rows["ts_event"][at]) for at in (1_000, 3_000))
    accounts = [Account(name="a", cash={"USD": 5_000_000}), Account(name="b")]
    feed = TapeFeed(small_tape, start=start, end=end, chunks=7)
    limits = RiskConfig(max_size=100)
    result = run(
        [Buyer(), Mine(shares=100)], feed, accounts=accounts, risk=limits, seed=3, name="mine", out=tmp_path / "a"
    )
    assert result.folder == str(tmp_path / "a")
    assert result.orders.fills
    saved = read(result.folder)
    assert saved.result == result
    assert saved.config == load(tmp_path / "a/config.toml")
    found = verify(result.folder)
    assert found.matches
    assert not found.notes
    assert found.fingerprint == result.fingerprint
    again = run(Buyer(), TapeFeed(small_tape), out=tmp_path / "a")
    assert again.folder == str(tmp_path / "a-2")


def test_a_curve_named_from_where_we_stand_is_found_again(
    small_tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_tape.parent)
    order = Instruction(symbol="XYZ", side="buy", shares=500, start_after_open_s=5, end_before_close_s=5)
    curve = CurveSource(tapes=("day0",), bins=5)
    result = run(VwapSchedule(orders=(order,), curve=curve), TapeFeed("day1"), out=tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    assert verify(result.folder).matches


def test_a_run_that_could_not_be_repeated_leaves_no_folder(small_tape: Path, tmp_path: Path) -> None:
    tape = Tape.load(small_tape)
    out = tmp_path / "a"

    class Local(Buyer):
        pass

    with pytest.raises(TapeError, match=r"day 0 is in memory only.*Tape.save it first"):
        run(Buyer(), TapeFeed(Tape(tape.rows, tape.manifest)), out=out)
    with pytest.raises(ConfigError, match="Local is defined inside a function"):
        run(Local(), TapeFeed(tape), out=out)
    with pytest.raises(ConfigError, match="CountedFeed has no params"):
        run(Buyer(), CountedFeed(TapeFeed(tape)), out=out)
    with pytest.raises(ConfigError, match="give one of them"):
        run(Buyer(), TapeFeed(tape), out=out, journal=KeptJournal())
    assert not out.exists()


def test_a_strategy_of_a_notebook_is_verified_in_it(
    small_tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    exec(MINE.replace("Mine", "Cell"), vars(notebook))
    result = run(notebook.Cell(), TapeFeed(small_tape), out=tmp_path / "a")
    assert verify(result.folder).matches
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))  # another process
    with pytest.raises(ConfigError, match="Cell was defined in a notebook or shell; verify the run there"):
        verify(result.folder)


def test_every_feed_says_how_it_was_made(small_tape: Path, recorded_data: Path) -> None:
    lobster = recorded_data / "equities/lobster"
    files = [lobster / f"AAPL_2012-06-21_{what}_1.parquet" for what in ("message", "orderbook")]
    feeds = [
        TapeFeed(small_tape, start="2026-01-05T14:31"),
        SyntheticFeed(seed=1, date="2026-03-02", params={"window_minutes": [60, 61]}),
        LobsterFeed(messages=files[:1], books=files[1:], end="2012-06-21T14:00"),
    ]
    for feed in feeds:
        name = f"{type(feed).__module__}:{type(feed).__qualname__}"
        again = make_feed(Config(name="x", strategies=[], feed=name, feed_params=feed.params))
        assert again.tape.manifest == feed.tape.manifest
        assert again.read(until=0).tobytes() == feed.read(until=0).tobytes()


def test_many_runs_in_one_process_do_not_touch_each_other(small_tape: Path) -> None:
    first = run(Buyer(), TapeFeed(small_tape), seed=3)
    run(Buyer(), TapeFeed(small_tape), seed=4, name="between")
    assert run(Buyer(), TapeFeed(small_tape), seed=3) == first


def test_two_strategies_have_two_accounts_in_one_market(small_tape: Path) -> None:
    result = run([Buyer(), Buyer()], TapeFeed(small_tape), seed=3)
    assert [balance.account for balance in result.balances] == ["main-1", "main-2"]
    assert result.orders.sent == 2 * run(Buyer(), TapeFeed(small_tape), seed=3).orders.sent


def test_strategies_and_accounts_must_match_in_number(small_tape: Path) -> None:
    with pytest.raises(ConfigError, match="no strategy to replay"):
        run([], TapeFeed(small_tape))


def test_a_strategy_that_raises_hands_over_what_was_done(small_tape: Path) -> None:
    with pytest.raises(StrategyError, match=r"Broken\.on_timer raised KeyError: 'no idea'") as caught:
        run(Broken(), TapeFeed(small_tape), seed=3)
    assert isinstance(caught.value.__cause__, KeyError)
    woken, row = caught.value.__notes__
    assert woken.startswith("woken by Timer(ts_event=")
    assert "of source 0: " in row
    result = caught.value.result  # type: ignore[attr-defined]
    assert result.partial == "Broken.on_timer raised KeyError: 'no idea'"
    assert result.orders.fills > 0


def test_the_journals_marks_agree_with_the_ledger(config: Path, tmp_path: Path, small_tape: Path) -> None:
    run_config(config, out=tmp_path / "a")
    saved = read(tmp_path / "a")
    records = np.asarray(saved.records)
    mark = records[records["kind"] == RecordKind.MARK][-1]
    ledger = fold(records, Tape.load(small_tape).instruments, [saved.config.strategies[0].account])
    position = ledger.position(0, 0)
    assert (position.size, position.mark) == (mark["size"], mark["price"])
    assert position.cash == mark["extra"]


def test_a_run_folder_reads_back_what_was_written(config: Path, tmp_path: Path) -> None:
    result = run_config(config, out=tmp_path / "a")
    saved = read(tmp_path / "a")
    assert saved.result == result
    assert saved.config == build(load(config)).config
    assert saved.manifest.fingerprint == result.fingerprint
    assert saved.manifest.partial == ""
    assert saved.manifest.tapes[0].name == "day 0"
    assert len(saved.manifest.strategies[0].source) == 64


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    assert [create(tmp_path / "run").name for _ in range(3)] == ["run", "run-2", "run-3"]


def test_a_run_that_was_killed_says_that_it_did_not_finish(config: Path, tmp_path: Path) -> None:
    result = run_config(config, out=tmp_path / "a")
    manifest = msgspec.json.decode((tmp_path / "a/manifest.json").read_bytes())
    manifest |= {"partial": UNFINISHED, "fingerprint": ""}
    (tmp_path / "a/manifest.json").write_bytes(msgspec.json.encode(manifest))
    journal = tmp_path / "a/journal.bin"
    journal.write_bytes(journal.read_bytes()[: 100 * RECORD.itemsize + 17])  # torn in the middle of a record
    found = verify(tmp_path / "a")
    assert found.matches
    assert (found.records, found.partial) == (100, UNFINISHED)
    assert found.fingerprint != result.fingerprint


def test_verify_notices_every_kind_of_difference(config: Path, tmp_path: Path) -> None:
    run_config(config, out=tmp_path / "a")
    saved = read(tmp_path / "a")
    whole = (tmp_path / "a/journal.bin").read_bytes()
    for records, at in ((np.asarray(saved.records)[:-3], len(whole) // 64 - 3), (_changed(saved.records, 40), 40)):
        (tmp_path / "a/journal.bin").write_bytes(records.tobytes())
        _sign(tmp_path / "a", records)
        found = verify(tmp_path / "a")
        assert not found.matches
        assert found.first_difference == at


def _changed(records: np.ndarray, at: int) -> np.ndarray:
    changed = np.array(records)
    changed["price"][at] += 1
    return changed


def _sign(folder: Path, records: np.ndarray) -> None:
    kept = KeptJournal()
    kept.append(np.ascontiguousarray(records))
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest | {"fingerprint": kept.fingerprint}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("manifest.json", "manifest.json: damaged"),
        ("config.toml", "config.toml: not TOML"),
        ("results.json", "results.json: cannot be read"),
    ],
)
def test_a_damaged_run_folder_names_the_file(damage: str, message: str, config: Path, tmp_path: Path) -> None:
    run_config(config, out=tmp_path / "a")
    (tmp_path / "a" / damage).write_text("{ nonsense")
    with pytest.raises((RunError, ConfigError), match=message):
        _ = read(tmp_path / "a").result


def test_the_banner_names_every_parameter_of_every_model(config: Path, small_tape: Path) -> None:
    resolved = build(load(config)).config
    text = "\n".join(banner(resolved, Tape.load(small_tape).manifest, 6_000))
    for model in (resolved.broker, resolved.risk):
        for field in msgspec.structs.fields(model):
            if field.name == "otc":
                continue  # a share is not dealt at closes
            assert field.name in text
            value = getattr(model, field.name)
            if field.name == "impact":
                assert "footprint" in text
                assert "alpha 488.0" in text
                assert "average day XYZ" in text
            elif isinstance(value, msgspec.Struct):
                assert all(inner.name in text for inner in msgspec.structs.fields(value))


def test_the_summary_gives_the_data_verdict_before_any_profit(config: Path, tmp_path: Path) -> None:
    lines = summary(run_config(config, out=tmp_path / "a"))
    names = [line.split()[0] for line in lines]
    assert names[0] == "data"
    assert names.index("data") < names.index("P/L") < names.index("fingerprint")


def test_the_page_is_offline_and_whole(config: Path, tmp_path: Path) -> None:
    graph_objects = pytest.importorskip("plotly.graph_objects", reason="needs the extra `report`")
    page = importlib.import_module("engine.reports.page")
    run_config(config, out=tmp_path / "a")
    text = page.write_page(tmp_path / "a").read_text(encoding="utf-8")
    charts = [json.loads(chart) for chart in re.findall(r"const c = (\{.*?\}); Plotly.newPlot", text)]
    assert len(charts) == 1
    for chart in charts:
        graph_objects.Figure(chart)  # refuses a property that plotly does not know
    own = text[text.rindex("</style>") :].split("</script>", 1)[1]
    assert "http" not in own
    assert "fingerprint" in own


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (RecordKind.ORDER, "ORDER 2026-01-05 14:30:00 main order 7: buy 100 XYZ at 1.5 LIMIT DAY (row 3 of source 0)"),
        (RecordKind.FILL, "buy 100 XYZ at 1.5, fee 0.000000, taker, no. 0"),
        (RecordKind.REJECT, "XYZ CANCEL refused: NONE"),
        (RecordKind.CANCEL, "XYZ 100 unfilled: NONE"),
        (RecordKind.MARK, "XYZ position +100 at 1.5, cash 0.000000"),
        (RecordKind.ADJUST, "XYZ Adjustment 0: money 0.000000, units +100"),
    ],
)
def test_a_record_reads_as_a_sentence(kind: RecordKind, said: str, small_tape: Path) -> None:
    entry = Entry(1_767_623_400_000_000_000, 7, 15_000, 100, 0, 3, kind, 1, 1, 0, 0, 0, 0, 0, 0, 0)
    assert said in record_text(entry, Tape.load(small_tape).instruments, ["main"])


def test_amounts_and_times_are_written_exactly() -> None:
    assert [money(x) for x in (-1_234_567_890, 0, 5_000, 15_000)] == ["-1,234.57", "0.00", "0.00", "0.02"]
    assert money(-2_000, 6) == "-0.002000"
    assert moment(1_767_623_400_120_000_000) == "2026-01-05 14:30:00.12"
    assert [duration(x) for x in (0, 999, 200_000, 1_500_000_000)] == ["0 ns", "999 ns", "200 µs", "1.5 s"]


def test_progress_shows_market_time_speed_and_how_far_it_is(small_tape: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = TapeFeed(small_tape)
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    monkeypatch.setattr("engine.progress.EVERY_S", 0.0)
    with RunProgress(feed, console) as watch:
        watch(feed.tape.sessions[0][0] + 300 * SECOND, 6_000)
        watch._progress.refresh()
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "2026-01-05 14:35:00" in said
    assert "50%" in said
    assert "rows/s" in said
