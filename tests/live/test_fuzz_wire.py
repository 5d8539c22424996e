"""Damaged messages of every type: refused with a reason, or taken by what takes them; nothing else, ever."""

from __future__ import annotations

import msgspec
import pytest
from fuzz_wire import Fault, fuzz
from hypothesis import given
from hypothesis import strategies as st
from wire_mutations import CHUNK, Mutations, Span, values
from wire_targets import READERS, seeds

from engine.live import messages as m

TYPES = list(seeds())
called = pytest.mark.parametrize(("decoder", "kind"), TYPES, ids=[" ".join(one) for one in TYPES])
quickly = pytest.mark.parametrize("decoder", READERS)


@quickly
def test_each_decoder_and_its_readers_stand_some_thousand_messages(decoder: str) -> None:
    kind = next(kind for other, kind in TYPES if other == decoder)
    found = fuzz(decoder, kind, CHUNK)
    assert found.accepted + found.refused.total() == found.mutations == CHUNK
    assert found.accepted > 0


@pytest.mark.slow
@called
def test_each_type_stands_a_hundred_thousand_messages(decoder: str, kind: str) -> None:
    found = fuzz(decoder, kind, 100_000)
    assert found.accepted + found.refused.total() == found.mutations
    assert found.accepted > found.mutations // 100, "too few get through to try what takes them"


def test_a_planted_fault_is_found_and_its_message_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fragile:
        def take(self, frame: bytes, message: m.Batch) -> bool:
            return message.n >= 0 or 1 // 0 > 0

    monkeypatch.setitem(READERS, "feed_message", [Fragile])
    with pytest.raises(Fault, match=r"ZeroDivisionError: .*\nframe: 97a142") as found:
        fuzz("feed_message", "Batch", 100_000)
    frame = bytes.fromhex(str(found.value).rsplit(" ", 1)[1])
    assert m.feed_message(frame).n == -1


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=4), inner, max_size=20),
    max_leaves=20,
)


@given(value=anything)
def test_messages_are_cut_between_their_values(value: object) -> None:
    data = msgspec.msgpack.encode(value)
    spans = values(data)
    assert spans[-1] == Span(0, spans[-1].head, len(data))
    for span in spans:
        msgspec.msgpack.decode(data[span.begin : span.end])  # a whole value


def test_the_same_seed_damages_the_same_way() -> None:
    every = [frame for frames in seeds().values() for frame in frames]
    first, again = (list(Mutations(every, [], 7).take()) for _ in range(2))
    assert first == again
    assert list(Mutations(every, [], 8).take()) != first
