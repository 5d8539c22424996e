"""``[live]`` of a config: where the roles of a paper session meet, and what they hold to.

A replay reads nothing of it, so one file serves `tickwright run`, `tickwright paper` and the roles one by one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from engine.broker.models import Account
from engine.errors import ConfigError

ADDRESSES = ("feed", "recovery", "orders", "admin")
FILES = ("keys_folder", "kill_file")
HOLD_MS = 50  # default of a paced session
LONGEST_IPC = 107  # bytes of a socket's path that the system takes

Milliseconds = Annotated[int, msgspec.Meta(ge=1, le=3_600_000)]
Speed = Annotated[float, msgspec.Meta(gt=0, le=100_000)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]


class Live(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A paper session: feed, paper broker, and one runner for each strategy."""

    feed: str = "tcp://127.0.0.1:5701"  # market data
    recovery: str = "tcp://127.0.0.1:5702"  # of the feed, too: joining, and what was lost
    orders: str = "tcp://127.0.0.1:5703"  # of the broker
    admin: str = "tcp://127.0.0.1:5704"  # of the broker: `tickwright top` and `tickwright kill`
    keys_folder: str = ""  # made by `tickwright keys new`; "": the user's own, and for `paper` one made for the session
    plain: bool = False  # without keys and encryption, where no other machine can reach the addresses
    kill_file: str = ""  # the broker's kill switch is latched once it is there; "": KILL in the run folder
    hold: Milliseconds | Literal["forever"] | None = None  # how long the market waits for a strategy's answer
    speed: Speed | Literal["max"] = "max"  # of the feed that `paper` starts, times real time
    durable: bool = True  # every answer waits for the disk; False survives a crash of a process, not of the machine
    clients: tuple[Account, ...] = ()  # for programs of a desk's own (``engine.live.Client``)
    metrics_port: Port = 0  # of the broker's metrics on the loopback interface; needs the extra `ops`; 0: none

    @property
    def hold_ns(self) -> int | None:
        """How long the broker waits for an answer; None: for ever, the default where nothing sets a pace."""
        if self.hold is None:
            return None if self.speed == "max" else HOLD_MS * 1_000_000
        return None if self.hold == "forever" else self.hold * 1_000_000

    @property
    def speed_thousandths(self) -> int:
        """As ``engine.live.messages.Market`` says it: 0 is as fast as it goes."""
        return 0 if self.speed == "max" else max(1, round(self.speed * 1_000))


def check(live: Live, taken: list[str]) -> None:
    """Refuse addresses that are none or meet, and accounts of ``taken`` names.

    Raises
    ------
    ConfigError
        With the key and what to write.
    """
    for name in ADDRESSES:
        address = getattr(live, name)
        if not address.startswith(("tcp://", "ipc://")):
            raise ConfigError(f"$.live.{name} is '{address}'; write tcp://127.0.0.1:PORT or ipc://PATH")
        others = [other for other in ADDRESSES if other != name and getattr(live, other) == address]
        if others:
            raise ConfigError(f"$.live.{name} and $.live.{others[0]} are both {address}; give each its own address")
    names = [*taken, *(client.name for client in live.clients)]
    for client in live.clients:
        if names.count(client.name) > 1:
            raise ConfigError(
                f"$.live.clients: {names.count(client.name)} accounts are called '{client.name}'; "
                'give each client and strategy account = { name = "..." } of its own'
            )


def resolve(live: Live, folder: Path, where: str) -> Live:
    """Paths of files and ``ipc://`` sockets as absolute ones, from the config's folder."""
    changed = {name: str(folder / Path(path).expanduser()) for name in FILES if (path := getattr(live, name))}
    for name in ADDRESSES:
        address = getattr(live, name)
        if not address.startswith("ipc://"):
            continue
        path = folder / Path(address.removeprefix("ipc://")).expanduser()
        if len(str(path).encode()) > LONGEST_IPC:
            raise ConfigError(
                f"{where}: $.live.{name}: {path} is longer than the {LONGEST_IPC} bytes that a socket may have; "
                "name a shorter folder, like ipc:///tmp/desk/feed"
            )
        changed[name] = f"ipc://{path}"
    return msgspec.structs.replace(live, **changed)
