"""Classes from the names that configs give them: ``strategies.twap:Twap`` or ``path/to/mine.py:Mine``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from engine.errors import ConfigError
from engine.spelling import did_you_mean


def import_class(name: str, base: type, where: str) -> Any:
    """The class that ``name`` means.

    A file is read anew each time, so that a notebook runs what was last saved; its folder can be imported from.
    A dotted name may also lie under the current folder.

    Raises
    ------
    ConfigError
        If there is no such module, file or class, if importing it fails, or if it is not a ``base``.
    """
    module_name, colon, class_name = name.rpartition(":")
    if not colon or not module_name or not class_name:
        raise ConfigError(f"{where}: '{name}' names no class; write 'package.module:Class' or 'path/to/file.py:Class'")
    try:
        module = _load_file(Path(module_name)) if module_name.endswith(".py") else _load_module(module_name)
    except FileNotFoundError:
        raise ConfigError(f"{where}: no file {module_name}") from None
    except SyntaxError as error:
        raise ConfigError(f"{where}: {error.filename}, line {error.lineno}: {error.msg}") from None
    except ModuleNotFoundError as error:
        raise ConfigError(f"{where}: cannot import {module_name}: no module named '{error.name}'") from None
    except Exception as error:
        raise ConfigError(f"{where}: importing {module_name} raised {type(error).__name__}: {error}") from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        if module_name == "__main__":
            raise ConfigError(
                f"{where}: {class_name} was defined in a notebook or shell; verify the run there "
                "(from engine.verify import verify), or define the class in a file"
            )
        here = (c for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__)
        classes = [c.__name__ for c in here if issubclass(c, base)]
        raise ConfigError(f"{where}: {module_name} has no class '{class_name}'{did_you_mean(class_name, classes)}")
    if not issubclass(found, base):
        raise ConfigError(f"{where}: {name} is not a {base.__name__}; derive it from engine.{base.__name__}")
    return found


def source_digest(cls: type) -> str:
    """BLAKE2b-256 of the file that defines a class, or "" where there is none (a notebook)."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if not file or not Path(file).is_file():
        return ""
    return hashlib.blake2b(Path(file).read_bytes(), digest_size=32).hexdigest()


def _load_file(file: Path) -> ModuleType:
    file = file.resolve()
    if not file.is_file():
        raise FileNotFoundError(file)
    name = f"{file.stem}_{hashlib.blake2b(str(file).encode(), digest_size=4).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # msgspec looks a struct's annotations up there
    with _importable(file.parent):
        spec.loader.exec_module(module)
    return module


def _load_module(name: str) -> ModuleType:
    with _importable(Path.cwd()):
        return importlib.import_module(name)


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """``folder`` as the last place to import from, for as long as this lasts; where it is one already, it stays."""
    if str(folder) in sys.path:
        yield
        return
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
