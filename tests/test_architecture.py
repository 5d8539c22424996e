"""The house stays as it was drawn: who imports whom, what deciding code never does, what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import engine
import feeds

ENGINE, FEEDS = Path(engine.__file__).parent, Path(feeds.__file__).parent
PACKAGES = {"engine": ENGINE, "feeds": FEEDS, "strategies": ENGINE.parent / "strategies"}
MAY_IMPORT = {
    "engine": {"engine"},
    "feeds": {"engine", "feeds"},
    "strategies": {"engine", "strategies"},
}
# Rooms of the engine that the core does not know; what each may import beside the core.
SIDE_ROOMS = {
    "engine.reports": {"engine.reports"},
    "engine.testing": {"engine.testing"},
    "engine.learning": {"engine.learning"},
    "engine.live": {"engine.live", "engine.reports.banner", "engine.reports.formats", "engine.reports.summary"},
    "engine.sweep": {"engine.sweep"},
    "engine.rates": {"engine.rates"},
}
LEAVES = {"engine.rates"}  # pure functions on arrays, which anyone may import
# Between the user's machine and the engine: these may read clocks, folders and environments, and show reports.
SHELL = {"cli", "commands", "costs_command", "data_commands", "doctor", "progress", "stats_command", "verify"}
SHELL |= {"curve_command", "curve_tables", "curve_views", "exhibits_command", "explain_command", "z_spread_command"}
SHELL |= {"forest_command", "forest_views", "latency_command", "placement_command", "placement_views"}
SHELL |= {"backprop_command", "backprop_views"}
SHELL |= {"placer_command", "vwap_gap_command", "vwap_study_command", "vwap_study_views"}
SHELL |= {"fills_command", "fills_views"}
SHELL |= {"vwap_backtest", "vwap_claims", "vwap_pictures", "vwap_report_command", "vwap_views"}
SHELL |= {"vwap_command", "farm_progress", "farm_workforce"}
SHELL |= {"clock", "kernel_cache", "names", "run", "run_folder"}
SHELL |= {"shell", "supervisor", "session", "admin", "paper_command", "top_command", "metrics"}  # of engine.live
SHELL |= {"authority", "keys", "keys_command", "self_test", "sockets"}  # of engine.live, too
FEEDS_USE = {"tape", "events", "feed", "instruments", "errors", "verdict", "levels", "compiled", "orders", "lee_ready"}
FEEDS_USE |= {"panel_layout", "rates"}
SOCKET_USES = {"live", "live_config", "clock", "broker"}  # of the feed that is a socket
BANNED_MODULES = {"time", "random", "uuid", "secrets", "asyncio", "threading", "multiprocessing", "locale"}
BANNED_CALLS = {"hash", "id", "input", "eval", "exec"}
BANNED_ATTRIBUTES = {"now", "utcnow", "today", "urandom", "getenv", "environ", "listdir", "default_rng"}
HEAVY = {"numba", "pandas", "pyarrow", "torch", "sklearn", "plotly", "rich", "cyclopts", "exchange_calendars"}


def sources(package: str) -> list[Path]:
    return sorted(path for path in PACKAGES[package].rglob("*.py") if "_shipped" not in path.parts)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ENGINE.parent).with_suffix("").parts).removesuffix(".__init__")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Dotted names of everything a file imports, wherever in it."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: write absolute imports"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(name: str, rooms: set[str]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_inwards(package: str) -> None:
    for path in sources(package):
        ours = {name.split(".")[0] for name in imports(path)} & {*MAY_IMPORT, "tests", "benchmarks"}
        wrong = ours - MAY_IMPORT[package]
        assert not wrong, f"{path} imports {sorted(wrong)}; {package}/ may import only {sorted(MAY_IMPORT[package])}"


def test_the_core_imports_no_side_room_and_side_rooms_import_only_the_core_and_themselves() -> None:
    for path in sources("engine"):
        name = name_of(path)
        room = next((room for room in SIDE_ROOMS if is_within(name, {room})), None)
        allowed = (
            SIDE_ROOMS[room]
            if room
            else {"engine.reports", "engine.rates", "engine.live", "engine.learning"}
            if name.split(".")[1:2][0:1] and name.split(".")[1] in SHELL
            else set()
        )
        allowed = allowed | LEAVES
        wrong = {used for used in imports(path) if is_within(used, set(SIDE_ROOMS)) and not is_within(used, allowed)}
        assert not wrong, f"{name} imports {sorted(wrong)}"


def test_feeds_use_only_what_data_needs_of_the_engine() -> None:
    for path in sources("feeds"):
        used = {name.split(".")[1] for name in imports(path) if name.startswith("engine.")}
        may_use = FEEDS_USE | (SOCKET_USES if path.name == "zmq_feed.py" else set())
        assert used <= may_use, f"{path} imports engine.{sorted(used - may_use)}"


def core() -> list[Path]:
    """Code whose decisions must be the same everywhere."""
    outside = {"reports", "testing"}
    return [
        path
        for package in PACKAGES
        for path in sources(package)
        if not (package == "engine" and (path.stem in SHELL or path.relative_to(ENGINE).parts[0] in outside))
    ]


def faults(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what) of everything that would make two runs differ."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, n.name) for n in names if n.name.split(".")[0] in BANNED_MODULES)
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in BANNED_MODULES:
                yield node.lineno, module
            case ast.Call(func=ast.Name(id=called)) if called in BANNED_CALLS:
                yield node.lineno, f"{called}()"
            case ast.Attribute(attr=attribute) if attribute in BANNED_ATTRIBUTES and isinstance(node.value, ast.Name):
                if node.value.id in ("os", "datetime", "date", "random"):
                    yield node.lineno, f"{node.value.id}.{attribute}"
            case ast.For(iter=looped) | ast.comprehension(iter=looped) if is_set(looped):
                yield looped.lineno, "a loop over a set, whose order depends on PYTHONHASHSEED; sort it"


def is_set(node: ast.expr) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in ("set", "frozenset")
    return isinstance(node, (ast.Set, ast.SetComp))


def test_deciding_code_reads_no_clock_no_chance_and_no_environment() -> None:
    where_data_is = ("config.py", "replay.py", "lobster.py", "forest_config.py")  # the user's, in $TICKWRIGHT_DATA
    allowed = {(file, "os.environ") for file in where_data_is}
    found = [
        f"{path}:{line}: {what}"
        for path in core()
        for line, what in faults(tree_of(path))
        if (path.name, what) not in allowed
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "planted",
    ["import time", "from random import random", "hash('a')", "os.urandom(8)", "datetime.now()", "[x for x in {1, 2}]"],
)
def test_a_planted_fault_is_found(planted: str) -> None:
    assert list(faults(ast.parse(planted)))


def test_every_public_module_says_what_it_is() -> None:
    silent = [
        path for package in PACKAGES for path in sources(package) if path.stat().st_size and not has_docstring(path)
    ]
    assert not silent


def has_docstring(path: Path) -> bool:
    return ast.get_docstring(tree_of(path)) is not None


@pytest.mark.parametrize("module", ["engine", "engine.cli"])
def test_importing_stays_light(module: str) -> None:
    """No stopwatch, which a busy machine would fail: what is slow to import is simply not there."""
    allowed = {"rich", "cyclopts"} if module == "engine.cli" else set()
    code = f"import sys, {module}; print(*sorted({HEAVY - allowed!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


def test_a_users_strategies_folder_merges_with_ours() -> None:
    assert not (PACKAGES["strategies"] / "__init__.py").exists()
