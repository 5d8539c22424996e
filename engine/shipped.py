"""Where the tapes and configs that come with the project lie, in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

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
