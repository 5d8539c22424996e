"""A tape goes to parquet and comes back the same."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from small_tapes import tapes

from engine.errors import TapeError
from engine.tape import ROW, Kind, Tape
from feeds import export
from feeds.export import export_parquet
from feeds.importers import IMPORTERS


@given(tapes("A"))
def test_a_round_trip_changes_nothing(tmp_path_factory, tape):
    file = export_parquet(tape, tmp_path_factory.mktemp("export") / "a.parquet")
    (again,) = IMPORTERS["parquet"](file)
    assert again.rows.tobytes() == tape.rows.tobytes()
    assert again.manifest == tape.manifest


def test_panels_travel_too(tmp_path):
    rows = np.zeros(1, ROW)
    rows["kind"], rows["flags"] = Kind.CLOSE, 1
    panels = {"curve": np.arange(6.0).reshape(2, 3), "days": np.array([1, 2])}
    one = Tape(rows, _manifest(), panels)
    (again,) = IMPORTERS["parquet"](export_parquet(one, tmp_path / "a.parquet"))
    assert again.panels.keys() == panels.keys()
    assert all(np.array_equal(again.panels[name], panels[name]) for name in panels)
    assert again.content_hash() == one.content_hash()


def _manifest():
    from engine.instruments import Instrument
    from engine.tape import Manifest

    return Manifest(name="a", instruments=[Instrument(symbol="A", book="NONE", price_unit="1/8")])


def _tape(n: int = 3) -> Tape:
    rows = np.zeros(n, ROW)
    rows["ts_event"], rows["kind"], rows["flags"] = np.arange(n), Kind.TRADE, 1
    return Tape(rows, _manifest())


def test_the_units_are_in_the_files_metadata(tmp_path):
    metadata = pq.read_schema(export_parquet(_tape(), tmp_path / "a.parquet")).metadata
    assert json.loads(metadata[export.MANIFEST])["instruments"][0]["price_unit"] == "1/8"


def test_an_export_is_whole_or_not_at_all(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_table", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            export_parquet(_tape(), tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []
    file = export_parquet(_tape(), tmp_path / "a.parquet")
    with pytest.raises(TapeError, match="exists; name another file"):
        export_parquet(_tape(), file)
    export_parquet(_tape(5), file, overwrite=True)
    assert len(IMPORTERS["parquet"](file)[0]) == 5


def test_a_file_of_another_maker_or_out_of_order_is_refused(tmp_path):
    import pandas as pd

    other = tmp_path / "other.parquet"
    pd.DataFrame({"x": [1]}).to_parquet(other)
    with pytest.raises(TapeError, match="give a column map"):
        IMPORTERS["parquet"](other)
    wrong = _tape()
    wrong.rows["ts_event"][2] = -1
    with pytest.raises(TapeError, match="row 2 goes back in time"):
        IMPORTERS["parquet"](export_parquet(wrong, tmp_path / "wrong.parquet"))
    with pytest.raises(TapeError, match="no such file"):
        IMPORTERS["parquet"](tmp_path / "gone.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "wrong.parquet").read_bytes()[:-20])
    with pytest.raises(TapeError, match="cannot be read as a parquet file"):
        IMPORTERS["parquet"](tmp_path / "cut.parquet")
