"""F30: files made to run code, to fill memory or to be written elsewhere are refused, and nothing of it happens."""

from __future__ import annotations

import pickle
import resource
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from procedure import Trial, main

from engine.config import load
from engine.errors import TickwrightError
from engine.live import messages as m
from engine.live.broker_log import unpack_parents
from engine.live.keys import Keys, new_keys
from engine.live.panel_parts import PanelParts
from engine.shipped import shipped_tapes
from engine.tape import Tape

MOST_MIB = 160  # that memory may grow: 64 of parent orders are unpacked, twice that while the buffer grows
HUGE = 1 << 32


class Marks:
    """An object that leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.path,)


def malicious_files(trial: Trial) -> str:
    marker = trial.folder / "executed"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tried = 0
    for name, open_it in {**tapes(trial, marker), **others(trial, marker)}.items():
        assert refusal(open_it), f"{name}: was not refused, or without a word"
        assert not marker.exists(), f"{name}: ran code"
        tried += 1
    outside = [path.name for path in trial.folder.iterdir() if path.name == "outside.npy"]
    assert not outside, f"written elsewhere: {outside}"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown <= MOST_MIB, f"memory grew by {grown:.0f} MiB"
    return f"{tried} files and messages refused, nothing executed, nothing written elsewhere, {grown:.0f} MiB more"


def refusal(open_it: Callable[[], object]) -> str:
    """What is said of a file; "" if it was taken."""
    try:
        open_it()
    except (TickwrightError, ValueError) as error:
        return str(error)
    return ""


def tapes(trial: Trial, marker: Path) -> dict[str, Callable[[], object]]:
    """Tapes whose rows or panels are something else."""
    whole = Tape.load(shipped_tapes()["demo_bars"])

    def with_rows(write: Callable[[Path], None], file: str = "rows.npy") -> Callable[[], object]:
        def open_it() -> object:
            folder = trial.fresh("tape") / "t"
            whole.save(folder)
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).unlink(missing_ok=True)
            write(folder / file)
            return Tape.load(folder)

        return open_it

    def objects(path: Path) -> None:
        np.save(path, np.array([Marks(marker)], object), allow_pickle=True)

    def header(shape: str) -> Callable[[Path], None]:
        text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
        return lambda path: void(path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text))

    return {
        "a pickle for rows": with_rows(lambda path: void(path.write_bytes(pickle.dumps(Marks(marker))))),
        "objects for rows": with_rows(objects),
        "objects for a panel": with_rows(objects, "panels/x.npy"),
        "rows of 4 GiB that are not there": with_rows(header(f"({HUGE // 8},)")),
        "a panel of 2^70 numbers": with_rows(header("(1180591620717411303424,)"), "panels/x.npy"),
        "code for a shape": with_rows(header(f"__import__('pathlib').Path({str(marker)!r}).touch()")),
        "a manifest nested deeply": with_rows(lambda path: void(path.write_text("[" * 100_000)), "manifest.json"),
        "a panel named elsewhere": lambda: Tape(whole.rows, whole.manifest, {"../../outside": np.zeros(3)}).save(
            trial.fresh("tape") / "t"
        ),
    }


def others(trial: Trial, marker: Path) -> dict[str, Callable[[], object]]:
    """What comes over sockets, configs and keys."""

    def config(text: str) -> Callable[[], object]:
        path = trial.folder / "config.toml"
        return lambda: (path.write_text(text), load(path))

    def linked() -> object:
        keys = new_keys(trial.fresh("home") / "keys")
        secret = keys.folder / "broker_server.key_secret"
        secret.rename(secret.with_name("elsewhere"))
        secret.symlink_to(secret.with_name("elsewhere"))
        return Keys.load(keys.folder).server("broker")

    shape = m.PanelShape
    return {
        "parents of 1 GiB in 1 MiB": lambda: unpack_parents(bomb(mib=1_024)),
        "a panel of objects": lambda: PanelParts([shape("x", "|O", (1,), 1)]),
        "a panel's type as code": lambda: PanelParts([shape("x", "[__import__", (1,), 1)]),
        "a panel larger than memory": lambda: PanelParts([shape("x", "<f8", (HUGE,), 1 << 20)]),
        "a panel written elsewhere": lambda: PanelParts([shape("../../outside", "<f8", (1,), 1)]),
        "a message nested deeply": lambda: m.feed_reply(b"\x91" * 100_000),
        "an array of 2^32 - 1 entries": lambda: m.feed_reply(b"\xdd\xff\xff\xff\xff"),
        "a pickle for a message": lambda: m.broker_request(pickle.dumps(Marks(marker))),
        "a tag of YAML in a config": config(f"strategy = !!python/object/apply:pathlib.Path.touch ['{marker}']"),
        "a module of the library as a strategy": config('strategy = "os:system"\nfeed = "subprocess:Popen"\nx = 1'),
        "a secret that is a link": linked,
    }


def bomb(mib: int) -> bytes:
    """Zeros, packed."""
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(mib)), packer.flush()])


def void(_: object) -> None:
    """For what a lambda is not to return."""


if __name__ == "__main__":
    main(malicious_files)
