"""Tapes are saved whole, opened without reading, and refused when damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TapeError
from engine.instruments import Instrument
from engine.tape import ROW, Flag, Kind, Manifest, Tape

LAST = int(Flag.LAST)


def a_tape(n: int = 5, panels: dict[str, np.ndarray] | None = None) -> Tape:
    rows = np.zeros(n, ROW)
    rows["ts_event"], rows["kind"], rows["price"], rows["size"], rows["flags"] = np.arange(n), Kind.TRADE, 7, 1, LAST
    return Tape(rows, Manifest(name="a", instruments=[Instrument(symbol="A", book="NONE", levels=0)]), panels)


@given(n=st.integers(0, 40), days=st.integers(0, 3))
def test_a_tape_comes_back_as_it_was_saved(tmp_path_factory, n, days):
    panels = {"curve": np.arange(days * 4.0).reshape(days, 4)} if days else {}
    tape = a_tape(n, panels)
    folder = tape.save(tmp_path_factory.mktemp("tapes") / "one")
    again = Tape.load(folder)
    assert again.rows.tobytes() == tape.rows.tobytes()
    assert again.manifest == tape.manifest
    assert again.content_hash() == tape.manifest.content
    assert again.panels.keys() == panels.keys()
    assert all(np.array_equal(again.panels[name], panels[name]) for name in panels)


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/b", ".hidden", "", "a\\b", "a\nb"])
def test_a_panel_whose_name_leads_elsewhere_is_not_written(tmp_path, name):
    with pytest.raises(TapeError, match="cannot be a file"):
        a_tape(panels={name: np.zeros(1)}).save(tmp_path / "in" / "t")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_rows_are_mapped_not_read(tmp_path):
    assert isinstance(Tape.load(a_tape().save(tmp_path / "t")).rows, np.memmap)


def test_clock_rows_do_not_change_the_content(tmp_path):
    tape, rows = a_tape(), a_tape(6).rows
    rows["kind"][5] = Kind.CLOCK
    assert Tape(rows, tape.manifest).content_hash() == tape.content_hash()
    clocks_only = rows[5:]
    assert Tape(clocks_only, tape.manifest).content_hash() == a_tape(0).content_hash()


@given(at=st.integers(0, 5 * 64 - 1), bit=st.integers(0, 7))
def test_every_flipped_bit_of_the_rows_changes_the_content(at, bit):
    tape = a_tape()
    before = tape.content_hash()
    tape.rows.view(np.uint8)[at] ^= 1 << bit
    if (tape.rows["kind"] != Kind.CLOCK).all():
        assert tape.content_hash() != before


def test_a_damaged_header_of_the_rows_is_refused(tmp_path):
    file = a_tape().save(tmp_path / "t") / "rows.npy"
    whole = file.read_bytes()
    for at in range(128):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x80]) + whole[at + 1 :])
        with pytest.raises(TapeError):
            Tape.load(tmp_path / "t")


def test_a_tape_is_not_overwritten_unasked(tmp_path):
    a_tape().save(tmp_path / "t")
    with pytest.raises(TapeError, match="exists; name another folder or allow overwriting"):
        a_tape().save(tmp_path / "t")
    assert len(Tape.load(a_tape(9).save(tmp_path / "t", overwrite=True))) == 9


def test_a_failed_save_leaves_nothing_behind(tmp_path, monkeypatch):
    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        a_tape().save(tmp_path / "t")
    assert list(tmp_path.iterdir()) == []


def test_a_tape_out_of_order_is_not_sealed(tmp_path):
    tape = a_tape()
    tape.rows["ts_event"][3] = 0
    with pytest.raises(TapeError, match="row 3 goes back in time"):
        tape.save(tmp_path / "t")
    assert list(tmp_path.iterdir()) == []


def spoil_manifest(folder: Path, **fields: object) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


DAMAGES = [
    (lambda folder: (folder / "manifest.json").unlink(), r"no tape here .*tickwright data import"),
    (lambda folder: (folder / "manifest.json").write_text("{"), r"manifest\.json: .*import the tape again"),
    (lambda folder: (folder / "rows.npy").unlink(), r"rows\.npy: cannot be read"),
    (lambda folder: (folder / "rows.npy").write_bytes(b"no array"), r"rows\.npy: cannot be read"),
    (lambda folder: np.save(folder / "rows.npy", np.zeros(5)), r"holds float64, not 64-byte rows"),
    (lambda folder: np.save(folder / "rows.npy", a_tape(4).rows), r"4 rows, but the manifest says 5"),
    (lambda folder: spoil_manifest(folder, ts_last=99), r"rows begin or end at other times than the manifest says"),
    (lambda folder: spoil_manifest(folder, version=2), r"tape version 2, this engine reads 1"),
    (lambda folder: spoil_manifest(folder, colour="red"), r"unknown field `colour`"),
]


@pytest.mark.parametrize(("spoil", "says"), DAMAGES)
def test_a_damaged_tape_is_refused_with_a_cure(tmp_path, spoil, says):
    folder = a_tape().save(tmp_path / "t")
    spoil(folder)
    with pytest.raises(TapeError, match=says):
        Tape.load(folder)


def test_a_truncated_rows_file_is_refused(tmp_path):
    folder = a_tape().save(tmp_path / "t")
    whole = (folder / "rows.npy").read_bytes()
    for length in (0, 5, 100, len(whole) - 1):
        (folder / "rows.npy").write_bytes(whole[:length])
        with pytest.raises(TapeError, match="import the tape again"):
            Tape.load(folder)
