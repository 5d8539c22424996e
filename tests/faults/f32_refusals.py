"""F32: each role, started wrongly in each way, ends at once with a sentence that says what to do."""

from __future__ import annotations

import io
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

from procedure import Trial, main

from engine.cli import main as tickwright
from engine.live import disk
from engine.live.durable_log import DurableLog
from engine.live.keys import new_keys

MOST_S = 15  # then it has not refused
CONFIG = """strategy = "strategies.twap:Twap"
feed = "feeds.replay:TapeFeed"

[feed_params]
tapes = ["demo_day"]

[[params.orders]]
symbol = "DEMO"
side = "buy"
shares = 100

[broker.impact]
type = "none"

[risk]
{risk}

[live]
feed = "ipc://{home}/s/feed"
recovery = "ipc://{home}/s/recovery"
orders = "ipc://{home}/s/orders"
admin = "ipc://{home}/s/admin"
{live}
"""
ROLES = {
    "feed": ["publish", "--session", "config.toml"],
    "broker": ["broker", "config.toml"],
    "runner": ["attach", "config.toml"],
    "operator": ["top", "config.toml", "--once"],
}
FEED, BROKER, RUNNER, OPERATOR = ROLES
SERVERS = (FEED, BROKER)


class Mistake(NamedTuple):
    """What is wrong, of whom, and what the sentence must say."""

    roles: tuple[str, ...]
    says: tuple[str, ...]
    live: str = ""
    risk: str = 'preset = "replay"'
    make: Callable[[Path], None] = lambda home: None


def open_secrets(home: Path) -> None:
    for path in (home / "keys").rglob("*.key_secret"):
        path.chmod(0o644)


def no_keys(home: Path) -> None:
    (home / "keys").rename(home / "elsewhere")


def linked_secrets(home: Path) -> None:
    for path in (home / "keys").rglob("*.key_secret"):
        path.rename(home / path.name)
        path.symlink_to(home / path.name)


def damaged_keys(home: Path) -> None:
    for path in (home / "keys").rglob("*.key*"):
        path.write_text("public = 7\n")


MISTAKES = {
    "no keys": Mistake(tuple(ROLES), ("there are no keys here", "tickwright keys new"), make=no_keys),
    "others can read the secrets": Mistake(tuple(ROLES), ("0644", "chmod 0600"), make=open_secrets),
    "others can enter the folder": Mistake(
        tuple(ROLES), ("0755", "chmod 0700"), make=lambda home: (home / "keys").chmod(0o755)
    ),
    "secrets are links": Mistake(tuple(ROLES), ("key_secret", "link"), make=linked_secrets),
    "keys are damaged": Mistake(tuple(ROLES), ("is damaged", "make a new one"), make=damaged_keys),
    "no limits": Mistake(tuple(ROLES), ("risk", "max_position", 'preset = "replay"'), risk=""),
    "a limit is misspelled": Mistake(
        tuple(ROLES), ("max_positions", "max_position"), risk='preset = "replay"\nmax_positions = 5'
    ),
    "an unknown term": Mistake(tuple(ROLES), ("hold_ms", "hold"), live="hold_ms = 5"),
    "two links at one address": Mistake(
        tuple(ROLES), ("both", "its own address"), make=lambda home: same_address(home)
    ),
    "no keys and reachable from elsewhere": Mistake(
        SERVERS, ("without keys", "tickwright keys new"), make=lambda home: plain_and_reachable(home)
    ),
    "others can enter the sockets' folder": Mistake(
        SERVERS, ("0700", "others can enter"), make=lambda home: (home / "s").chmod(0o755)
    ),
    "the address is taken": Mistake(SERVERS, ("ss -lptn", "another address"), make=lambda home: take_addresses(home)),
}


def refusals(trial: Trial) -> str:
    tried = 0
    for name, mistake in MISTAKES.items():
        for role in mistake.roles:
            with started_wrongly(trial, mistake) as home:
                refuses(role, home, name, mistake.says)
                tried += 1
    tried += on_a_network(trial, BROKER, "log") + on_a_network(trial, RUNNER, "outbox")
    with started_wrongly(trial, Mistake((), ())) as home:
        (home / "run").mkdir()
        with DurableLog.open(home / "run" / "log.sqlite"):
            refuses(BROKER, home, "a second broker", ("open already", "end the other process"), ["--out", "run"])
        refuses(RUNNER, home, "no such account", ("no strategy has the account 'x'", "main"), ["--account", "x"])
    assert not BROKEN, "; ".join(BROKEN)
    return f"{tried + 2} wrong starts of {len(ROLES)} roles refused, each with what to do"


def on_a_network(trial: Trial, role: str, at: str) -> int:
    """Durable files may not lie on a network file system; none can be mounted here, so its name is faked."""
    real = disk.file_system
    disk.file_system = lambda path: "nfs4"
    try:
        with started_wrongly(trial, Mistake((), ())) as home:
            refuses(role, home, f"{at} on a network", ("nfs4", "local disk"))
    finally:
        disk.file_system = real
    return 1


def refuses(role: str, home: Path, name: str, says: tuple[str, ...], more: list[str] | None = None) -> None:
    """The command ends by itself, with a code that is not 0, and one sentence that has all these words."""
    out, errors = io.StringIO(), io.StringIO()
    words = [*ROLES[role], *(more or [])]
    with redirect_stdout(out), redirect_stderr(errors), within(MOST_S):
        code = tickwright(words)
    said = errors.getvalue()
    missing = [word for word in says if word not in said]
    if code in (0, 70) or "Traceback" in said or missing:
        BROKEN.append(f"{role}, {name}: exit code {code}, says nothing of {missing}, but: {said}")


@contextmanager
def started_wrongly(trial: Trial, mistake: Mistake) -> Iterator[Path]:
    """A folder that has everything, but for one mistake."""
    home = trial.fresh("home")
    (home / "s").mkdir(mode=0o700)
    new_keys(home / "keys")
    live = f'keys_folder = "{home}/keys"\n{mistake.live}'
    (home / "config.toml").write_text(CONFIG.format(home=home, risk=mistake.risk, live=live))
    mistake.make(home)
    before = Path.cwd()
    os.chdir(home)
    try:
        yield home
    finally:
        os.chdir(before)


def same_address(home: Path) -> None:
    change(home, f"{home}/s/recovery", f"{home}/s/feed")


def plain_and_reachable(home: Path) -> None:
    change(home, f'keys_folder = "{home}/keys"', "plain = true")
    for port, link in enumerate(("feed", "recovery", "orders", "admin"), 5901):
        change(home, f"ipc://{home}/s/{link}", f"tcp://0.0.0.0:{port}")


def take_addresses(home: Path) -> None:
    for link in ("feed", "orders"):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            HELD.append(taken.dup())
        change(home, f"ipc://{home}/s/{link}", f"tcp://127.0.0.1:{port}")


def change(home: Path, before: str, after: str) -> None:
    config = home / "config.toml"
    config.write_text(config.read_text().replace(before, after))


HELD: list[socket.socket] = []
BROKEN: list[str] = []


@contextmanager
def within(seconds: int) -> Iterator[None]:
    def over(number: int, frame: object) -> None:
        raise AssertionError("it did not refuse")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    main(refusals)
