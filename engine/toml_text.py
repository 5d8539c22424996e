"""TOML out: the standard library reads it, but does not write it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def toml_text(data: Mapping[str, Any]) -> str:
    """A document of tables, lists of tables, lists, texts, numbers and booleans; None is left out."""
    return "".join(_toml_table(data, ()))


def _toml_table(data: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    scalars = {k: v for k, v in data.items() if not _is_table(v) and not _is_table_list(v) and v is not None}
    lines = [f"{_key(k)} = {_toml_value(v)}\n" for k, v in scalars.items()]
    for key, value in data.items():
        name = ".".join(_key(step) for step in (*path, key))
        if _is_table(value):
            lines += [f"\n[{name}]\n", *_toml_table(value, (*path, key))]
        elif _is_table_list(value):
            for item in value:
                lines += [f"\n[[{name}]]\n", *_toml_table(item, (*path, key))]
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _is_table_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(isinstance(item, dict) for item in value)


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else _text(key)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    return f"[{', '.join(_toml_value(item) for item in value)}]"


def _text(text: str) -> str:
    """A TOML basic string: JSON's, except that TOML wants DEL escaped and no surrogate pairs."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
