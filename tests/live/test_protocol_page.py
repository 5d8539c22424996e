"""docs/protocol.md is the protocol: every message, every field, every bound and every example in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from msgspec import inspect
from sample_messages import GOLDEN, VERSION, golden

from engine import events
from engine.live import messages as m
from engine.orders import OrderFlag, OrderType, TimeInForce
from engine.tape import ROW, Kind

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
FEED, BROKER = (m.FeedMessage, m.FeedRequest, m.FeedReply), (m.BrokerRequest, m.BrokerReply)
MESSAGES = {one.__name__: one for union in (*FEED, *BROKER, m.AdminRequest, m.AdminReply) for one in get_args(union)}
MINUS = "\u2212"
NAMED = {
    "int": (-(2**63), 2**63 - 1), "count": (0, 2**62), "small": (0, 65_535),
    "name": (1, 64), "word": (None, 64), "text": (None, 1_024),
}  # fmt: skip


def sections() -> dict[str, str]:
    """Name and tag of a message -> what the page says of it."""
    parts = re.split(r"^##+ ", PAGE, flags=re.M)
    found = [(re.match(r"(\w+) `(\w)`", part), part) for part in parts]
    return {f"{head[1]} {head[2]}": part for head, part in found if head}


def fields_of(part: str) -> list[tuple[str, str]]:
    return re.findall(r"^\| `(\w+)` \| ([^|]*?) \|", part, flags=re.M)


def test_every_message_has_its_section_and_its_tag() -> None:
    assert set(sections()) == {f"{name} {one.__struct_config__.tag}" for name, one in MESSAGES.items()}


@pytest.mark.parametrize("name", MESSAGES)
def test_fields_stand_in_order_with_their_bounds(name: str) -> None:
    one = MESSAGES[name]
    told = [(field, kind) for field, kind in fields_of(sections()[f"{name} {one.__struct_config__.tag}"])]
    shape = inspect.type_info(one)
    assert isinstance(shape, inspect.StructType)
    told = told[: len(shape.fields)]  # tables of rows and events follow
    assert [field for field, _ in told] == [field.name for field in shape.fields]
    for (field, kind), real in zip(told, shape.fields, strict=True):
        assert ("default" in kind) == (not real.required), field
        assert_bounds(f"{name}.{field}", kind, real.type)


def assert_bounds(where: str, kind: str, real: Any) -> None:
    """What the page calls a type is what the decoder takes."""
    low, high = bounds(kind)
    match real:
        case inspect.IntType():
            assert (real.ge, real.le) == (low, high), where
        case inspect.StrType() | inspect.BytesType() | inspect.DictType():
            assert (real.min_length or None, real.max_length) == (low or None, high), where
        case inspect.ListType():
            assert real.max_length == high, where
        case inspect.BoolType():
            assert kind.startswith("bool"), where


def bounds(kind: str) -> tuple[int | None, int | None]:
    kind = kind.split(",")[0] if "default" in kind else kind
    word, _, rest = kind.partition(" ")
    numbers = [number(text) for text in re.findall(rf"({MINUS}?[\d,]+(?:\^\d+)?(?: MiB)?)", rest)]
    if "…" in rest:
        return numbers[0], numbers[1]
    if "≤" in rest:
        return None, numbers[0]
    return NAMED.get(word, (None, None))


def number(text: str) -> int:
    text = text.replace(MINUS, "-").replace(",", "")
    if text.endswith(" MiB"):
        return int(text.removesuffix(" MiB")) << 20
    base, _, power = text.partition("^")
    return int(base) ** int(power or 1)


def test_every_example_is_a_golden_message() -> None:
    known = {text for names in golden()[VERSION].values() for text in names.values()}
    examples = re.findall(r"^[0-9a-f]{10,}$", PAGE, flags=re.M)
    assert len(examples) == 9
    assert set(examples) <= known


def test_version_and_schema_are_those_of_the_code() -> None:
    assert f"Protocol **{VERSION}**, schema `{m.schema_digest().hex()}`" in PAGE
    assert json.loads(GOLDEN.read_text())["schema"][VERSION] in PAGE


def test_rows_lie_as_the_page_says() -> None:
    told = re.findall(r"\| (\d+) \| `(\w+)` \| [iu]\d+", PAGE)
    assert {name: int(offset) for offset, name in told} == {name: ROW.fields[name][1] for name in ROW.names or ()}  # type: ignore[index]
    for kind in Kind:
        assert re.search(rf"^\| [\d ]*\b{int(kind)}\b[\d ]* \| [A-Z ]*\b{kind.name}\b", PAGE, flags=re.M), kind


def test_requests_and_their_numbers_are_those_of_the_code() -> None:
    for one in get_args(m.Request):
        names = [field.name for field in msgspec.structs.fields(one)]
        tag = one.__struct_config__.tag
        line = next(
            text for text in PAGE.splitlines() if f"`{tag}` " in text and all(f"`{name}`" in text for name in names)
        )
        found = [line.index(f"`{name}`", line.index(f"`{tag}` ")) for name in names]
        assert found == sorted(found), one
    for enum in (OrderType, TimeInForce, OrderFlag):
        for value in enum:
            assert re.search(rf"\b{int(value)} {value.name}\b", PAGE), value


def test_events_of_orders_have_the_fields_that_the_page_says() -> None:
    for event in events.OrderEvent.__subclasses__():
        line = next(text for text in PAGE.splitlines() if text.startswith(f"| {event.__name__} |"))
        names = [field.name for field in msgspec.structs.fields(event)][3:]
        assert re.findall(r"`(\w+)`", line.split("|")[2]) == names


def test_every_reason_that_the_roles_give_is_on_the_page() -> None:
    live = Path(m.__file__).parent
    given: set[str] = set()
    for file in ("broker_role.py", "feed_core.py", "pushed_rows.py"):
        text = (live / file).read_text()
        given |= set(re.findall(r'(?:Refused\(|_reject\([^,]+, |^    )"([A-Z_]{4,})"', text, flags=re.M))
    assert given - set(re.findall(r"`([A-Z_]+)`", PAGE)) == set()
    assert len(given) > 12
