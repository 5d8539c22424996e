"""Looks at everything a run will need before it needs it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from engine import kernel_cache
from engine.errors import TickwrightError
from engine.run_folder import LIBRARIES, version
from engine.shipped import shipped_configs, shipped_tapes
from engine.tape import Tape

EXTRAS = {"learn": ("torch", "scikit-learn", "gymnasium"), "report": ("plotly", "jinja2"), "sweep": ("distributed",)}
ENOUGH_BYTES = 1_000_000_000


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at."""

    what: str
    ok: bool
    found: str


def examine() -> list[Finding]:
    """Everything, in the order in which a run would miss it."""
    return [
        Finding(what="python", ok=True, found=f"{platform.python_version()} at {sys.executable}"),
        Finding(what="versions", ok=True, found=", ".join(f"{name} {version(name)}" for name in LIBRARIES)),
        Finding(what="extras", ok=True, found=", ".join(_extra(name) for name in EXTRAS)),
        Finding(what="machine", ok=True, found=f"{platform.platform()}, {os.cpu_count()} CPUs ({_processor()})"),
        _try("kernel cache", _kernel_cache),
        _try("shipped", _shipped),
        _try("run folder", _disk),
        Finding(what="terminal", ok=True, found=_terminal()),
    ]


def _try(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what=what, ok=True, found=look())
    except (TickwrightError, OSError) as error:
        return Finding(what=what, ok=False, found=str(error))


def _kernel_cache() -> str:
    folder = kernel_cache.ensure()
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    chosen = "chosen by NUMBA_CACHE_DIR" if kernel_cache.is_chosen() else "the user's cache folder"
    return f"{folder} ({chosen}), {len(files)} files, {size / 1e6:.1f} MB; delete it to compile anew"


def _shipped() -> str:
    tapes = {name: Tape.load(path) for name, path in shipped_tapes().items()}
    for tape in tapes.values():
        if tape.content_hash() != tape.manifest.content:
            raise OSError(f"{tape.path} is damaged; install again")
    configs = shipped_configs()
    if not tapes or not configs:
        raise OSError("no tapes or no configs; install again")
    rows = sum(map(len, tapes.values()))
    return f"{len(configs)} configs, {len(tapes)} tapes with {rows:,} rows, every hash right"


def _disk() -> str:
    here = Path.cwd()
    free = shutil.disk_usage(here).free
    if not os.access(here, os.W_OK):
        raise OSError(f"{here} cannot be written; run from another folder, or give --out")
    if free < ENOUGH_BYTES:
        raise OSError(f"{here}: {free / 1e9:.2f} GB free; make room, or give --out on another disk")
    return f"{here / 'runs'}, {free / 1e9:.0f} GB free"


def _extra(name: str) -> str:
    missing = [library for library in EXTRAS[name] if version(library) == "from source"]
    return f"{name} {'missing' if missing else 'installed'}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _terminal() -> str:
    kind = "progress is shown" if sys.stderr.isatty() else "standard error is no terminal: no progress line"
    return f"{kind}, {sys.stdout.encoding}, {shutil.get_terminal_size().columns} columns"
