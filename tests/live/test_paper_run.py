from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from loopback import Loopback

from engine.broker.trees import NODE, Trees
from engine.cli import Output
from engine.config import Config, build, load, make_strategies
from engine.errors import RunError
from engine.live import paper_run
from engine.live.broker_command import broker_command
from engine.live.broker_role import BrokerRole
from engine.live.feed_core import FeedCore
from engine.live.runner_role import RunnerRole
from engine.live.segments import Segments
from engine.live.session import choose_folder, is_unfinished
from engine.live.shell import SUPERVISOR
from engine.live.sources import TapeSource
from engine.model_file import InstrumentFacts, Manifest, save_model
from engine.result import Result
from engine.run import run_config
from engine.run_folder import read
from engine.signals import NAMES
from engine.verify import verify

MINE = '''
from engine import SECOND, Strategy, Wake

class Mine(Strategy):
    """Buy a lot at the bid every ten seconds."""

    wake = Wake(every_ns=10 * SECOND)

    def on_timer(self, timer, desk):
        quote = desk.quote("XYZ")
        if quote.is_two_sided:
            desk.cancel_all("XYZ")
            desk.buy("XYZ", shares=100, limit=quote.ask if desk.position("XYZ") < 500 else quote.bid)
'''


@pytest.fixture
def config(tmp_path: Path, small_tape: Path) -> Config:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "mine.toml").write_text(
        f'strategy = "mine.py:Mine"\nseed = 3\n[feed_params]\ntapes = ["{small_tape}"]\n'
        '[risk]\npreset = "replay"\n[broker.impact]\ntype = "none"\n[live]\n'
    )
    return load(tmp_path / "mine.toml")


def session(config: Config, folder: Path, *, stop_at: int = 0) -> tuple[Loopback, BrokerRole, Segments]:
    """A session in one process; ended by an operator after so many rows, or by the market."""
    folder.mkdir(exist_ok=True)
    paper_run.begin(folder, config)
    segments = Segments(folder / "segments", durable=False)
    broker = BrokerRole(config)
    cores = {
        "feed": FeedCore(TapeSource(build(config).feed.tape), stream=config.name, epoch=1),
        "broker": broker,
        "runner": RunnerRole(config, "main", strategy=make_strategies(config)[0][0]),
    }
    loop = Loopback(cores, segments)
    while stop_at and (broker.core is None or broker.core.seq < stop_at):
        loop.step()
    if stop_at:
        loop.tell("broker", "shutdown", "ended by Ctrl-C")
    loop.run()
    (folder / "log.sqlite").touch()
    return loop, broker, segments


def sealed(config: Config, folder: Path, *, stop_at: int = 0) -> Result:
    loop, broker, segments = session(config, folder, stop_at=stop_at)
    return paper_run.seal(folder, broker, loop.entries["broker"], segments)


def test_a_session_leaves_the_run_folder_of_its_replay_and_verifies(config: Config, tmp_path: Path) -> None:
    plain = run_config(config, out=tmp_path / "replay")
    result = sealed(config, tmp_path / "paper")
    (tmp_path / "paper" / "log.sqlite").unlink()  # verified as a replay would be: by its tape alone
    assert result.fingerprint == plain.fingerprint
    assert result.orders.fills > 5
    told = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("replay", "paper")]
    assert {**told[0], "folder": ""} == {**told[1], "folder": ""}
    found = verify(tmp_path / "paper")
    assert found.matches
    assert not found.partial
    assert read(tmp_path / "paper").manifest.tapes[0].content == build(config).feed.tape.manifest.content
    assert not (tmp_path / "paper" / "segments").exists()


def test_a_session_that_an_operator_ended_says_so_and_keeps_what_there_was(config: Config, tmp_path: Path) -> None:
    result = sealed(config, tmp_path / "paper", stop_at=1_000)
    assert result.partial == "ended by Ctrl-C"
    assert result.rows > 0
    assert read(tmp_path / "paper").result == result
    assert read(tmp_path / "paper").config.live == config.live


def test_a_broker_that_was_killed_while_it_sealed_seals_again(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "paper"
    loop, broker, segments = session(config, folder)
    with monkeypatch.context() as patched:
        patched.setattr(paper_run.run_folder, "end", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            paper_run.seal(folder, broker, loop.entries["broker"], segments)
    assert is_unfinished(folder)
    with pytest.raises(RunError, match="this paper session has not ended"):
        read(folder)
    result = paper_run.seal(folder, broker, loop.entries["broker"], segments)
    assert read(folder).result.fingerprint == result.fingerprint
    assert not is_unfinished(folder)


def test_a_broker_goes_on_with_what_is_unfinished_and_never_with_what_is_finished(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = choose_folder(config, None, new=False)
    assert first == Path("runs/mine")
    paper_run.begin(first, config)
    assert choose_folder(config, None, new=False) == first
    assert choose_folder(config, None, new=True) == Path("runs/mine-2")
    sealed(config, tmp_path / "done")
    with pytest.raises(RunError, match="done holds a finished run; name another --out folder"):
        choose_folder(config, tmp_path / "done", new=False)
    run_config(config, out=tmp_path / "replay")
    assert not is_unfinished(tmp_path / "replay")


def test_a_broker_that_was_killed_after_it_had_sealed_is_done(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed(config, tmp_path / "done")
    monkeypatch.setenv(SUPERVISOR, "1")
    assert broker_command(str(tmp_path / "mine.toml"), [], tmp_path / "done", False, Output()) == 0
    assert "was sealed before this broker was killed" in capsys.readouterr().err


# --- signals

FOLLOWER = '''
from engine import Strategy, Wake

class Mine(Strategy):
    """Buys where the mid is said to rise and its book leans to the bid, sells where it leans to the ask."""

    wake = Wake(signal="up", above=0.6)

    def on_start(self, desk):
        self.turn = 0

    def on_signal(self, signal, desk):
        self.turn += 1
        assert desk.signal("XYZ") == signal
        leans = signal.value("queue_imbalance")
        if self.turn % 25 == 0 and leans and desk.weight(signal) > 0.5:
            desk.trade("XYZ", 1 if leans > 0 else -1, shares=100)
'''


@pytest.fixture
def follower(tmp_path: Path, small_tape: Path) -> Config:
    """A strategy that is woken by a model, which the config names."""
    nodes = np.array([(np.inf, 0, 0, 0)], NODE)
    trees = Trees.of(nodes, np.array([0, 1]), np.array([[0.1, 0.2, 0.7]]), n_features=len(NAMES))
    facts = InstrumentFacts(symbol="XYZ", price_unit="1/10000", tick=100, size_unit="1", lot=1)
    terms = {"horizon": 10, "features": list(NAMES), "stale_ns": 10**9, "horizon_cdf": [(10**9, 1.0)]}
    save_model(tmp_path / "up.model", Manifest(instrument=facts, **terms), trees)
    (tmp_path / "mine.py").write_text(FOLLOWER)
    (tmp_path / "mine.toml").write_text(
        f'strategy = "mine.py:Mine"\nseed = 3\n[feed_params]\ntapes = ["{small_tape}"]\n'
        '[[probes]]\nsymbol = "XYZ"\nmodel = "up.model"\n'
        '[risk]\npreset = "replay"\n[broker.impact]\ntype = "none"\n[live]\n'
    )
    return load(tmp_path / "mine.toml")


def test_a_strategy_that_trades_on_signals_gives_on_paper_what_its_replay_gives(
    follower: Config, tmp_path: Path
) -> None:
    plain = run_config(follower, out=tmp_path / "replay")
    result = sealed(follower, tmp_path / "paper")
    assert result.fingerprint == plain.fingerprint
    assert result.orders.fills > 10
    (probe,) = load(tmp_path / "paper" / "config.toml").strategies[0].probes
    assert len(probe.content) == 64
    (tmp_path / "paper" / "log.sqlite").unlink()
    assert verify(tmp_path / "paper").matches


def test_a_broker_opens_no_model_but_those_of_its_own_config(follower: Config) -> None:
    strategy = make_strategies(follower)[0][0]
    entry = msgspec.structs.replace(follower.strategies[0], probes=[])
    bare = msgspec.structs.replace(follower, strategies=[entry])
    cores = {
        "feed": FeedCore(TapeSource(build(follower).feed.tape), stream=follower.name, epoch=1),
        "broker": BrokerRole(bare),
        "runner": RunnerRole(follower, "main", strategy=strategy),
    }
    loop = Loopback(cores)
    loop.run(until="runner")
    stopped = loop.stopped["runner"]
    assert stopped.code == 1
    assert "the strategy has a model for XYZ, but the broker's config names none" in stopped.why
