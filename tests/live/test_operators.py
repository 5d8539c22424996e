"""Operators at a broker: the admin socket with keys, the live view, metrics, and what finds a session."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.cli import main
from engine.config import dump, parse
from engine.errors import ConfigError, RunError
from engine.live import messages as m
from engine.live.admin import Admin, announced, running_sessions, sessions_folder
from engine.live.chaos import Chaos
from engine.live.keys import Keys, new_keys
from engine.live.links import Links
from engine.live.metrics import metrics_of
from engine.live.onlooker import Onlooker
from engine.live.paper_command import children_of, with_session
from engine.live.role import Frame, Input, Output, Send, Stop
from engine.live.role_disk import RoleDisk
from engine.live.session import SESSION, live_config, live_of, wires
from engine.live.shell import Shell
from engine.live.standing import AccountStanding, Latch, Standing
from engine.live.top_command import plain_lines, view
from engine.live_config import Live

SECOND = 1_000_000_000
STANDING = Standing(
    role="broker",
    run="demo",
    state="waiting",
    market_ts=1_772_463_700_000_000_000,
    ts_pub=5 * SECOND,
    rows=1_000,
    next_seq=1_200,
    gaps=2,
    recoveries=3,
    waiting_for=["main"],
    late_orders=1,
    latches=[Latch(number=4, account="main", why="fat finger")],
    accounts=[
        AccountStanding(
            name="main", attached=True, wakes=7, answered=6, positions={"XYZ": -300}, pnl={"USD": -1_500_000}
        ),
        AccountStanding(name="desk", is_client=True),
    ],
)


class Desk:
    """A core that answers an operator as a broker does, and stops when told to."""

    next_tick = 2**62

    def __init__(self) -> None:
        self.keys: list[str] = []

    def advance(self, now: int, input: Input) -> Sequence[Output]:
        if not isinstance(input, Frame):
            return []
        self.keys.append(input.key)
        match m.admin_request(input.data):
            case m.Ask():
                reply: m.AdminReply = m.Standing(msgspec.json.encode(STANDING))
            case m.Kill(account=account):
                reply = m.Obeyed(4, f"latched: {account or 'all accounts'}")
            case m.Rearm(latch=4):
                reply = m.Obeyed(4, "'main' may trade again")
            case m.Rearm():
                reply = m.Reject("UNKNOWN_LATCH", "no such latch")
            case _:
                return [Stop(0, "")]
        return [Send("admin", input.peer, m.encode(reply))]


@pytest.fixture
def private() -> Iterator[Path]:
    """A folder short enough for sockets."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def desk(private: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Live, Desk]]:
    """A broker's admin socket, with keys, in a thread."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(private))
    live = live_of(with_session(parse({"strategy": "mine.py:Mine"}), private))
    core, ready = Desk(), threading.Event()

    def serve() -> None:
        with wires(live, "broker") as made:
            links = Links({"admin": made.door("admin")})
            ready.set()
            Shell(core, links).run()

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(10)
    yield live, core
    with Admin(live, answer_ms=300) as admin, pytest.raises(RunError, match="no broker answers"):
        admin.ask(m.Shutdown())
    thread.join()


def config_file(private: Path, live: Live) -> str:
    config = parse({"strategy": "mine.py:Mine", "name": "demo"}, folder=private)
    (private / SESSION).write_text(dump(msgspec.structs.replace(config, live=live)))
    return str(private)


def test_an_operator_with_a_key_is_answered_and_known_by_it(desk: tuple[Live, Desk]) -> None:
    live, core = desk
    with Admin(live) as admin:
        assert admin.standing() == STANDING
        with pytest.raises(RunError, match=r"the broker refuses: no such latch \(UNKNOWN_LATCH\)"):
            admin.ask(m.Rearm(9))
    assert set(core.keys) == {Keys.load(live.keys_folder).client("admin").public}


def test_who_has_no_key_of_this_session_hears_nothing(desk: tuple[Live, Desk], private: Path) -> None:
    live, core = desk
    new_keys(private / "others")
    stranger = msgspec.structs.replace(live, keys_folder=str(private / "others"))
    with Admin(stranger, answer_ms=300) as admin, pytest.raises(RunError, match="no broker answers"):
        admin.standing()
    assert core.keys == []


def test_the_commands_say_how_it_stands_kill_and_rearm(desk: tuple[Live, Desk], private: Path, capsys: Any) -> None:
    place = config_file(private, desk[0])
    assert main(["top", place, "--once", "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out, type=Standing) == STANDING
    assert main(["kill", place, "--account", "main"]) == 0
    assert "latched: main; `tickwright rearm" in capsys.readouterr().out
    assert main(["rearm", place, "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["latch"] == 4
    config = parse({"strategy": "mine.py:Mine", "name": "demo"}, folder=private)
    with announced(msgspec.structs.replace(config, live=desk[0]), private, private / "KILL"):
        assert [session.folder for session in running_sessions()] == [str(private)]
        assert main(["kill", "--all"]) == 0
        assert main(["top", "--once"]) == 0
    assert running_sessions() == []


def test_word_of_a_broker_that_was_killed_is_cleared_away_though_another_process_has_its_number(
    desk: tuple[Live, Desk], private: Path
) -> None:
    config = msgspec.structs.replace(parse({"strategy": "mine.py:Mine"}, folder=private), live=desk[0])
    with announced(config, private, private / "KILL"):
        (word,) = sessions_folder().iterdir()
        left = sessions_folder() / f"{os.getpid()}-1.json"
        left.write_bytes(word.read_bytes())
        assert len(running_sessions()) == 1
        assert not left.exists()
        assert word.exists()
    assert not word.exists()


def test_where_nobody_answers_the_kill_file_is_written(private: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("engine.live.admin.ANSWER_MS", 100)
    monkeypatch.setattr(Admin.__init__, "__kwdefaults__", {"answer_ms": 100})
    live = live_of(with_session(parse({"strategy": "mine.py:Mine"}), private))
    place = config_file(private, live)
    assert main(["kill", place, "--why", "a drill"]) == 0
    assert (private / "KILL").read_text() == "a drill\n"
    assert "the broker sees it within 50 ms" in capsys.readouterr().out
    assert main(["kill", place, "--account", "main"]) == 1, "a file cannot name an account"
    assert main(["kill"]) == 1
    assert "name a config or a run folder, or say --all" in capsys.readouterr().err


def test_the_view_says_what_is_wrong_first_hand() -> None:
    lines = plain_lines(STANDING, 5 * SECOND + 40_000_000, 2_500.0)
    assert "run         demo: waiting for main" in lines
    assert "rows        1,000, 2,500 a second, 200 behind the feed, last heard 40 ms ago" in lines
    assert "NOT EQUAL   to a replay: 1 answers came late, 0 not at all" in lines
    assert "KILLED      main: fat finger (latch 4)" in lines
    account = next(line for line in lines if line.startswith("account     main"))
    assert "wakes 6/7, position XYZ -300, P/L -1.50 USD" in account
    styles = [str(part.style) for part in view(STANDING, 0, 0.0).renderables[:-2]]  # type: ignore[union-attr]
    assert styles.count("bold red") == 2


def test_metrics_are_served_and_name_accounts() -> None:
    pytest.importorskip("prometheus_client")
    with metrics_of(0) as watch:
        watch(lambda: STANDING, RoleDisk())
    port = _free_port()
    with metrics_of(port) as watch:
        watch(lambda: STANDING, RoleDisk())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
        with (
            pytest.raises(ConfigError, match=rf"\$.live.metrics_port {port}: .*; choose another port"),
            metrics_of(port),
        ):
            pass
    for line in (
        "tickwright_rows_total 1000.0",
        "tickwright_rows_behind 200.0",
        "tickwright_late_orders_total 1.0",
        'tickwright_position{account="main",symbol="XYZ"} -300.0',
        'tickwright_pnl{account="main",currency="USD"} -1.5',
        'tickwright_attached{account="desk"} 0.0',
    ):
        assert f"\n{line}\n" in text


def _free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_a_paper_session_gets_sockets_and_keys_of_its_own_unless_the_config_names_them(private: Path) -> None:
    config = parse({"strategy": "mine.py:Mine", "name": "demo"}, folder=private)
    live = live_of(with_session(config, private))
    assert live.feed == f"ipc://{private}/feed"
    assert (private / "keys").stat().st_mode & 0o777 == 0o700
    named = msgspec.structs.replace(config, live=Live(orders="tcp://127.0.0.1:9", plain=True))
    again = live_of(with_session(named, private / "no keys here"))
    assert (again.orders, again.keys_folder) == ("tcp://127.0.0.1:9", "")
    names = [child.name for child in children_of(config, private)]
    assert names == ["feed", "broker", "runner"]
    with pytest.raises(ConfigError, match="no config of that name ships"):
        live_config("nothing_of_that_name")


def test_chaos_leaves_all_alone_unless_asked_and_kills_each_once(desk: tuple[Live, Desk]) -> None:
    class Victim:
        def __init__(self, name: str) -> None:
            self.name, self.signals = name, []

        def signal(self, number: int) -> None:
            self.signals.append(number)

    class Overseer:
        children = (Victim("feed"), Victim("broker"), Victim("runner"))

        def say(self, who: str, text: str) -> None: ...

    for rows, killed in ((0, 0), (1_200, 1)):  # 1,000 rows are 83 %: the runner's turn comes at 85 %
        shake = Chaos(desk[0], rows)
        for _ in range(5):
            shake._next = 0
            shake(Overseer())  # type: ignore[arg-type]
        assert [len(one.signals) for one in Overseer.children] == [killed, killed, 0]
    shake._rows = 1_000
    shake._next = 0
    shake(Overseer())  # type: ignore[arg-type]
    assert [len(one.signals) for one in Overseer.children] == [1, 1, 1]


def test_an_onlooker_says_where_the_market_is(desk: tuple[Live, Desk]) -> None:
    class Overseer:
        said: list[str] = []

        def say(self, who: str, text: str) -> None:
            self.said.append(text)

    look = Onlooker(desk[0], 4_000)
    for _ in range(3):
        look._next = 0
        look(Overseer())  # type: ignore[arg-type]
    assert Overseer.said == ["2026-03-02 15:01:40: 1,000 of 4,000 rows, 0 fills, 0 orders open"]
    assert "1,000 rows" in Onlooker(desk[0], 0).line(STANDING)
