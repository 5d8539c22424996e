"""Anyone may import the rates room, so it imports nobody but the errors and the compiler."""

import ast
import sys
from pathlib import Path

import engine.rates

ALLOWED = {*sys.stdlib_module_names, "numpy", "scipy"}


def test_rates_imports_numpy_scipy_the_errors_and_the_compiler_alone():
    for path in Path(engine.rates.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            else:
                continue
            for name in names:
                ours = name in ("engine.errors", "engine.compiled") or name.split(".")[:2] == ["engine", "rates"]
                assert ours or name.split(".")[0] in ALLOWED, f"{path.name} imports {name}"
