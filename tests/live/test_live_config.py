from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.config import Config, dump, load, parse
from engine.errors import ConfigError
from engine.live.attach_command import attach_command
from engine.live_config import Live

SAID = ("max_size", "max_notional", "max_position", "max_gross", "max_net", "daily_loss", "drawdown")
LIMITS = dict.fromkeys(SAID, 1_000_000)
MINIMAL: dict[str, Any] = {"strategy": "mine.py:Mine", "risk": LIMITS}


def of(live: dict[str, Any], folder: Path, **more: Any) -> Config:
    return parse({**MINIMAL, "live": live, **more}, folder=folder, where="x.toml")


def test_a_config_without_live_has_none_and_one_with_it_comes_back_equal_from_its_own_text(tmp_path: Path) -> None:
    assert parse(MINIMAL, folder=tmp_path).live is None
    said = {"hold": 20, "speed": 10, "durable": False, "clients": [{"name": "desk", "cash": {"USD": 1.5}}]}
    config = of({**said, "keys_folder": "keys", "admin": "ipc://admin"}, tmp_path)
    assert config.live is not None
    assert config.live.clients[0].cash == {"USD": 1_500_000}
    assert config.live.keys_folder == str(tmp_path / "keys")
    assert config.live.admin == f"ipc://{tmp_path}/admin"
    (tmp_path / "again.toml").write_text(dump(config))
    assert load(tmp_path / "again.toml") == config


def test_a_paper_broker_for_programs_alone_needs_no_strategy(tmp_path: Path) -> None:
    rest = {"risk": LIMITS, "live": {"clients": [{"name": "desk"}]}}
    config = parse(rest, folder=tmp_path, where="x.toml")
    assert config.strategies == []
    (tmp_path / "again.toml").write_text(dump(config))
    assert load(tmp_path / "again.toml") == config
    with pytest.raises(ConfigError, match="no strategy; add"):
        parse({**rest, "live": {}}, folder=tmp_path, where="x.toml")
    with pytest.raises(ConfigError, match="has no strategy to attach"):
        attach_command(str(tmp_path / "again.toml"), [], None, None, False)


def test_the_market_waits_for_ever_at_full_speed_and_fifty_milliseconds_at_a_pace_unless_told() -> None:
    assert Live().hold_ns is None
    assert Live(speed=1.0).hold_ns == 50_000_000
    assert Live(speed=1.0, hold="forever").hold_ns is None
    assert Live(hold=7).hold_ns == 7_000_000
    assert [Live(speed=speed).speed_thousandths for speed in ("max", 1.0, 10.0, 0.0001)] == [0, 1_000, 10_000, 1]


@pytest.mark.parametrize(
    ("live", "message"),
    [
        ({"holds": 1}, "unknown field 'holds' at $.live; did you mean 'hold'?"),
        ({"hold": 0}, "at $.live.hold"),
        ({"speed": -1}, "at $.live.speed"),
        ({"orders": "localhost:5"}, "$.live.orders is 'localhost:5'; write tcp://127.0.0.1:PORT or ipc://PATH"),
        ({"orders": "tcp://127.0.0.1:5701"}, "$.live.feed and $.live.orders are both tcp://127.0.0.1:5701"),
        ({"clients": [{"name": "main"}]}, "$.live.clients: 2 accounts are called 'main'"),
        ({"feed": f"ipc:///{'x' * 107}"}, "$.live.feed: /xxx"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_key(live: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        of(live, tmp_path)
    assert str(caught.value).startswith("x.toml: ")
    assert message in str(caught.value)


def test_a_live_config_must_name_its_limits_unless_it_says_that_it_is_a_replay(tmp_path: Path) -> None:
    assert of({}, tmp_path).risk.preset == "live"
    assert of({}, tmp_path).risk.orders_per_second == 50
    with pytest.raises(ConfigError, match=r"preset live needs max_size, .*; write a limit > 0 for each, or preset"):
        of({}, tmp_path, risk={})
    assert of({}, tmp_path, risk={"preset": "replay"}).risk.max_position == 0
