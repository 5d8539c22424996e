"""The plain twin of Philox against the known-answer vectors that Random123 publishes (kat_vectors, philox4x32 10)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.testing.philox import draw, philox4x32, uniform

ONES = 0xFFFFFFFF
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_the_cipher_gives_the_published_answers(counter, key, answer) -> None:
    assert philox4x32(counter, key) == answer


def test_a_draw_puts_the_first_word_low() -> None:
    assert draw(0, 0, 0, 0, 0) == 0xE169C58D_6627E8D5


@given(st.integers(0, 2**64 - 1))
def test_a_uniform_draw_is_at_least_0_and_below_1(bits: int) -> None:
    assert 0.0 <= uniform(bits) < 1.0
