"""Turns msgspec's complaints about a config into sentences that name the key and the likely cure."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable
from typing import Any

import msgspec

_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.+?)`(?: - at `(?P<path>.+)`)?$")
_CHOICE = re.compile(r"Invalid enum value '(?P<name>.+?)'(?: - at `(?P<path>.+)`)?$")
_PLAIN = re.compile(r"(?P<what>.+?)(?: - at `(?P<path>.+)`)?$")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"``, or ``"; known are ..."`` where nothing is close."""
    names = sorted(known)
    lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.55)
    if close:
        return f"; did you mean '{lower[close[0]]}'?"
    return f"; known are {', '.join(names)}" if names else "; there are none"


def explain(error: msgspec.ValidationError, schema: Any, root: str = "$") -> str:
    """What is wrong with the data that did not fit ``schema``: the value, its path from ``root``, what to write."""
    text = str(error)
    if match := _UNKNOWN.match(text):
        path = match["path"] or "$"
        hint = did_you_mean(match["name"], _field_names(_type_at(schema, path)))
        return f"unknown field '{match['name']}' at {root + path[1:]}{hint}"
    if match := _CHOICE.match(text):
        path = match["path"] or "$"
        hint = did_you_mean(match["name"], _choices(_type_at(schema, path)))
        return f"'{match['name']}' at {root + path[1:]} is not a choice{hint}"
    match = _PLAIN.match(text)
    assert match is not None
    what = match["what"].replace("`", "").replace("object", "table")
    return f"{what[0].lower()}{what[1:]} at {root + (match['path'] or '$')[1:]}"


def _type_at(schema: Any, path: str) -> Any:
    """The type that ``schema`` gives to a path like ``$.strategies[0].account``."""
    for step in re.findall(r"\.([^.\[]+)|(\[[^]]*\])", path):
        if step[0]:
            struct = next((t for t in _members(schema) if _is_struct(t)), None)
            if struct is None:
                return None
            schema = {f.encode_name: f.type for f in msgspec.structs.fields(struct)}.get(step[0])
        else:
            inner = next((t for t in _members(schema) if typing.get_args(t)), None)
            schema = typing.get_args(inner)[-1 if typing.get_origin(inner) is dict else 0] if inner else None
    return schema


def _members(schema: Any) -> tuple[Any, ...]:
    if typing.get_origin(schema) is typing.Annotated:
        schema = typing.get_args(schema)[0]
    if typing.get_origin(schema) in (typing.Union, types.UnionType):
        return tuple(inner for member in typing.get_args(schema) for inner in _members(member))
    return (schema,)


def _is_struct(schema: Any) -> bool:
    return isinstance(schema, type) and issubclass(schema, msgspec.Struct)


def _field_names(schema: Any) -> list[str]:
    return [f.encode_name for t in _members(schema) if _is_struct(t) for f in msgspec.structs.fields(t)]


def _choices(schema: Any) -> list[str]:
    return [
        str(choice) for t in _members(schema) if typing.get_origin(t) is typing.Literal for choice in typing.get_args(t)
    ]
