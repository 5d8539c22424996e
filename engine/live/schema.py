"""One digest for the shape of all messages, equal wherever they are: other Python, other library, another language.

Made from names, types and bounds alone. The JSON schema of the same structs would not do: it leaves out the names of
fields in arrays, so that price and size could change places unseen, and it holds docstrings, which Python 3.13 indents
differently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import inspect


def digest(major: int, unions: Sequence[Any]) -> bytes:
    """BLAKE2b-128 of what messages of these unions look like."""
    return hashlib.blake2b(describe(major, unions), digest_size=16).digest()


def describe(major: int, unions: Sequence[Any]) -> bytes:
    """JSON of the unions' members, and of every struct in them: tag, strictness, fields with type and default."""
    structs: dict[str, Any] = {}
    members = [_plain(shape, structs) for shape in inspect.multi_type_info(unions)]
    return msgspec.json.encode([major, members, dict(sorted(structs.items()))])


def _plain(shape: Any, structs: dict[str, Any]) -> list[Any]:
    """A type as a list; structs by name, described once in ``structs``."""
    match shape:
        case inspect.NoneType():
            return ["nil"]
        case inspect.BoolType():
            return ["bool"]
        case inspect.IntType():
            return ["int", shape.ge, shape.le]
        case inspect.StrType() | inspect.BytesType() as text:
            return ["str" if isinstance(text, inspect.StrType) else "bytes", text.min_length, text.max_length]
        case inspect.ListType() | inspect.VarTupleType():
            return ["list", _plain(shape.item_type, structs), shape.min_length, shape.max_length]
        case inspect.TupleType():
            return ["tuple", *(_plain(item, structs) for item in shape.item_types)]
        case inspect.DictType():
            key, value = _plain(shape.key_type, structs), _plain(shape.value_type, structs)
            return ["dict", key, value, shape.min_length, shape.max_length]
        case inspect.UnionType():
            return ["union", *sorted((_plain(member, structs) for member in shape.types), key=msgspec.json.encode)]
        case inspect.StructType():
            _describe_struct(shape, structs)
            return ["struct", shape.cls.__name__]
    raise TypeError(f"{shape} has no place on the wire; use integers, text, bytes, lists and structs of them")


def _describe_struct(shape: inspect.StructType, structs: dict[str, Any]) -> None:
    name = shape.cls.__name__
    if name in structs:
        return
    structs[name] = []  # seen, in case it holds itself
    form = "array" if shape.array_like else "map"
    fields = [
        [field.encode_name, _plain(field.type, structs), None if field.required else repr(field.default)]
        for field in shape.fields
    ]
    structs[name] = [form, shape.tag_field, shape.tag, shape.forbid_unknown_fields, fields]
