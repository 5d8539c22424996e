"""Where the tapes and configs that come with the project lie, in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from engine.errors import ConfigError
from engine.spelling import did_you_mean

_PACKAGE = Path(__file__).resolve().parent


def shipped_folder(kind: str) -> Path:
    """The folder ``replay_data`` or ``configs``: beside ``engine`` in a checkout, inside it in a wheel."""
    beside = _PACKAGE.parent / kind
    inside = _PACKAGE / "_shipped" / kind
    return inside if inside.is_dir() else beside


def shipped_tapes() -> dict[str, Path]:
    """Name to folder of every tape that ships."""
    return {path.parent.name: path.parent for path in sorted(shipped_folder("replay_data").glob("*/manifest.json"))}


def shipped_configs() -> dict[str, Path]:
    """Name (file name without ``.toml``) to file of every config that ships."""
    return {path.stem: path for path in sorted(shipped_folder("configs").glob("*.toml"))}


def find_config(name: str) -> Path:
    """The file of a config: a path, or the name of one that ships.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    return _found(name, shipped_configs(), "config")


def find_training(name: str, pattern: str = "*.toml") -> Path:
    """The same for what ``tickwright train`` is told; ``pattern`` is of files that ship."""
    return _found(name, _named("training", pattern), "training")


def find_study(name: str) -> Path:
    """The same for a study."""
    return _found(name, _named("studies", "*.toml"), "study")


def _named(folder: str, pattern: str) -> dict[str, Path]:
    return {path.stem: path for path in sorted((shipped_folder("configs") / folder).glob(pattern))}


def _found(name: str, shipped: dict[str, Path], what: str) -> Path:
    if Path(name).is_file() or name.endswith(".toml") or "/" in name:
        return Path(name)
    if name not in shipped:
        raise ConfigError(f"{name}: no such file, and no {what} of that name ships{did_you_mean(name, shipped)}")
    return shipped[name]
