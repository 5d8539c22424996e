"""Anyone may import the rates room, so it imports of the house only the errors and the compiler, and no frames."""

import ast
from pathlib import Path

import engine.rates

HOUSE = {"engine", "feeds", "strategies", "tests", "benchmarks"}
LIBRARIES_FOR_OTHERS = {"pandas", "pyarrow", "QuantLib", "torch", "sklearn"}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


def test_rates_imports_of_the_house_only_itself_the_errors_and_the_compiler():
    for path in Path(engine.rates.__file__).parent.glob("*.py"):
        for name in imported(path):
            top = name.split(".")[0]
            known = name in ("engine.errors", "engine.compiled") or name.split(".")[:2] == ["engine", "rates"]
            assert known or top not in HOUSE | LIBRARIES_FOR_OTHERS, f"{path.name} imports {name}"
