"""A recorded market: rows of fixed size, in order, beside a manifest that says what they mean.

A tape is a folder::

    rows.npy        ROW[n], memory-mapped: opening costs nothing, whatever the length
    panels/*.npy    close-of-day arrays that CLOSE rows point into (first axis: panel day, unless ``is_axis``)
    manifest.json   instruments, sessions, corporate actions, span, source, licence, BLAKE2b of the content

Rows are the same facts as ``engine.events``, as 64-byte records:

========  ==============================================================================================
QUOTE     price, size = bid; price2, size2 = ask (size 0: that side is empty)
DEPTH     side, level (from 0, informative), price, size (0 deletes)
ADD       order_id, side, price, size
REDUCE    order_id, side, price, size = by how much
DELETE    order_id, side, price, size = what was left of it
EXECUTE   order_id, side = book side (the aggressor is the other), price, size; HIDDEN: not on the book
REVEAL    side, price, size: a level that comes into a level-limited view, or leaves it (size 0)
TRADE     side = aggressor (0 unknown), price, size, order_id = trade id; with AUCTION, level: Auction
BAR       order_id, price, price2, size2, size = open, high, low, close, volume
CLOSE     order_id = panel day
STATUS    level = State; price, size, size2 = auction price, volume, imbalance (BAND: price, price2)
CLEAR     the book of the instrument is empty from here
CLOCK     no later row is at or before ts_event; takes no sequence number, is never hashed
========  ==============================================================================================
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import TapeError
from engine.instruments import Instrument

TAPE_VERSION = 1

ROW = np.dtype(
    [
        ("ts_event", "<i8"),
        ("ts_recv", "<i8"),
        ("order_id", "<i8"),
        ("price", "<i8"),
        ("size", "<i8"),
        ("price2", "<i8"),
        ("size2", "<i8"),
        ("instrument", "<u2"),
        ("kind", "u1"),
        ("side", "i1"),
        ("level", "<u2"),
        ("flags", "<u2"),
    ]
)
assert ROW.itemsize == 64


class Kind(IntEnum):
    """What a row says."""

    QUOTE = 1
    DEPTH = 2
    ADD = 3
    REDUCE = 4
    DELETE = 5
    EXECUTE = 6
    REVEAL = 7
    TRADE = 8
    BAR = 9
    CLOSE = 10
    STATUS = 11
    CLEAR = 12
    CLOCK = 13


class Flag(IntFlag):
    """Bits of ``flags``; from OFF_TICK up they are reasons that the data rules gave."""

    LAST = 1  # ends a group of rows that happen together: only here can a strategy be woken
    HIDDEN = 2  # against an order that the book does not show
    AUCTION = 4  # an auction's print
    SNAPSHOT = 8  # state, not a change
    OFF_TICK = 16
    CROSSED = 32
    LOCKED = 64
    TIME_BACK = 128
    TIME_FUTURE = 256
    JUMP = 512
    OUTSIDE = 1024  # a trade outside the quote: for statistics, not for fills


class State(IntEnum):
    """Trading state of an instrument, in ``level`` of a STATUS row."""

    CLOSED = 0
    PRE_OPEN = 1
    OPENING_AUCTION = 2
    OPEN = 3
    HALT = 4
    QUOTING = 5  # quotes resume after a halt, trading does not yet
    AUCTION = 6  # an auction during the day
    CLOSING_AUCTION = 7
    BAND = 8  # limit-down price and limit-up price2 from here; 0 lifts that side; the state stays


class Auction(IntEnum):
    """Which auction an AUCTION print ended, in ``level`` of a TRADE row."""

    UNKNOWN = 0
    OPENING = 1
    CLOSING = 2
    INTRADAY = 3


class CorporateAction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A dividend or split that takes effect at ``ts_event``, before the first row at or after it.

    A split gives ``numerator`` new units for ``denominator`` old ones; a dividend pays
    ``numerator / denominator`` of currency per unit of size held.
    """

    ts_event: int
    symbol: str
    kind: str  # "dividend" or "split"
    numerator: int
    denominator: int = 1


class Manifest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the rows of a tape mean, and where they came from."""

    version: int = TAPE_VERSION
    name: str = ""
    instruments: list[Instrument]
    sessions: list[tuple[int, int]] = []  # [open, close) in ns UTC; empty: one session, the span of the rows
    actions: list[CorporateAction] = []
    rows: int = 0
    ts_first: int = 0
    ts_last: int = 0
    source: str = ""
    licence: str = ""
    recipe: str = ""  # how to make it again
    synthetic: bool = False
    verdict: dict[str, int] = {}  # counts of the data rules at import, by reason code
    content: str = ""  # BLAKE2b-256 of rows and panels


class Tape:
    """Rows, what they mean, and the panels that their CLOSE rows point into.

    Parameters
    ----------
    rows : ROW[n]
        In order of ``ts_event``; ties keep their order. May be a read-only memory map.
    manifest : Manifest
        ``rows``, ``ts_first``, ``ts_last`` and ``content`` are filled in on ``save``.
    panels : mapping of name to array
        First axis: panel day; of those that ``is_axis`` names, whatever they list. Names of one of several
        close-of-day markets begin with its symbol and a dot ("USD.RATES.swap_rate").
    """

    def __init__(
        self,
        rows: NDArray[np.void],
        manifest: Manifest,
        panels: Mapping[str, NDArray[Any]] | None = None,
        path: Path | None = None,
    ) -> None:
        if rows.dtype != ROW or rows.ndim != 1:
            raise TapeError(f"rows must be ROW[n], not {rows.dtype}[{rows.ndim} dimensions]")
        self.rows = rows
        self.manifest = manifest
        self.panels: dict[str, NDArray[Any]] = dict(panels or {})
        self.path = path

    @property
    def instruments(self) -> list[Instrument]:
        """Indexed by ``instrument`` of a row."""
        return self.manifest.instruments

    @property
    def sessions(self) -> list[tuple[int, int]]:
        """[open, close) in ns UTC, in order; the span of the rows where the manifest has none."""
        if self.manifest.sessions or len(self.rows) == 0:
            return self.manifest.sessions
        return [(int(self.rows[0]["ts_event"]), int(self.rows[-1]["ts_event"]) + 1)]

    @property
    def panel_days(self) -> int | None:
        """Days that every panel has; None without panels."""
        return min((len(panel) for name, panel in self.panels.items() if not is_axis(name)), default=None)

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Tape:
        """Open a tape folder; rows and panels are memory-mapped, nothing is read yet.

        Raises
        ------
        TapeError
            If a file is missing, damaged, of another version, or disagrees with the manifest.
        """
        folder = Path(path)
        try:
            text = (folder / "manifest.json").read_bytes()
        except OSError as error:
            raise TapeError(
                f"{folder}: no tape here ({error.strerror}: manifest.json); "
                "make one with `tickwright data import` or name another folder"
            ) from None
        try:
            manifest = msgspec.json.decode(text, type=Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise TapeError(f"{folder / 'manifest.json'}: {error}; import the tape again") from None
        if manifest.version != TAPE_VERSION:
            raise TapeError(
                f"{folder}: tape version {manifest.version}, this engine reads {TAPE_VERSION}; import it again"
            )
        rows = _open_array(folder / "rows.npy")
        if rows.dtype != ROW or rows.ndim != 1:
            raise TapeError(f"{folder / 'rows.npy'}: holds {rows.dtype}, not 64-byte rows; import the tape again")
        if len(rows) != manifest.rows:
            raise TapeError(f"{folder}: {len(rows)} rows, but the manifest says {manifest.rows}; import the tape again")
        if len(rows) and (rows["ts_event"][0], rows["ts_event"][-1]) != (manifest.ts_first, manifest.ts_last):
            raise TapeError(f"{folder}: rows begin or end at other times than the manifest says; import the tape again")
        panels = {file.stem: _open_array(file) for file in sorted((folder / "panels").glob("*.npy"))}
        return cls(rows, manifest, panels, folder)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the tape as a folder, whole or not at all (a temporary folder, then a rename).

        Raises
        ------
        TapeError
            If the folder exists already, or the rows break a rule of ``engine.verdict.check``.
        """
        from engine.verdict import check  # there, because it needs this module

        folder = Path(path)
        check(self)
        for name in self.panels:
            check_panel_name(name)
        if folder.exists() and not overwrite:
            raise TapeError(f"{folder} exists; name another folder or allow overwriting")
        self.manifest.rows = len(self.rows)
        if len(self.rows):
            self.manifest.ts_first = int(self.rows[0]["ts_event"])
            self.manifest.ts_last = int(self.rows[-1]["ts_event"])
        self.manifest.content = self.content_hash()
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            np.save(scratch / "rows.npy", self.rows)
            if self.panels:
                (scratch / "panels").mkdir()
                for name, panel in sorted(self.panels.items()):
                    np.save(scratch / "panels" / f"{name}.npy", panel, allow_pickle=False)
            (scratch / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(self.manifest), indent=2))
            scratch.chmod(0o755)
            if folder.exists():
                shutil.rmtree(folder)
            scratch.rename(folder)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        self.path = folder
        return folder

    def content_hash(self) -> str:
        """BLAKE2b-256 over the rows (without CLOCK rows) and then the panels in order of name."""
        digest = hashlib.blake2b(digest_size=32)
        step = 1 << 18  # 16 MiB at a time
        for start in range(0, len(self.rows), step):
            part = self.rows[start : start + step]
            clock = part["kind"] == Kind.CLOCK
            digest.update((part[~clock] if clock.any() else part).tobytes())
        for name, panel in sorted(self.panels.items()):
            digest.update(f"{name} {panel.dtype.str} {panel.shape}".encode())
            digest.update(panel.tobytes())
        return digest.hexdigest()


def is_axis(name: str) -> bool:
    """Whether a panel says what the places of others mean (tenors, static data), and so is the same on every day."""
    return name.rpartition(".")[2].startswith("axis_")


def check_panel_name(name: str) -> None:
    """A panel is a file of its name, so the name must not lead out of the tape's folder.

    Raises
    ------
    TapeError
        If it is no plain name: others give panels their names, too.
    """
    if not name.isprintable() or name.startswith(".") or not name or {*name} & {"/", "\\"}:
        raise TapeError(f"the panel {name!r} cannot be a file; give it a name without / and \\ that begins with no dot")


def _open_array(file: Path) -> NDArray[Any]:
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy parses the header as Python: damage shows as any of the parser's errors
        raise TapeError(f"{file}: cannot be read as an array ({error}); import the tape again") from None
