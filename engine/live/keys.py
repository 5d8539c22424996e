"""Key files: who a server lets in, and how a client proves who it is.

::

    keys/                        0700; $TICKWRIGHT_KEYS, else ~/.config/tickwright/keys
      feed_server.key_secret     the pair of each server; clients know its public half
      broker_server.key_secret
      clients/ROLE/NAME.key      public half of a client that may come in as ROLE, and the accounts it may trade
      secrets/ROLE/NAME.key_secret   the client's own pair: what it carries to its machine, into a folder like this

A client has a pair of its own for each role. Whoever can read a secret file is that client or server, so every file is
0600 in folders 0700, created with ``O_EXCL``, and looser ones are refused. Secrets are never shown, logged or pickled.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import zmq
from zmq.utils import z85

from engine.errors import ConfigError
from engine.spelling import did_you_mean
from engine.toml_text import toml_text

VARIABLE = "TICKWRIGHT_KEYS"
ROLES = {"md": "feed", "push": "feed", "orders": "broker", "admin": "broker"}  # and which server they go to
SERVERS = ("feed", "broker")
LOCAL, FOLLOWER = "local", "broker"  # clients of a one-machine set-up: its user, and the broker that follows the feed
ALL_ACCOUNTS = "*"
LARGEST_FILE = 16_384  # bytes
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Pair:
    """A key pair, Z85 text."""

    public: str
    secret: str = field(repr=False)

    def __reduce__(self) -> Any:
        raise TypeError("a secret key is not pickled; pass the folder of the keys, and load them where they are needed")


@dataclass(frozen=True)
class ClientKey(Pair):
    """What a client proves itself with, and the public key of the server that it will talk to."""

    server: str


@dataclass(frozen=True)
class Permit:
    """A client that may come in."""

    role: str
    name: str
    public: str
    accounts: tuple[str, ...] = ()  # that it may trade; for orders only

    def may_trade(self, account: str) -> bool:
        """Whether orders of this account may come from it."""
        return account in self.accounts or ALL_ACCOUNTS in self.accounts


class _SecretFile(msgspec.Struct, forbid_unknown_fields=True):
    public: str
    secret: str
    server: str = ""


class _PublicFile(msgspec.Struct, forbid_unknown_fields=True):
    public: str
    accounts: tuple[str, ...] = ()


_File = TypeVar("_File", _SecretFile, _PublicFile)


def default_folder() -> Path:
    """Where the user's keys are: ``$TICKWRIGHT_KEYS``, else below the user's configuration directory."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "tickwright" / "keys"


class Keys:
    """A folder of keys. Secrets are read when they are asked for, so that a role holds none but its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def load(cls, folder: Path | str | None = None) -> Keys:
        """Open a folder (the user's own by default), and look at all that may come in.

        Raises
        ------
        ConfigError
            If it is not there, or others than its owner can reach a file in it.
        """
        keys = cls(Path(folder) if folder else default_folder())
        if not keys.folder.exists():
            raise ConfigError(f"{keys.folder}: there are no keys here; make some with `tickwright keys new`")
        _refuse_open_folder(keys.folder)
        keys.permits()
        return keys

    def server(self, name: str) -> Pair:
        """The pair of the ``feed`` or ``broker`` server."""
        found = _read(
            self.folder / f"{name}_server.key_secret", _SecretFile, "run `tickwright keys new` on this machine"
        )
        return Pair(found.public, found.secret)

    def client(self, role: str, name: str = LOCAL) -> ClientKey:
        """The own pair of a client for a role."""
        _check_role(role)
        cure = (
            f"run `tickwright keys new {name} --role {role}` where the {ROLES[role]} runs, and copy the file from there"
        )
        found = _read(self.folder / "secrets" / role / f"{name}.key_secret", _SecretFile, cure)
        return ClientKey(found.public, found.secret, found.server)

    def permits(self) -> Mapping[str, Mapping[str, Permit]]:
        """Who may come in now: by role, then by public key.

        Raises
        ------
        ConfigError
            If a file is damaged or open to others, or two of them hold the same key.
        """
        found: dict[str, dict[str, Permit]] = {role: {} for role in ROLES}
        seen: dict[str, Path] = {}
        for role, name, path in self._public_files():
            file = _read(path, _PublicFile, "run `tickwright keys list`")
            if file.public in seen:
                raise ConfigError(
                    f"{path} holds the same key as {seen[file.public]}; make a pair for each with keys new"
                )
            seen[file.public] = path
            found[role][file.public] = Permit(role, name, file.public, file.accounts)
        return found

    def add(self, role: str, name: str, accounts: tuple[str, ...] = ()) -> Permit:
        """Make a pair for a client, and let it in from the next reload on.

        Raises
        ------
        ConfigError
            If there is one, or the name cannot be that of a file.
        """
        _check_role(role)
        check_name(name)
        paths = self._paths(role, name)
        if present := next((path for path in paths if path.exists()), None):
            raise ConfigError(f"{present}: is there already; `tickwright keys revoke {name} --role {role}` removes it")
        server = self.server(ROLES[role]).public
        pair = _new_pair()
        allowed, own = paths
        _write(own, {"public": pair.public, "secret": pair.secret, "server": server})
        _write(allowed, {"public": pair.public, "accounts": accounts})
        return Permit(role, name, pair.public, accounts)

    def revoke(self, role: str, name: str) -> list[Path]:
        """Remove a client's files; the servers refuse it from their next reload (SIGHUP) on."""
        _check_role(role)
        check_name(name)
        present = [path for path in self._paths(role, name) if path.exists()]
        for path in present:
            path.unlink()
        return present

    def has(self, permit: Permit) -> bool:
        """Whether the file that lets a client in is still there."""
        return self._paths(permit.role, permit.name)[0].exists()

    def _paths(self, role: str, name: str) -> tuple[Path, Path]:
        return self.folder / "clients" / role / f"{name}.key", self.folder / "secrets" / role / f"{name}.key_secret"

    def _public_files(self) -> Iterator[tuple[str, str, Path]]:
        for role in ROLES:
            folder = self.folder / "clients" / role
            if not folder.exists():
                continue
            _refuse_open_folder(folder.parent)
            _refuse_open_folder(folder)
            for path in sorted(folder.glob("*.key")):
                check_name(path.stem)
                yield role, path.stem, path


def new_keys(folder: Path) -> Keys:
    """Keys for everything on one machine: both servers, the broker as the feed's client, and one user, ``local``.

    Raises
    ------
    ConfigError
        If there are keys, or the folder lies in a repository, where a commit would publish them.
    """
    keys = Keys(folder)
    _make_folder(folder)
    if any(folder.iterdir()):
        raise ConfigError(
            f"{folder}: there are files already; `tickwright keys list` shows them, `tickwright keys new NAME` "
            "adds a client, and for new servers name another folder"
        )
    for server in SERVERS:
        pair = _new_pair()
        _write(folder / f"{server}_server.key_secret", {"public": pair.public, "secret": pair.secret})
    keys.add("md", FOLLOWER)
    for role in ROLES:
        keys.add(role, LOCAL, (ALL_ACCOUNTS,) if role == "orders" else ())
    return keys


def check_name(name: str) -> None:
    """Refuse a client's name that could lead to another file."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"'{name}' cannot name a client; use up to 64 letters, digits, '_', '-' and '.', no other first"
        )


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise ConfigError(f"there is no role '{role}'{did_you_mean(role, ROLES)}")


def _new_pair() -> Pair:
    public, secret = zmq.curve_keypair()
    return Pair(public.decode(), secret.decode())


def _write(path: Path, fields: dict[str, Any]) -> None:
    """A new file that nobody else can read, not even for a moment: the mode is set as it is created."""
    _make_folder(path.parent)
    head = f"# tickwright, {path.parent.name} {path.name}; keep it to yourself, out of repositories and messages\n"
    text = (head + toml_text(fields)).encode()
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def _make_folder(folder: Path) -> None:
    if folder.exists():
        _refuse_open_folder(folder)
        return
    for parent in folder.absolute().parents:
        if (parent / ".git").exists():
            raise ConfigError(
                f"{folder} lies in the repository {parent}, where keys get published; choose another folder"
            )
    for missing in reversed([folder, *(parent for parent in folder.parents if not parent.exists())]):
        missing.mkdir(mode=0o700)  # mkdir(parents=True) would leave those between open


def _refuse_open_folder(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{folder}: is not a folder; keys lie in a folder of their own, with mode 0700")
    _refuse_loose(folder, found, "0700")


def _refuse_loose(path: Path, found: os.stat_result, wanted: str) -> None:
    if found.st_uid != os.geteuid():
        raise ConfigError(f"{path}: belongs to user {found.st_uid}; keys must belong to the user that runs this")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise ConfigError(
            f"{path}: others than its owner can reach it (mode {mode:04o}); run `chmod {wanted} {path}`, and make new "
            "keys if somebody may have read it"
        )


def _read(path: Path, form: type[_File], cure: str) -> _File:
    """A key file, if nobody else can read or change it: what is checked is the file that was opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such key; {cure}") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}; a key is a plain file, not a link, that its owner can read"
        ) from None
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_FILE:
            raise ConfigError(f"{path}: is no key file; remove it")
        _refuse_loose(path, found, "0600")
        data = file.read(LARGEST_FILE)
    try:
        read = msgspec.toml.decode(data, type=form)
        _check_pair(read)
    except (ValueError, zmq.ZMQError):  # msgspec's and Unicode's are ValueErrors; no detail, which could show a secret
        raise ConfigError(f"{path}: is damaged; revoke it and make a new one") from None
    return read


def _check_pair(read: _SecretFile | _PublicFile) -> None:
    for key in (read.public, getattr(read, "server", "") or read.public):
        if len(key) != 40 or len(z85.decode(key)) != 32:
            raise ValueError("no Z85 key")
    if isinstance(read, _SecretFile) and zmq.curve_public(read.secret.encode()).decode() != read.public:
        raise ValueError("the halves do not belong together")
