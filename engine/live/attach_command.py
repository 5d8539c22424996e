"""What ``tickwright attach`` does: run one strategy of a config against feed and paper broker."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from engine.config import Config, StrategyConfig, make_strategies
from engine.errors import ConfigError
from engine.live.durable_log import DurableLog
from engine.live.role import EX_OK
from engine.live.role_disk import RoleDisk
from engine.live.runner_role import RunnerRole
from engine.live.session import guarded, live_config, live_of, runner_links, wires
from engine.live.shell import Shell
from engine.names import source_digest
from engine.strategy import Strategy


def attach_command(name: str, sets: list[str], account: str, out: Path | None, new: bool) -> int:
    """Run the strategy of an account until its market ends."""
    config = live_config(name, sets)
    chosen = account or _only(config)
    folder = out or Path("runs") / f"{config.name}.runners"
    path = folder / f"outbox-{chosen}.sqlite"
    if new:
        forget(path)
    return guarded(lambda: _run(config, chosen, path))


def _run(config: Config, account: str, path: Path) -> int:
    live = live_of(config)
    strategies, entries = make_strategies(config)
    names = [entry.account.name for entry in entries]
    if account not in names:
        raise ConfigError(f"{config.name}: no strategy has the account '{account}'; there are {', '.join(names)}")
    n = names.index(account)
    with DurableLog.open(path, durable=live.durable) as outbox, wires(live) as made:
        role = RunnerRole(
            config,
            account,
            outbox=[(entry.kind, entry.payload) for entry in outbox.entries()],
            source=fingerprint_of(strategies[n], entries[n]),
            strategy=strategies[n],
        )
        code = Shell(role, runner_links(made), disk=RoleDisk(outbox)).run()
    if code == EX_OK:
        forget(path)  # the next session begins with nothing said
    return code


def fingerprint_of(strategy: Strategy, entry: StrategyConfig) -> str:
    """Of its code and parameters: another one may not go on with a session that this one began."""
    told = [source_digest(type(strategy)), entry.strategy, entry.params]
    return hashlib.blake2b(msgspec.json.encode(told, order="deterministic"), digest_size=16).hexdigest()


def forget(path: Path) -> None:
    """Remove an outbox."""
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def _only(config: Config) -> str:
    names = [entry.account.name for entry in config.strategies]
    if not names:
        raise ConfigError(
            f"{config.name} has no strategy to attach; programs of [[live.clients]] come in by engine.live.Client"
        )
    if len(names) > 1:
        raise ConfigError(f"{config.name} has {len(names)} strategies; choose one with --account: {', '.join(names)}")
    return names[0]
