from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine import kernel_cache
from engine.errors import RunError


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user's cache folder, and nothing remembered from before."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tickwright"


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the packages whose sources may be changed."""
    root = tmp_path / "copy"
    for package in ("engine", "feeds"):
        shutil.copytree(kernel_cache._ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(kernel_cache, "_ROOT", root)
    return root


def key() -> str:
    return kernel_cache._key.__wrapped__()


def test_the_folder_lies_in_the_users_cache(fresh: Path) -> None:
    assert kernel_cache.cache_folder().parent == fresh
    assert not kernel_cache.is_chosen()


def test_a_folder_that_the_user_chose_holds_one_for_each_state_of_the_sources(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "mine"))
    folder = kernel_cache.cache_folder()
    assert folder.parent == tmp_path / "mine"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder))  # as a worker process finds it
    assert kernel_cache.cache_folder() == folder
    assert kernel_cache.is_chosen()


def test_a_change_of_a_kernel_or_of_anything_it_imports_is_another_folder(sources: Path) -> None:
    seen = {key()}
    for name in ("engine/broker/kernels.py", "engine/broker/costs.py", "engine/journal.py", "engine/tape.py"):
        with (sources / name).open("a") as file:
            file.write("# changed\n")
        assert key() not in seen, f"{name} is not part of the key"
        seen.add(key())


def test_a_change_of_the_shell_compiles_nothing_anew(sources: Path) -> None:
    before = key()
    for name in ("engine/cli.py", "engine/config.py", "engine/reports/summary.py"):
        with (sources / name).open("a") as file:
            file.write("# changed\n")
    assert key() == before


def test_every_file_with_a_kernel_is_a_source() -> None:
    names = {path.name for path in kernel_cache.kernel_sources()}
    assert {"kernels.py", "book.py", "fills.py", "verdict_kernels.py", "tape.py", "journal.py"} <= names
    assert {"levels.py", "quotes.py", "lobster_book.py", "synthetic_orders.py", "synthetic_facts.py"} <= names


def test_another_setting_of_numba_is_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "2")
    assert key() != before


@pytest.mark.slow
def test_no_kernel_is_kept_beside_its_source(tmp_path: Path) -> None:
    """Imported by itself, without a run or a command that could have prepared the folder."""
    code = """
import importlib, sys
from pathlib import Path
from numba.core.dispatcher import Dispatcher
from engine import kernel_cache
for path in kernel_cache.kernel_sources():
    if "broker" not in path.parts:  # they compile when imported
        importlib.import_module(".".join(path.relative_to(kernel_cache._ROOT).with_suffix("").parts))
kernels = {k for m in list(sys.modules.values()) for k in vars(m).values() if isinstance(k, Dispatcher)}
ours = [k for k in kernels if k.py_func.__module__.startswith(("engine.", "feeds."))]
kept = [k for k in ours if k._cache.cache_path]
assert len(kept) > 30, kept
folder = kernel_cache.cache_folder()
print(*sorted(k.py_func.__qualname__ for k in kept if not Path(k._cache.cache_path).is_relative_to(folder)))
"""
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(kernel_cache._ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.split() == []


def test_a_folder_that_cannot_be_written_is_one_sentence(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    with pytest.raises(RunError, match="set NUMBA_CACHE_DIR to a folder"):
        kernel_cache.ensure.__wrapped__()


def test_only_what_holds_kernels_needs_the_cache() -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": "/dev/null/cache", "PYTHONPATH": str(kernel_cache._ROOT)}

    def fails(code: str) -> str:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stderr

    assert fails("import engine, engine.cli; engine.cli.main(['--help'])") == ""
    assert "RunError: /dev/null/cache" in fails("import engine.broker.simulated")
