"""The wire stays what it was: golden bytes, one digest, minor versions that work both ways, majors that do not."""

from __future__ import annotations

import inspect
import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_messages import GOLDEN, SAMPLES, VERSION, golden

from engine import events
from engine.live import messages as m
from engine.live import schema

EVERY = [(decoder, name) for decoder, samples in SAMPLES.items() for name in samples]
DECODERS = {name: decoder for name, decoder in vars(m).items() if isinstance(decoder, m.Decoder)}
UNIONS = {
    "feed_message": m.FeedMessage,
    "feed_request": m.FeedRequest,
    "feed_reply": m.FeedReply,
    "broker_request": m.BrokerRequest,
    "broker_reply": m.BrokerReply,
    "admin_request": m.AdminRequest,
    "admin_reply": m.AdminReply,
}


@pytest.mark.parametrize(("decoder", "name"), EVERY)
def test_a_message_has_the_bytes_that_the_golden_file_holds(decoder: str, name: str) -> None:
    assert m.encode(SAMPLES[decoder][name]).hex() == golden()[VERSION][decoder][name], (
        "bytes of this version differ: append fields with defaults and raise PROTOCOL, then run sample_messages.py"
    )


@pytest.mark.parametrize(
    ("version", "decoder", "name"),
    [(v, d, n) for v, decoders in golden().items() for d, names in decoders.items() for n in names],
)
def test_bytes_of_every_minor_version_are_read(version: str, decoder: str, name: str) -> None:
    assert int(version.split(".")[0]) == m.PROTOCOL[0]
    message = DECODERS[decoder](bytes.fromhex(golden()[version][decoder][name]))
    if version == VERSION:
        assert message == SAMPLES[decoder][name]


@pytest.mark.parametrize("decoder", DECODERS)
def test_each_message_of_a_direction_is_in_the_golden_file(decoder: str) -> None:
    assert {type(message) for message in SAMPLES[decoder].values()} == set(get_args(UNIONS[decoder]))


def test_each_request_and_each_event_is_in_the_golden_file() -> None:
    requests = {type(r) for message in SAMPLES["broker_request"].values() for r in getattr(message, "requests", ())}
    told = {type(message.event) for message in SAMPLES["broker_reply"].values() if isinstance(message, m.Watermark)}
    assert requests == set(get_args(m.Request))
    assert told == set(get_args(events.AnyEvent))


def test_the_schema_of_a_version_does_not_change() -> None:
    kept = json.loads(GOLDEN.read_text())["schema"]
    assert m.schema_digest().hex() == kept[VERSION], (
        "messages differ from what this version says: see sample_messages.py"
    )


# --- the digest -------------------------------------------------------------------------------------------------------


class Plain(msgspec.Struct, array_like=True, tag="A"):
    """A message."""

    price: int
    size: int


def variant(fields: list[Any], *, doc: str = "", **options: Any) -> type:
    made = msgspec.defstruct("Plain", fields, **{"array_like": True, "tag": "A", **options})
    made.__doc__ = doc
    return made


FIELDS: list[Any] = [("price", int), ("size", int)]


def test_docstrings_are_not_part_of_the_schema() -> None:
    assert schema.digest(1, [variant(FIELDS, doc="Other words.")]) == schema.digest(1, [Plain])


@pytest.mark.parametrize(
    "other",
    [
        variant(FIELDS[::-1]),
        variant([("price", int), ("quantity", int)]),
        variant([("price", int), ("size", str)]),
        variant([("price", int), ("size", m.Small)]),
        variant([*FIELDS, ("later", int, 0)]),
        variant([("price", int), ("size", int, 0)]),
        variant(FIELDS, tag="B"),
        variant(FIELDS, array_like=False),
        variant(FIELDS, forbid_unknown_fields=True),
    ],
    ids=["order", "name", "type", "bound", "appended", "default", "tag", "map", "strict"],
)
def test_whatever_changes_the_bytes_or_who_reads_them_changes_the_schema(other: type) -> None:
    assert schema.digest(1, [other]) != schema.digest(1, [Plain])


def test_what_has_no_bound_on_the_wire_is_refused() -> None:
    with pytest.raises(TypeError, match="has no place on the wire"):
        schema.digest(1, [variant([("price", float)])])


# --- versions ---------------------------------------------------------------------------------------------------------

STRUCTS = sorted(
    {
        made
        for made in vars(m).values()
        if inspect.isclass(made) and issubclass(made, msgspec.Struct) and made not in (m.Message, m.OrderMessage)
    },
    key=lambda made: made.__name__,
)
ORDER_PATH = [s for s in STRUCTS if issubclass(s, m.OrderMessage)] + [*get_args(m.Request), m.WakeTerms, m.ProbeTerms]
TOLERANT = [s for s in STRUCTS if s not in ORDER_PATH]


def sample_of(struct: type) -> Any:
    """A message, or a part of one, of this type."""
    whole = [message for samples in SAMPLES.values() for message in samples.values()]
    parts = [part for message in whole for part in parts_of(message)]
    parts += [deeper for part in parts if isinstance(part, msgspec.Struct) for deeper in parts_of(part)]
    return next(part for part in whole + parts if type(part) is struct)


def parts_of(message: Any) -> list[Any]:
    values = [getattr(message, field.name) for field in msgspec.structs.fields(message)]
    return [part for value in values for part in (value if isinstance(value, (list, tuple)) else [value])]


def next_minor(struct: type) -> type:
    """The struct as a later minor version would have it: one more field, with a default."""
    options = struct.__struct_config__
    fields: list[Any] = []
    for f in msgspec.structs.fields(struct):
        fields.append((f.name, f.type) if f.required else (f.name, f.type, f.default))
    return msgspec.defstruct(
        struct.__name__,
        [*fields, ("later", m.Count, 7)],
        array_like=True,
        tag=options.tag,
        forbid_unknown_fields=options.forbid_unknown_fields,
    )


@pytest.mark.parametrize("struct", TOLERANT, ids=lambda struct: struct.__name__)
def test_a_field_that_a_later_minor_version_appends_is_passed_over(struct: type) -> None:
    sample = sample_of(struct)
    later = msgspec.convert([*as_array(sample), 9], next_minor(struct))
    assert msgspec.msgpack.decode(m.encode(later), type=struct) == sample


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_a_field_that_an_earlier_minor_version_lacks_has_its_default(struct: type) -> None:
    assert msgspec.msgpack.decode(m.encode(sample_of(struct)), type=next_minor(struct)).later == 7


@pytest.mark.parametrize("struct", ORDER_PATH, ids=lambda struct: struct.__name__)
def test_the_order_path_refuses_what_it_does_not_know(struct: type) -> None:
    longer = m.encode([*as_array(sample_of(struct)), 9])
    with pytest.raises(msgspec.ValidationError, match="length"):
        msgspec.msgpack.decode(longer, type=struct)


def as_array(message: Any) -> list[Any]:
    return msgspec.msgpack.decode(m.encode(message))


MAJOR, MINOR = m.PROTOCOL
OTHER = bytes(16)


@pytest.mark.parametrize("strict", [False, True])
def test_the_same_version_agrees_and_another_major_never(strict: bool) -> None:
    assert m.disagreement(m.PROTOCOL, m.schema_digest(), strict=strict) == ""
    for major in (MAJOR - 1, MAJOR + 1):
        text = m.disagreement((major, MINOR), m.schema_digest(), strict=strict)
        assert text.startswith(f"the peer speaks protocol {major}.{MINOR}, this side {MAJOR}.{MINOR}")


@pytest.mark.parametrize("strict", [False, True])
def test_the_same_version_with_other_messages_is_refused(strict: bool) -> None:
    assert "the messages differ" in m.disagreement(m.PROTOCOL, OTHER, strict=strict)


def test_a_newer_minor_gets_market_data_but_sends_no_orders() -> None:
    newer = (MAJOR, MINOR + 1)
    assert m.disagreement(newer, OTHER, strict=False) == ""
    assert "newer than" in m.disagreement(newer, OTHER, strict=True)


def test_an_older_minor_gets_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(m, "PROTOCOL", (MAJOR, MINOR + 1))
    assert [m.disagreement((MAJOR, MINOR), OTHER, strict=strict) for strict in (False, True)] == ["", ""]


# --- what is no message -----------------------------------------------------------------------------------------------

DEEP = b"\x91" * 60_000 + b"\xc0"
FORGED = b"\xdd\xff\xff\xff\xff"
NUMBERS = {"2^64-1": b"\xcf" + b"\xff" * 8, "NaN": b"\xcb\x7f\xf8" + bytes(6), "inf": b"\xcb\x7f\xf0" + bytes(6)}


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    "bad", [b"", b"\xc1", b"\x90", b"\x91\xa1?", b"\x92\xa1B\xa1\xff", DEEP, FORGED, b"\x81\xa1\xff\x01"], ids=range(8)
)
def test_bytes_that_are_no_message_are_refused_and_nothing_else(decoder: str, bad: bytes) -> None:
    with pytest.raises(m.BadMessage) as refused:
        DECODERS[decoder](bad)
    assert refused.value.reason == "MALFORMED"


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_beyond_the_bounds_are_refused(number: str) -> None:
    frame = m.encode(SAMPLES["broker_request"]["Beat"]).replace(b"\x2b", NUMBERS[number], 1)  # 43
    with pytest.raises(m.BadMessage):
        m.broker_request(frame)


def test_a_frame_longer_than_its_limit_is_not_read() -> None:
    with pytest.raises(m.BadMessage, match="65537 bytes, but at most 65536 are read") as refused:
        m.broker_request(b"\xc0" * 65_537)
    assert refused.value.reason == "TOO_LONG"


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    for decoder in DECODERS.values():
        try:
            message = decoder(data)
        except m.BadMessage:
            continue
        assert decoder(m.encode(message)) == message
