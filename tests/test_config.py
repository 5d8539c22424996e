from __future__ import annotations

import re
import sys
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
from hypothesis import given

from engine.broker.impact import Market, Propagator
from engine.broker.models import Account, BrokerConfig, Fees, Latency, Lognormal, Queue
from engine.config import FILE_KEYS, Config, Risk, StrategyConfig, build, dump, load, ns_utc, parse
from engine.errors import ConfigError, TapeError
from engine.instruments import Instrument
from engine.names import import_class
from engine.tape import ROW, Flag, Kind, Manifest, Tape

MINIMAL: dict[str, Any] = {"strategy": "mine.py:Mine", "feed_params": {"tapes": ["tape"]}}

MINE = """
import msgspec
from engine.strategy import Strategy

class Mine(Strategy):
    class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        symbol: str
        size: int = 1

class Feed:
    def __init__(self, *tapes, chunks=0, start=None):
        self.tape, self.chunks = tapes[0], chunks
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = np.zeros(3, ROW)
    rows["kind"] = Kind.QUOTE
    rows["flags"] = Flag.LAST
    Tape(rows, Manifest(instruments=[Instrument(symbol="A")])).save(tmp_path / "tape")
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def refusal(data: dict[str, Any], folder: Path, **more: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(data, folder=folder, where="x.toml", **more)
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"broker": {"latency_ms": 1}}, "x.toml: unknown field 'latency_ms' at $.broker; did you mean 'latency'?"),
        ({"brokr": {}}, "x.toml: unknown field 'brokr' at $; did you mean 'broker'?"),
        (
            {"broker": {"latency": {"entry": {"median_ns": 1, "sigmas": 2.0}}}},
            "x.toml: unknown field 'sigmas' at $.broker.latency.entry; did you mean 'sigma'?",
        ),
        (
            {"broker": {"queue": {"model": "fif"}}},
            "x.toml: 'fif' at $.broker.queue.model is not a choice; did you mean 'fifo'?",
        ),
        ({"account": {"cahs": {}}}, "x.toml: unknown field 'cahs' at $.account; did you mean 'cash'?"),
        ({"account": {"cash": {"USD": "much"}}}, "x.toml: expected int, got str at $.account.cash[...]"),
        ({"broker": 3}, "x.toml: expected table, got int at $.broker"),
        (
            {"account": {"cash": {"USD": 1e-7}}},
            "x.toml: $.account.cash.USD is 1e-07, but money is a whole number of millionths",
        ),
        ({"seed": -1}, r"x.toml: seed is -1, but must be in [0, 2^63)"),
        ({"name": "a/b"}, "x.toml: name 'a/b' cannot name a folder; use letters, digits, - and _"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_path_and_cure(data: dict[str, Any], message: str, folder: Path) -> None:
    assert refusal({**MINIMAL, **data}, folder) == message


def test_an_unknown_key_without_a_neighbour_lists_what_is_known(folder: Path) -> None:
    assert "known are exponent, model" in refusal({**MINIMAL, "broker": {"queue": {"zzz": 1}}}, folder)


def test_an_average_day_alone_leaves_the_impact_model_the_default(folder: Path) -> None:
    day = {"daily_volume": 5, "daily_volatility": 0.02}
    impact = parse({**MINIMAL, "broker": {"impact": {"market": {"A": day}}}}, folder=folder).broker.impact
    assert impact == Propagator(market={"A": Market(daily_volume=5, daily_volatility=0.02)})


def test_fees_typed_in_micro_units_are_caught(folder: Path) -> None:
    assert "write 0.003" in refusal({**MINIMAL, "broker": {"fees": {"maker_per_unit": -2_000}}}, folder)


def test_a_config_without_strategy_says_how_to_name_one(folder: Path) -> None:
    assert "strategies.twap:Twap" in refusal({}, folder)
    assert "params beside [[strategies]]" in refusal({"params": {}, "strategies": [{"strategy": "a:B"}]}, folder)


def test_two_strategies_need_two_accounts(folder: Path) -> None:
    entries = [{"strategy": "mine.py:Mine"}, {"strategy": "mine.py:Mine"}]
    assert "2 accounts are called 'main'" in refusal({"strategies": entries}, folder)


def test_live_refuses_limits_that_are_not_said(folder: Path) -> None:
    assert "preset live needs max_size, max_notional" in refusal({**MINIMAL, "risk": {"preset": "live"}}, folder)
    said = dict.fromkeys(
        ("max_size", "max_notional", "max_position", "max_gross", "max_net", "daily_loss", "drawdown"), 7
    )
    risk = parse({**MINIMAL, "risk": {"preset": "live", **said}}, folder=folder).risk
    assert (risk.repeats, risk.orders_per_second, risk.fills_per_second) == (5, 50, 10)
    assert (risk.max_size, risk.max_notional) == (7, 7_000_000)


def test_money_is_typed_in_currency_and_kept_in_millionths(folder: Path) -> None:
    data = {
        **MINIMAL,
        "account": {"cash": {"USD": 10_000_000, "EUR": 0.25}},
        "broker": {"fees": {"taker_per_unit": 0.003}},
    }
    config = parse(data, folder=folder)
    assert config.strategies[0].account.cash == {"USD": 10**13, "EUR": 250_000}
    assert config.broker.fees.taker_per_unit == 3_000


@pytest.mark.parametrize(
    ("setting", "read"),
    [
        ("broker.queue.model=fifo", lambda c: c.broker.queue.model == "fifo"),
        ("broker.latency.entry=1_000", lambda c: c.broker.latency.entry == 1_000),
        ("broker.latency.entry={median_ns=5, sigma=0.25}", lambda c: c.broker.latency.entry == Lognormal(5, 0.25)),
        ("account.cash.USD=1.5", lambda c: c.strategies[0].account.cash == {"USD": 1_500_000}),
        ("params.symbol=A", lambda c: c.strategies[0].params == {"symbol": "A"}),
        ("feed_params.start=2026-01-05T14:30:00Z", lambda c: c.feed_params["start"] == ns_utc("2026-01-05T14:30")),
    ],
)
def test_a_setting_is_laid_over_the_file(setting: str, read: Any, folder: Path) -> None:
    assert read(parse(MINIMAL, folder=folder, sets=[setting]))


def test_a_setting_reaches_into_the_list_of_strategies(folder: Path) -> None:
    data = {"strategies": [{"strategy": "mine.py:Mine"}, {"strategy": "mine.py:Mine", "account": {"name": "b"}}]}
    config = parse(data, folder=folder, sets=["strategies.1.params.size=3"])
    assert config.strategies[1].params == {"size": 3}


def test_a_misspelt_setting_is_refused_like_a_misspelt_key(folder: Path) -> None:
    assert "did you mean 'queue'" in refusal(MINIMAL, folder, sets=["broker.queu.model=fifo"])
    assert "write key=value" in refusal(MINIMAL, folder, sets=["broker.queue.model"])


def test_the_seed_of_the_command_wins(folder: Path) -> None:
    assert parse({**MINIMAL, "seed": 1}, folder=folder, seed=9).seed == 9


def test_a_file_is_read_and_named_after_itself(folder: Path) -> None:
    (folder / "my_run.toml").write_text('strategy = "mine.py:Mine"\n[feed_params]\ntapes = ["tape"]\n')
    config = load(folder / "my_run.toml")
    assert config.name == "my_run"
    assert config.feed_params["tapes"] == [str(folder / "tape")]


def test_a_file_that_is_missing_or_not_toml_is_refused_in_one_sentence(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml: cannot be read \(No such file or directory\)"):
        load(folder / "none.toml")
    (folder / "bad.toml").write_text("a = \n")
    with pytest.raises(ConfigError, match=r"bad.toml: not TOML: .*line 1"):
        load(folder / "bad.toml")


def test_a_tape_that_is_not_there_is_named(folder: Path) -> None:
    assert re.search(r"no tape at .*nothing", refusal({**MINIMAL, "feed_params": {"tapes": ["nothing"]}}, folder))


def test_a_parameter_that_names_a_file_is_relative_to_the_config(folder: Path) -> None:
    config = parse({**MINIMAL, "params": {"curve_path": "a/b.npy", "symbol": "A"}}, folder=folder)
    assert config.strategies[0].params == {"curve_path": str(folder / "a/b.npy"), "symbol": "A"}


def test_tapes_are_relative_to_the_config_at_any_depth_and_those_that_ship_keep_their_name(folder: Path) -> None:
    curve = {"curve": {"tapes": ["tape", "demo_bars"], "bins": 3}}
    config = parse({**MINIMAL, "params": curve}, folder=folder)
    assert config.strategies[0].params["curve"]["tapes"] == [str(folder / "tape"), "demo_bars"]
    nowhere = {**MINIMAL, "params": {"curve": {"tapes": ["demo_bar"]}}}
    assert re.search(
        r"x.toml: \$.params.curve.tapes: no tape at .*; did you mean 'demo_bars'", refusal(nowhere, folder)
    )


def test_build_makes_what_the_config_names(folder: Path) -> None:
    no_impact = {"impact": {"type": "none"}}  # the tape is empty and says nothing of an average day
    data = {**MINIMAL, "feed": "mine.py:Feed", "params": {"symbol": "A"}, "broker": no_impact}
    config = parse(data, folder=folder)
    config = msgspec.structs.replace(config, feed=f"{folder}/mine.py:Feed")
    setup = build(config, feed_overrides={"chunks": 7})
    assert setup.strategies[0].params.symbol == "A"
    assert setup.config.strategies[0].params == {"symbol": "A", "size": 1}
    assert setup.feed.chunks == 7  # type: ignore[attr-defined]
    assert "chunks" not in setup.config.feed_params


def test_naming_a_class_leaves_the_import_path_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for path in (["a", "b"], [str(folder), "a", "b"]):
        monkeypatch.setattr(sys, "path", [*path, *sys.path])
        before = list(sys.path)
        import_class("engine.strategy:Strategy", object, "test")
        import_class("mine.py:Mine", object, "test")
        assert sys.path == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategy": "mine.py:Mime"}, r"has no class 'Mime'; did you mean 'Mine'"),
        ({"strategy": "mine.py"}, r"names no class"),
        ({"strategy": "other.py:Mine"}, r"no file .*other.py"),
        ({"strategy": "no_such_package.x:Y"}, r"no module named 'no_such_package'"),
        ({"strategy": "mine.py:Feed"}, r"is not a Strategy"),
        ({"params": {"symbl": "A"}}, r"unknown field 'symbl' at \$.params; did you mean 'symbol'"),
        ({"params": {}}, r"missing required field symbol at \$.params"),
        ({"feed_params": {"tapes": ["tape"], "chunk": 1}}, r"unknown field 'chunk'; did you mean 'chunks'"),
        ({"feed_params": {}}, r"needs tapes = \[...\]"),
    ],
)
def test_a_name_that_cannot_be_built_says_why(change: dict[str, Any], message: str, folder: Path) -> None:
    data = {**MINIMAL, "feed": f"{folder}/mine.py:Feed", "params": {"symbol": "A"}, **change}
    with pytest.raises(ConfigError, match=message):
        build(parse(data, folder=folder))


def test_a_strategy_file_that_does_not_parse_names_its_line(folder: Path) -> None:
    (folder / "mine.py").write_text("x = (\n")
    with pytest.raises(ConfigError, match=r"mine.py, line 1"):
        build(parse(MINIMAL, folder=folder))


def test_a_damaged_tape_is_a_tape_error(folder: Path) -> None:
    (folder / "tape" / "rows.npy").write_bytes(b"nonsense")
    with pytest.raises(TapeError, match="import the tape again"):
        build(parse({**MINIMAL, "feed": f"{folder}/mine.py:Feed", "params": {"symbol": "A"}}, folder=folder))


latencies = st.integers(0, 10**9) | st.builds(Lognormal, st.integers(0, 10**9), st.floats(0, 5), st.integers(0, 10**9))
scalars = st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
money = st.dictionaries(st.text(), st.integers(0, 2**40))


def names_no_file(key: str) -> bool:
    """What names a file is made absolute, and so does not read back as it was."""
    return not key.endswith(FILE_KEYS) and key != "tapes"


configs = st.builds(
    Config,
    name=st.text("abc-_ü", min_size=1),
    seed=st.integers(0, 2**63 - 1),
    feed_params=st.dictionaries(st.text("abcü. _", min_size=1), scalars | st.lists(scalars)),
    strategies=st.lists(
        st.builds(
            StrategyConfig,
            strategy=st.just("strategies.twap:Twap"),
            params=st.dictionaries(st.text().filter(names_no_file), scalars, max_size=3),
            account=st.builds(
                Account, name=st.uuids().map(str), cash=st.dictionaries(st.text(), st.integers(0, 2**40))
            ),
        ),
        min_size=1,
        max_size=3,
    ),
    broker=st.builds(
        BrokerConfig,
        latency=st.builds(Latency, feed=latencies | st.just("recorded"), entry=latencies),
        queue=st.builds(Queue, exponent=st.integers(1, 4)),
        fees=st.builds(Fees, maker_per_unit=st.integers(-(10**6), 10**6)),
    ),
    risk=st.builds(Risk, max_notional=st.integers(0, 2**45), restricted=st.lists(st.text(), max_size=2).map(tuple)),
)


@given(config=configs)
def test_a_config_that_was_written_reads_back_equal(config: Config) -> None:
    assert parse(tomllib.loads(dump(config), parse_float=Decimal)) == config
