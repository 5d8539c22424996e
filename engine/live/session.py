"""What the commands of the roles share: a config's keys, the sockets that it names, how a core is run to its end."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import zmq

from engine import run_folder
from engine.config import Config, load
from engine.errors import ConfigError, RunError, TickwrightError
from engine.live import sockets
from engine.live.authority import Authority
from engine.live.broker_log import LogConflict
from engine.live.door import Door
from engine.live.high_water import LogDamaged
from engine.live.keys import FOLLOWER, LOCAL, ClientKey, Keys
from engine.live.links import Links
from engine.live.role import EX_CORRUPT, EX_SOFTWARE
from engine.live.shell import EX_IOERR, say
from engine.live_config import Live
from engine.shipped import find_config

SESSION = "session.toml"  # in a run folder: the config with the addresses and keys of this session


def live_config(name: str, sets: list[str] | None = None) -> Config:
    """The config of a file, of a run folder whose session is going on, or of a name that ships; ``live`` is filled in.

    Raises
    ------
    ConfigError
        As ``engine.config.load``.
    """
    folder = Path(name)
    if folder.is_dir() and not (folder / SESSION).is_file():
        raise ConfigError(f"{folder}: no paper session is going on here; name the config where roles run apart")
    path = folder / SESSION if folder.is_dir() else find_config(name)
    config = load(path, sets=sets or ())
    return config if config.live is not None else msgspec.structs.replace(config, live=Live())


def live_of(config: Config) -> Live:
    """``[live]``, its defaults where the config has none."""
    return config.live or Live()


def keys_of(live: Live) -> Keys | None:
    """The keys that a session uses; None where it is plain.

    Raises
    ------
    ConfigError
        If there are none, or others can read them.
    """
    return None if live.plain else Keys.load(live.keys_folder or None)


class Wires:
    """The sockets of one process: doors that it opens as a server, and what it connects to as a client."""

    def __init__(self, live: Live, server: str = "") -> None:
        self.live = live
        self.keys = keys_of(live)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.authority = Authority(self.context, self.keys, server) if self.keys and server else None

    def door(self, link: str) -> Door:
        """A server's end of ``recovery``, ``orders`` or ``admin``."""
        socket = sockets.router(self.context, getattr(self.live, link), link, self.authority, plain=self.live.plain)
        return Door(socket, link, self.authority)

    def client(self, link: str, name: str = LOCAL) -> zmq.Socket[bytes]:
        """A client's end of any link."""
        role = {"market": "md", "recovery": "md"}.get(link, link)
        key: ClientKey | None = self.keys.client(role, name) if self.keys else None
        if link == "market":
            return sockets.subscriber(self.context, self.live.feed, key, plain=self.live.plain)
        return sockets.dealer(self.context, getattr(self.live, link), link, key, plain=self.live.plain)

    def reload(self, market: zmq.Socket[bytes] | None = None) -> None:
        """Read the key files again, on SIGHUP; ``market`` is bound anew where a reader of it was revoked."""
        if self.authority is not None:
            said = sockets.reload_keys(self.authority, market)
            for sentence in said or ["keys read again; nobody was taken off the list"]:
                say(sentence)

    def may_trade(self, key: str, account: str) -> bool:
        """Whether who has this key may act for an account."""
        if self.authority is None:
            return True
        permit = self.authority.permit("orders", key)
        return permit is not None and permit.may_trade(account)

    def answers(self) -> bool:
        """Whether newcomers still get an answer from whoever knows the list of keys."""
        return self.authority is None or self.authority.is_alive

    def close(self) -> None:
        """After the links are closed."""
        if self.authority is not None:
            self.authority.close()
        self.context.destroy(linger=0)


@contextmanager
def wires(live: Live, server: str = "") -> Iterator[Wires]:
    """Sockets for a while."""
    made = Wires(live, server)
    try:
        yield made
    finally:
        made.close()


def broker_links(made: Wires) -> Links:
    """The four links of a paper broker."""
    return Links(
        {
            "orders": made.door("orders"),
            "admin": made.door("admin"),
            "market": made.client("market", FOLLOWER),
            "recovery": made.client("recovery", FOLLOWER),
        }
    )


def runner_links(made: Wires) -> Links:
    """The three links of a runner."""
    return Links({link: made.client(link) for link in ("market", "recovery", "orders")})


def guarded(work: Callable[[], int]) -> int:
    """Run a role; what ends it becomes the exit code that a supervisor understands."""
    try:
        return work()
    except (LogDamaged, LogConflict) as error:
        say(str(error))
        return EX_CORRUPT
    except RunError as error:  # the disk, or a process that has not quite ended: may be cured by itself
        say(str(error))
        return EX_IOERR
    except TickwrightError:
        raise
    except Exception:
        traceback.print_exc()
        return EX_SOFTWARE


def ignore_interrupts() -> None:
    """While a run is sealed: it is short, and half a run folder is no run folder."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def choose_folder(config: Config, out: Path | None, *, new: bool) -> Path:
    """The run folder to go on with, or one that was made now.

    ``out``, or ``runs/NAME`` where its session did not finish; with ``new``, or where it did, the next free one.

    Raises
    ------
    RunError
        If ``out`` holds a finished run, or no folder can be made.
    """
    wanted = out or Path("runs") / config.name
    if not new and is_unfinished(wanted):
        return wanted
    if out is not None and (out / "manifest.json").exists():
        raise RunError(f"{out} holds a finished run; name another --out folder")
    if out is not None and out.is_dir():
        return out
    return run_folder.create(wanted)


def is_unfinished(folder: Path) -> bool:
    """Whether a paper session began in a folder, or is about to, and has not been sealed; a killed replay is none."""
    if not (folder / "manifest.json").exists():
        return (folder / "log.sqlite").exists()
    is_ours = (folder / "log.sqlite").exists() or not (folder / "journal.bin").exists()
    return is_ours and run_folder.read_manifest(folder).partial == run_folder.UNFINISHED
