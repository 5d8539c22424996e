"""What ``tickwright keys …`` does: make, list and revoke the keys of feed, broker and clients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.cli import OK, Output, say
from engine.errors import ConfigError
from engine.live.keys import ROLES, SERVERS, Keys, Permit, check_name, default_folder, new_keys
from engine.spelling import did_you_mean

HANG_UP = "send SIGHUP to the feed and the broker that run (`kill -HUP PID`)"


def new_command(name: str, roles: Sequence[str], accounts: Sequence[str], folder: Path | None, output: Output) -> int:
    """Without a name, keys for everything on this machine; with one, a client more."""
    where = folder or default_folder()
    if not name:
        if roles or accounts:
            raise ConfigError("keys new: --role and --account are for a client; write `tickwright keys new NAME …`")
        permits = _everybody(new_keys(where))
        lines = [f"made    {where}, which only you can read: the servers {' and '.join(SERVERS)}, and their clients"]
        lines += _table(permits)
        lines.append("next    start feed, broker and runners as you did: on this machine they find these keys")
        lines.append("        a client elsewhere: `tickwright keys new NAME --account ACCOUNT` says what to copy there")
    else:
        permits = _new_client(Keys.load(where), name, roles or ("md", "orders"), accounts)
        lines = [f"made    {name}", *_table(permits), *_what_to_do(where, permits)]
    say(output, {"folder": where, "clients": [_plain(permit) for permit in permits]}, lines)
    return OK


def list_command(folder: Path | None, output: Output) -> int:
    """Who may come in, and as what."""
    keys = Keys.load(folder)
    permits = _everybody(keys)
    servers = [name for name in SERVERS if (keys.folder / f"{name}_server.key_secret").exists()]
    lines = [f"keys    {keys.folder}", f"serves  {', '.join(servers) or 'nothing: these are the keys of a client'}"]
    lines += _table(permits)
    say(output, {"folder": keys.folder, "servers": servers, "clients": [_plain(permit) for permit in permits]}, lines)
    return OK


def revoke_command(name: str, roles: Sequence[str], folder: Path | None, output: Output) -> int:
    """Take the keys of a client away, in one role or in all."""
    keys = Keys.load(folder)
    check_name(name)
    names = {permit.name for permit in _everybody(keys)}
    removed = [path for role in roles or ROLES for path in keys.revoke(role, name)]
    if not removed:
        as_roles = f" as {', '.join(roles)}" if roles else ""
        hint = "" if name in names else did_you_mean(name, names)
        raise ConfigError(f"{keys.folder}: there is no client '{name}'{as_roles}{hint}")
    lines = [f"gone    {path.relative_to(keys.folder)}" for path in removed]
    lines.append(f"next    {HANG_UP}: until then {name} is still let in")
    say(output, {"folder": keys.folder, "removed": removed}, lines)
    return OK


def _new_client(keys: Keys, name: str, roles: Sequence[str], accounts: Sequence[str]) -> list[Permit]:
    if accounts and "orders" not in roles:
        raise ConfigError("keys new: --account says what a client for orders may trade; add --role orders")
    taken = [permit.role for permit in _everybody(keys) if permit.name == name and permit.role in roles]
    if taken:
        raise ConfigError(
            f"{keys.folder}: {name} has keys for {', '.join(taken)}; `tickwright keys revoke {name}` takes them away"
        )
    return [keys.add(role, name, tuple(accounts) or (name,) if role == "orders" else ()) for role in roles]


def _everybody(keys: Keys) -> list[Permit]:
    return [permit for permits in keys.permits().values() for permit in permits.values()]


def _what_to_do(folder: Path, permits: Sequence[Permit]) -> list[str]:
    files = [f"secrets/{permit.role}/{permit.name}.key_secret" for permit in permits]
    return [
        f"next    {HANG_UP}: then it is let in",
        f"        on another machine? move {' and '.join(files)}",
        f"        from {folder} to the same place in the keys folder there: files 0600, folders 0700",
    ]


def _table(permits: Sequence[Permit]) -> list[str]:
    """A line for each client."""
    lines = []
    for name in dict.fromkeys(permit.name for permit in permits):
        own = [permit for permit in permits if permit.name == name]
        accounts = [account for permit in own for account in permit.accounts]
        trades = f"; trades {'every account' if accounts == ['*'] else ', '.join(accounts)}" if accounts else ""
        lines.append(f"client  {name}: {', '.join(permit.role for permit in own)}{trades}")
    return lines


def _plain(permit: Permit) -> dict[str, object]:
    return {"name": permit.name, "role": permit.role, "public": permit.public, "accounts": permit.accounts}
