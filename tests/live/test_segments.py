"""Rows that were synced are there after any crash, or the segments refuse to open; sealed, they are a tape."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from damage import flips, no_file_may_exceed
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import RunError, TapeError
from engine.instruments import Instrument
from engine.live import disk, segments
from engine.live.disk import BALLAST, disk_is_low, release_ballast, set_ballast_aside
from engine.live.high_water import LogDamaged
from engine.live.segment_file import BLOCK, BLOCK_ROWS, HEADER
from engine.live.segments import Segments
from engine.tape import ROW, Flag, Kind, Manifest, Tape


def some_rows(n: int, first: int = 0) -> np.ndarray:
    """Trades, each with its number as its time, and a CLOCK row in five."""
    rows = np.zeros(n, ROW)
    number = np.arange(first, first + n)
    rows["ts_event"] = rows["ts_recv"] = number
    rows["kind"] = np.where(number % 5 == 4, Kind.CLOCK, Kind.TRADE)
    rows["price"] = rows["size"] = np.where(number % 5 == 4, 0, 7)
    rows["flags"] = Flag.LAST
    return rows


def filled(folder: Path, *blocks: int) -> Segments:
    """Segments, still open, with a synced block of each size."""
    kept = Segments(folder, durable=False)
    for n in blocks:
        kept.append(some_rows(n, kept.rows).tobytes())
        kept.sync()
    return kept


def as_after_kill(kept: Segments, folder: Path) -> Path:
    """A copy of the files as they are, which is what kill -9 would leave behind."""
    return Path(shutil.copytree(kept.folder, folder))


def reopened(folder: Path) -> np.ndarray:
    with Segments(folder, durable=False) as kept:
        return kept.read(0, kept.rows)


def refuses(folder: Path) -> bool:
    try:
        Segments(folder, durable=False).close()
    except LogDamaged:
        return True
    return False


# --- what was synced is there -----------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    sessions=st.lists(st.lists(st.tuples(st.integers(0, 3_000), st.booleans()), max_size=4), max_size=3),
    segment_rows=st.sampled_from([1, 1_000, 2_500]),
    cut=st.tuples(st.integers(0, 10_000), st.integers(0, 3_000)),
)
def test_rows_come_back_in_order_wherever_they_are_cut(tmp_path_factory, sessions, segment_rows, cut):
    folder, n = tmp_path_factory.mktemp("tapes") / "rows", 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "SEGMENT_ROWS", segment_rows)
        for appends in sessions:
            with Segments(folder, durable=False) as kept:
                assert kept.rows == n
                for size, is_synced in appends:
                    kept.append(some_rows(size, n).tobytes())
                    n += size
                    assert kept.rows == n
                    if is_synced:
                        assert kept.sync() == n
                first, size = cut
                assert kept.read(first, size).tobytes() == some_rows(n)[first : first + size].tobytes()
        assert reopened(folder).tobytes() == some_rows(n).tobytes()


@settings(max_examples=30)
@given(synced=st.integers(0, 2_500), later=st.integers(0, 2_500))
def test_a_killed_process_loses_only_rows_that_were_not_synced(tmp_path_factory, synced, later):
    folder = tmp_path_factory.mktemp("tapes")
    with filled(folder / "rows", synced) as kept:
        kept.append(some_rows(later, synced).tobytes())
        killed = as_after_kill(kept, folder / "killed")
    left = reopened(killed)
    assert synced <= len(left) <= synced + later
    assert left.tobytes() == some_rows(len(left)).tobytes()
    assert reopened(killed).tobytes() == left.tobytes(), "recovering twice is recovering once"


def test_rows_not_yet_written_can_be_read(tmp_path):
    with filled(tmp_path / "rows", 5) as kept:
        kept.append(some_rows(7, 5).tobytes())
        assert kept.read(3, 100).tobytes() == some_rows(9, 3).tobytes()
        assert len(kept.read(12, 1)) == len(kept.read(50, 1)) == len(kept.read(0, 0)) == 0


def test_rows_that_were_read_cannot_be_changed(tmp_path):
    with filled(tmp_path / "rows", 5) as kept, pytest.raises(ValueError, match="read-only"):
        kept.read(0, 5)["price"] = 1


def test_every_cut_behind_the_last_sync_is_a_torn_tail(tmp_path):
    kept = filled(tmp_path / "rows", 10)
    told = as_after_kill(kept, tmp_path / "told")
    kept.append(some_rows(6, 10).tobytes())
    kept.sync()
    whole = (kept.folder / "000000.open").read_bytes()
    kept.close()
    begin = (told / "000000.open").stat().st_size
    for length in range(begin, len(whole), 5):
        torn = Path(shutil.copytree(told, tmp_path / f"cut{length}"))
        (torn / "000000.open").write_bytes(whole[:length])
        with Segments(torn, durable=False) as again:
            assert again.rows == 10
            assert (torn / "000000.open").stat().st_size == begin
            again.append(some_rows(3, 10).tobytes())
        assert reopened(torn).tobytes() == some_rows(13).tobytes()


# --- or the segments refuse to open -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["000000.rows", "000001.rows", "000002.open", "segments.mark"])
def test_every_flipped_bit_is_seen(tmp_path, monkeypatch, name):
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 9)
    filled(tmp_path / "rows", 4, 4, 1, 5, 5, 2, 1).close()
    for flipped in flips(tmp_path / "rows" / name, 1):
        assert refuses(tmp_path / "rows"), f"{flipped} was not seen"
    assert reopened(tmp_path / "rows").tobytes() == some_rows(22).tobytes()


def test_a_flip_after_opening_is_seen_by_whoever_reads_the_block(tmp_path):
    with filled(tmp_path / "rows", 4, 4) as kept:
        file = tmp_path / "rows" / "000000.open"
        data = bytearray(file.read_bytes())
        data[-1] ^= 128
        file.write_bytes(data)
        assert len(kept.read(0, 4)) == 4
        with pytest.raises(LogDamaged, match="the block of row 4 changed"):
            kept.read(3, 2)


def test_a_bad_block_before_a_good_one_is_damage_even_behind_the_mark(tmp_path):
    kept = filled(tmp_path / "rows", 4)
    told = as_after_kill(kept, tmp_path / "told")
    for n in (5, 6):
        kept.append(some_rows(n, kept.rows).tobytes())
        kept.sync()
    data = bytearray((kept.folder / "000000.open").read_bytes())
    kept.close()
    data[HEADER.size + 2 * BLOCK.size + 4 * 64] ^= 1  # in the second block
    (told / "000000.open").write_bytes(data)
    before = {file.name: file.read_bytes() for file in told.iterdir()}
    for _ in range(2):
        with pytest.raises(LogDamaged, match="a bad block of row 4 before good ones"):
            Segments(told)
    assert {file.name: file.read_bytes() for file in told.iterdir()} == before, "a refused folder stays as it was"


def test_rows_that_were_synced_and_are_gone_are_missed(tmp_path):
    with filled(tmp_path / "rows", 10, 20) as kept:
        killed = as_after_kill(kept, tmp_path / "killed")
    file = killed / "000000.open"
    data = file.read_bytes()
    for length in range(0, len(data), 7):
        file.write_bytes(data[:length])
        with pytest.raises(LogDamaged):
            Segments(killed)


@pytest.mark.parametrize("lost", ["000000.rows", "000001.rows", "000002.open", "segments.mark"])
def test_a_missing_file_is_missed(tmp_path, monkeypatch, lost):
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 5)
    filled(tmp_path / "rows", 5, 5, 3).close()
    (tmp_path / "rows" / lost).unlink()
    with pytest.raises(LogDamaged):
        Segments(tmp_path / "rows")


def test_segments_of_another_tape_do_not_fit_in(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 5)
    filled(tmp_path / "rows", 5, 5, 3).close()
    with Segments(tmp_path / "other", durable=False) as other:
        for first in (100, 105):
            other.append(some_rows(5, first).tobytes())
            other.sync()
    shutil.copy(tmp_path / "other" / "000000.rows", tmp_path / "rows" / "000000.rows")
    with pytest.raises(LogDamaged, match=r"000001.rows does not continue the segment before it at row 5"):
        Segments(tmp_path / "rows")


def test_rows_that_were_changed_together_with_their_checksum_are_seen(tmp_path):
    filled(tmp_path / "rows", 4, 4).close()
    with Segments(tmp_path / "other", durable=False) as other:
        for first in (100, 104):
            other.append(some_rows(4, first).tobytes())
            other.sync()
    shutil.copy(tmp_path / "other" / "000000.open", tmp_path / "rows" / "000000.open")
    with pytest.raises(LogDamaged, match="rows before 8 changed since they were synced"):
        Segments(tmp_path / "rows")


# --- crashes between the steps of going on to the next segment --------------------------------------------------------


@pytest.mark.parametrize("torn_footer", [0, 1, 30])
def test_a_crash_while_sealing_a_segment_loses_nothing(tmp_path, monkeypatch, torn_footer):
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 5)
    filled(tmp_path / "rows", 2, 2).close()
    before = shutil.copytree(tmp_path / "rows", tmp_path / "before")
    filled(tmp_path / "rows", 1, 4).close()
    sealed = (tmp_path / "rows" / "000000.rows").read_bytes()
    for name in ("000000.open", "000001.open", "segments.mark"):
        (before / name).unlink(missing_ok=True)
    (before / "000000.open").write_bytes(sealed[: len(sealed) - torn_footer])
    with Segments(tmp_path / "rows", durable=False) as kept:  # its mark, at the end of segment 0
        mark = kept._segments[0].chain_at(5)
    high_water = segments.HighWater(before / "segments.mark")
    high_water.write(segments.Mark(5, mark))
    high_water.close()
    with Segments(before, durable=False) as kept:
        assert kept.rows == 5
        kept.append(some_rows(4, 5).tobytes())
    assert reopened(before).tobytes() == some_rows(9).tobytes()


def test_a_crash_before_the_next_segment_has_its_header_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 5)
    filled(tmp_path / "rows", 5).close()
    following = tmp_path / "rows" / "000001.open"
    header = following.read_bytes()
    for length in (None, 0, 20, len(header)):
        following.unlink(missing_ok=True)
        if length is not None:
            following.write_bytes(header[:length])
        assert reopened(tmp_path / "rows").tobytes() == some_rows(5).tobytes()
    filled(tmp_path / "rows", 3).close()
    assert reopened(tmp_path / "rows").tobytes() == some_rows(8).tobytes()


# --- sealing ----------------------------------------------------------------------------------------------------------

MANIFEST = Manifest(name="live", instruments=[Instrument(symbol="A", book="NONE", levels=0)])


@pytest.mark.parametrize("n", [0, 3, 5_000])
def test_sealed_segments_are_a_tape_with_all_rows(tmp_path, monkeypatch, n):
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 2_000)
    with Segments(tmp_path / "rows", durable=False) as kept:
        kept.append(some_rows(n).tobytes())
        panels = {"curve": np.arange(4.0).reshape(1, 4)}
        tape = kept.seal(tmp_path / "tape", MANIFEST, panels)
        assert kept.read(0, n).tobytes() == some_rows(n).tobytes()
    again = Tape.load(tmp_path / "tape")
    assert again.rows.tobytes() == tape.rows.tobytes() == some_rows(n).tobytes()
    assert again.content_hash() == tape.manifest.content
    assert np.array_equal(again.panels["curve"], panels["curve"])


def test_a_tape_that_cannot_be_saved_can_be_sealed_again(tmp_path):
    with filled(tmp_path / "rows", 10) as kept:
        (tmp_path / "tape").mkdir()
        with pytest.raises(TapeError, match="exists; name another folder"):
            kept.seal(tmp_path / "tape", MANIFEST)
        assert len(kept.seal(tmp_path / "tape2", MANIFEST)) == 10
        kept.append(some_rows(2, 10).tobytes())
    assert len(reopened(tmp_path / "rows")) == 12


# --- errors and openers -----------------------------------------------------------------------------------------------


def test_an_error_of_the_disk_is_final(tmp_path):
    kept = filled(tmp_path / "rows", 10)
    with no_file_may_exceed((tmp_path / "rows" / "000000.open").stat().st_size + 100):
        kept.append(some_rows(5, 10).tobytes())
        with pytest.raises(RunError, match="rows from 10 on could not be kept"):
            kept.sync()
    for again in (kept.sync, lambda: kept.append(b""), lambda: kept.seal(tmp_path / "tape", MANIFEST)):
        with pytest.raises(RunError, match="end this process, check the disk"):
            again()
    kept.close()
    assert reopened(tmp_path / "rows").tobytes() == some_rows(10).tobytes(), "the torn block is cut off"


def test_half_a_row_is_refused(tmp_path):
    with filled(tmp_path / "rows") as kept, pytest.raises(ValueError, match="100 bytes are not whole rows"):
        kept.append(bytes(100))


def test_a_second_opener_is_refused(tmp_path):
    with filled(tmp_path / "rows", 3), pytest.raises(RunError, match="is open already; end the other process"):
        Segments(tmp_path / "rows")


def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    (tmp_path / "mountinfo").write_text(f"21 20 0:5 / {tmp_path} rw - nfs server:/x rw\n")
    monkeypatch.setattr(disk, "MOUNTS", tmp_path / "mountinfo")
    with pytest.raises(RunError, match="lies on nfs, a network file system"):
        Segments(tmp_path / "rows")


def test_a_full_block_is_64_kib():
    assert 65_536 - 64 < BLOCK.size + 64 * BLOCK_ROWS <= 65_536


# --- room on the disk -------------------------------------------------------------------------------------------------


def test_the_disk_is_low_below_256_mib(tmp_path, monkeypatch):
    for free, is_low in ((256 << 20, False), ((256 << 20) - 4096, True)):
        state = os.statvfs_result((4096, 4096, 1 << 30, free // 4096, free // 4096, 1, 1, 1, 0, 255))
        monkeypatch.setattr(os, "statvfs", lambda path, state=state: state)
        assert disk_is_low(tmp_path) is is_low


def test_ballast_is_real_until_it_is_released(tmp_path):
    set_ballast_aside(tmp_path)
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= BALLAST
    release_ballast(tmp_path)
    release_ballast(tmp_path)
    assert not (tmp_path / "ballast").exists()


def test_no_room_for_the_ballast_says_so_and_leaves_nothing(tmp_path):
    with no_file_may_exceed(1 << 20), pytest.raises(RunError, match="no room for 64 MiB of ballast"):
        set_ballast_aside(tmp_path)
    assert list(tmp_path.iterdir()) == []
