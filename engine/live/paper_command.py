"""What ``tickwright paper`` does: feed, broker and runners of a config, on this machine, under a supervisor."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from engine import run_folder
from engine.cli import OK, Output
from engine.cli import say as answer
from engine.config import Config, build, dump, make_feed, make_strategies
from engine.errors import ConfigError
from engine.live.broker_command import last_words
from engine.live.chaos import Chaos
from engine.live.feed_command import MARKET
from engine.live.keys import new_keys
from engine.live.onlooker import Onlooker
from engine.live.paper_run import begin
from engine.live.session import SESSION, choose_folder, live_config, live_of
from engine.live.shell import say
from engine.live.supervisor import Child, Supervisor
from engine.live_config import ADDRESSES, Live
from engine.reports.banner import banner
from engine.tape import Manifest


def paper_command(name: str, sets: list[str], speed: str | None, out: Path | None, chaos: bool, output: Output) -> int:
    """Run a session, and say what it came to and how to verify it."""
    config = _at_speed(live_config(name, sets), speed)
    told, market, rows = look_at(config)
    folder = choose_folder(config, out, new=out is None)
    if not output.quiet:
        print("\n".join(banner(told, market, rows)), file=sys.stderr)
    with _private_folder() as private:
        begin(folder, config)
        config = with_session(config, private)
        (folder / SESSION).write_text(dump(config), encoding="utf-8")
        shake, look = Chaos(live_of(config), rows if chaos else 0), Onlooker(live_of(config), rows)
        watch = [shake] if output.quiet else [shake, look]
        supervisor = Supervisor(children_of(config, folder), each_round=lambda one: [each(one) for each in watch])
        code = supervisor.run()
        (folder / SESSION).unlink()
    restarts = {child.name: child.restarts for child in supervisor.children if child.restarts}
    return _last_words(folder, code, restarts, output)


def look_at(config: Config) -> tuple[Config, Manifest, int]:
    """The config spelled out, its market, and its rows (0: without end): so mistakes are said here, once.

    Raises
    ------
    ConfigError, TapeError
        As ``engine.config.build``.
    """
    if config.feed != MARKET:
        setup = build(config)
        return setup.config, setup.feed.tape.manifest, len(setup.feed.tape.rows)
    market: Any = make_feed(config)
    return msgspec.structs.replace(config, strategies=make_strategies(config)[1]), market.manifest, 0


def with_session(config: Config, private: Path) -> Config:
    """The config with sockets in a folder of this user's alone, and keys for the session, where it names none."""
    live, defaults = live_of(config), Live()
    changed = {name: f"ipc://{private / name}" for name in ADDRESSES if getattr(live, name) == getattr(defaults, name)}
    if not live.keys_folder and not live.plain:
        changed["keys_folder"] = str(new_keys(private / "keys").folder)
    return msgspec.structs.replace(config, live=msgspec.structs.replace(live, **changed))


def children_of(config: Config, folder: Path) -> list[Child]:
    """The roles as processes, in the order of their start."""
    command, session = [sys.executable, "-m", "engine.cli"], str(folder / SESSION)
    feed = Child("feed", [*command, "publish", "--session", session, "--out", str(folder / "feed")], must_finish=False)
    broker = Child("broker", [*command, "broker", session, "--out", str(folder), "--quiet"], is_last=True)
    names = [entry.account.name for entry in config.strategies]
    runners = [
        Child(
            "runner" if len(names) == 1 else f"runner {name}",
            [*command, "attach", session, "--account", name, "--out", str(folder)],
        )
        for name in names
    ]
    return [feed, broker, *runners]


def _at_speed(config: Config, speed: str | None) -> Config:
    if speed is None:
        return config
    try:
        said = "max" if speed == "max" else float(speed)
        live = msgspec.convert({**msgspec.to_builtins(live_of(config)), "speed": said}, Live)
    except (ValueError, msgspec.ValidationError):
        raise ConfigError(f"--speed {speed}: write a number > 0 of times real time, or max") from None
    return msgspec.structs.replace(config, live=live)


@contextmanager
def _private_folder() -> Iterator[Path]:
    """For sockets and keys, in the system's temporary folder: short, this user's alone, and gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="tickwright-"))  # 0700
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _last_words(folder: Path, code: int, restarts: dict[str, int], output: Output) -> int:
    manifest = run_folder.read_manifest(folder)
    if manifest.partial == run_folder.UNFINISHED:
        say(f"the session did not finish; `tickwright paper … --out {folder}` goes on with it")
        return code
    if not (folder / "results.json").exists():
        say(manifest.partial)
        return code
    result = run_folder.read(folder).result
    *lines, verify = last_words(folder, result)
    if restarts:
        lines.append(f"{'restarted':<12}{', '.join(f'{name} {n}' for name, n in sorted(restarts.items()))}")
    answer(output, {"result": result, "restarts": restarts}, [*lines, verify])
    return code or OK
