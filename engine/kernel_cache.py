"""Where compiled kernels are kept: one folder for each state of their sources, so that a stale one cannot be met.

numba looks only at the file of a function, not at what it calls in other files or at constants that it froze. So the
folder's name is a hash of every file with a kernel and of all that these import, of the versions of Python, numba and
llvmlite, and of numba's settings (``NUMBA_BOUNDSCHECK``, …); numba itself adds the processor. ``ensure`` must run
before the first kernel is made: ``engine.compiled`` and ``engine.broker.kernel``, which hold our decorators, do so.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import sys
import tempfile
from pathlib import Path

from engine.errors import RunError

VARIABLE = "NUMBA_CACHE_DIR"
_ROOT = Path(__file__).resolve().parent.parent
_HAS_KERNEL = re.compile(rb"^\s*(?:from|import) (?:numba|engine\.compiled)\b", re.MULTILINE)
_IMPORT = re.compile(rb"^\s*(?:from|import)\s+((?:engine|feeds)[\w.]*)(?:\s+import\s+([\w, ]+))?", re.MULTILINE)


@functools.cache
def ensure() -> Path:
    """Point numba at this version's folder, below the user's cache folder or, where set, ``NUMBA_CACHE_DIR``.

    Raises
    ------
    RunError
        If nothing can be written there.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RunError(
            f"{folder}: the kernel cache cannot be written ({error.strerror}); "
            f"set {VARIABLE} to a folder on a disk that can be written and has space"
        ) from None
    os.environ[VARIABLE] = str(folder)  # worker processes find it there
    if numba := sys.modules.get("numba"):  # it read the variable when it was imported
        numba.config.CACHE_DIR = str(folder)
    return folder


def cache_folder() -> Path:
    """The folder that ``ensure`` prepares."""
    name = f"kernels-{_key()}"
    chosen = os.environ.get(VARIABLE)
    if chosen and Path(chosen).name == name:
        return Path(chosen)
    return Path(chosen or _home()) / name


def is_chosen() -> bool:
    """Whether the user set ``NUMBA_CACHE_DIR``, rather than ``ensure``."""
    chosen = os.environ.get(VARIABLE)
    return bool(chosen) and Path(chosen or "").parent != _home()


def _home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tickwright"


@functools.cache
def _key() -> str:
    import importlib.metadata  # 20 ms that `import engine` need not pay

    digest = hashlib.blake2b(digest_size=8)
    for name in ("numba", "llvmlite"):
        digest.update(f"{name} {importlib.metadata.version(name)} ".encode())
    digest.update(f"{platform.python_version()} {platform.machine()}".encode())
    settings = {name: value for name, value in os.environ.items() if name.startswith("NUMBA_") and name != VARIABLE}
    digest.update(repr(sorted(settings.items())).encode())
    for path in kernel_sources():
        digest.update(str(path.relative_to(_ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


def kernel_sources() -> list[Path]:
    """Every file that holds a kernel, and every file of ours that these import, directly or not."""
    waiting = [
        path
        for package in ("engine", "feeds")
        for path in (_ROOT / package).rglob("*.py")
        if _HAS_KERNEL.search(path.read_bytes())
    ]
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path)
    return sorted(found)


def _imported(path: Path) -> list[Path]:
    files = []
    for module, names in _IMPORT.findall(path.read_bytes()):
        base = _ROOT.joinpath(*module.decode().split("."))
        files.append(base.with_suffix(".py"))
        files += [base / f"{name.split()[0]}.py" for name in names.decode().split(",") if name.strip()]
    return [file for file in files if file.is_file()]
