"""Panels in parts: whatever order they come in, a day is whole and as it was sent, or it is not there."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.live import panel_parts
from engine.live.messages import PanelShape
from engine.live.panel_parts import AXIS, PanelConflict, PanelParts, parts_of, shapes_of

PANELS = {
    "level": np.arange(24.0).reshape(4, 3, 2),
    "date": np.arange(4, dtype="<i4"),
    "names": np.array(["ab", "c", "", "d"]),
    "axis_bond": np.array([(b"US1", 2030), (b"US2", 2040)], dtype=[("isin", "S12"), ("matures", "<i4")]),
}
EVERY = [(name, AXIS) if name.startswith("axis_") else (name, day) for name in PANELS for day in range(4)]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel_parts, "PANEL_PART", 20)


def sent(name: str, day: int, panels=PANELS):
    return list(parts_of(panels, name, day, stream="s", epoch=0))


@given(st.data())
def test_parts_in_any_order_and_again_give_the_panels(data: st.DataObject) -> None:
    every = [part for key in dict.fromkeys(EVERY) for part in sent(*key)]
    parts = PanelParts(shapes_of(PANELS))
    for part in data.draw(st.permutations(every + data.draw(st.lists(st.sampled_from(every))))):
        assert parts.add(part)
    for name, panel in PANELS.items():
        assert parts.arrays[name].dtype == panel.dtype
        assert parts.arrays[name].shape == panel.shape
        assert parts.arrays[name].tobytes() == panel.tobytes()
    assert not list(parts.lacking_axes())
    assert not list(parts.lacking(["level", "date", "names"], 3))


@given(st.integers(0, 3), st.integers(0, 2), st.integers(0, 7))
def test_a_day_that_is_not_what_was_hashed_is_asked_for_again(day: int, part: int, byte: int) -> None:
    parts, wrong = PanelParts(shapes_of(PANELS)), sent("level", day)
    data = bytearray(wrong[part].data)
    data[byte] ^= 1
    wrong[part] = msgspec.structs.replace(wrong[part], data=bytes(data))
    assert [parts.add(one) for one in wrong] == [True, True, False]
    assert len(parts.missing([("level", day)], 99)) == 3
    assert all(parts.add(one) for one in sent("level", day))
    assert not parts.missing([("level", day)], 99)


def test_parts_of_two_versions_do_not_mix() -> None:
    parts, other = PanelParts(shapes_of(PANELS)), sent("level", 1, {**PANELS, "level": PANELS["level"] + 1})
    one = sent("level", 1)
    assert parts.add(one[0])
    assert parts.add(other[1])
    assert parts.add(one[2])  # of the first version again: what came between is forgotten
    assert [want.part for want in parts.missing([("level", 1)], 99)] == [0, 1]
    assert all(parts.add(part) for part in one)
    with pytest.raises(PanelConflict, match="day 1 of the panel level came again with other content"):
        parts.add(other[0])


@pytest.mark.parametrize(
    "shape",
    [
        PanelShape("x", "|O", (2,), 3),
        PanelShape("x", "<f8,<f8", (2,), 3),
        PanelShape("x", '[["a","|O"]]', (2,), 3),
        PanelShape("x", '[["a","<f8"],["a","<f8"]]', (2,), 3),
        PanelShape("x", "[]", (2,), 3),
        PanelShape("x", "", (2,), 3),
        PanelShape("x", "|S0", (2,), 3),
        PanelShape("x", "no such type", (2,), 3),
    ],
    ids=lambda shape: shape.dtype,
)
def test_a_type_that_no_panel_has_is_refused(shape: PanelShape) -> None:
    with pytest.raises(ValueError, match="which no panel has"):
        PanelParts([shape])


def test_panels_that_would_fill_the_memory_are_refused() -> None:
    with pytest.raises(ValueError, match="larger than 4,294,967,296 bytes"):
        PanelParts([PanelShape("x", "<f8", (2**20,), 2**20)])


def test_a_feed_cannot_name_a_panel_that_would_be_written_elsewhere():
    with pytest.raises(ValueError, match="cannot be a file"):
        PanelParts([PanelShape("../../etc/cron.d/x", "<f8", (1,), 1)])
