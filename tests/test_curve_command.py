"""``tickwright curve``: the par curve of a day and of many, relative value, and files that cannot be."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv as pa_csv
from pyarrow import parquet

from engine.cli import main
from engine.rates.gc_repo import GcRepo
from engine.rates.par_day import Issuer, fit_day
from engine.rates.par_report import relative_value
from engine.rates.synthetic_treasuries import treasury_bonds, treasury_day

DAY = "2018-07-17"
REPO = "0.0200,0.0203,0.0210,0.0219"


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err


@pytest.fixture(scope="module")
def columns() -> dict[str, Any]:
    """A day's universe as a file has it."""
    bonds = treasury_bonds("1996-01", "2018-07", seed=1)
    universe, _ = treasury_day(bonds, DAY, seed=2)
    names = ("isin", "kind", "issue", "maturity", "coupon", "clean_price", "repo_6m")
    return {name: getattr(universe, name).copy() for name in names}


@pytest.fixture
def file(tmp_path: Path, columns: dict[str, Any]) -> Path:
    return write(tmp_path / "universe.csv", columns)


def write(file: Path, columns: dict[str, Any]) -> Path:
    table = pa.table({name: pa.array(column) for name, column in columns.items()})
    if file.suffix == ".csv":
        pa_csv.write_csv(table, file)
    else:
        parquet.write_table(table, file)
    return file


def test_a_sample_is_fitted_and_says_so_with_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, page = tmp_path / "sample", tmp_path / "curve.html"
    made = answer(capsys, "curve", "sample", str(folder), "--days", "2")
    assert (made["synthetic"], made["days"]) == (True, 2)
    words = ["curve", "fit", str(folder / "universe.csv"), "--repo", str(folder / "repo.csv"), "--settle", DAY]
    assert main([*words, "--html", str(page)]) == 0
    told = capsys.readouterr().out
    assert "bp of yield (each bond left out:" in told
    assert "on-the-run 10-year" in told
    html = page.read_text()
    assert "Par, zero and forward curve" in html
    assert "0.04 years to maturity" in html
    assert "http" not in html.split("</script>")[-1]
    assert "exists; choose another folder" in complaint(capsys, "curve", "sample", str(folder))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_file_gives_what_the_functions_give(
    tmp_path: Path, columns: dict[str, Any], capsys: pytest.CaptureFixture[str], form: str
) -> None:
    file = write(tmp_path / f"universe.{form}", columns)
    found = answer(capsys, "curve", "fit", str(file), "--repo", REPO, "--settle", DAY)
    universe, _ = treasury_day(treasury_bonds("1996-01", "2018-07", seed=1), DAY, seed=2)
    quoted = [float(rate) for rate in REPO.split(",")]
    repo = GcRepo.from_act_360(*quoted)
    day = fit_day(universe, np.datetime64(DAY), repo, Issuer(repo_basis=360.0))
    assert found["rmse_bp"] == pytest.approx(day.enhanced.rmse * 1e4, abs=1e-9)
    assert found["powers"] == pytest.approx(day.enhanced.curve.powers.tolist(), rel=1e-9)
    assert found["bonds"] == day.rows.size
    assert set(found["excluded"]) == set(universe.isin[~day.basket.in_fit])
    at = found["curve"]["years"].index(10.0)
    assert found["curve"]["par_yield"][at] == pytest.approx(float(day.enhanced.curve.par_yield(10.0)), abs=1e-12)

    rows = answer(capsys, "curve", "report", str(file), "--repo", REPO, "--settle", DAY, "--horizon-days", "60")
    report = relative_value(day, horizon_days=60)
    assert [row["isin"] for row in rows["bonds"]] == report.isin.tolist()
    assert [row["slide_bp"] for row in rows["bonds"]] == pytest.approx(report.slide_bp.tolist(), abs=1e-9)
    assert [row["carry_bp"] for row in rows["bonds"]] == pytest.approx(report.carry_bp.tolist(), abs=1e-9)


def test_a_report_is_printed_written_and_drawn(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, page = tmp_path / "value.csv", tmp_path / "value.html"
    words = ["curve", "report", str(file), "--repo", REPO, "--settle", DAY, "--out", str(out), "--html", str(page)]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "Relative value over 91 days, bp" in told
    assert "(beyond the curve)" in told
    with out.open() as lines:
        rows = list(csv.DictReader(lines))
    assert {"isin", "yield_error_bp", "left_out_bp", "carry_bp", "slide_bp", "carry_and_slide_bp"} <= set(rows[0])
    assert len(rows) > 200
    assert "Carry and slide over 91 days" in page.read_text()
    assert "exists; choose another --out file" in complaint(capsys, *words)


def test_a_history_has_a_row_a_day_and_names_the_days_without_a_fit(
    tmp_path: Path, columns: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    size = columns["isin"].size
    days = [np.datetime64(DAY) - 1, np.datetime64(DAY)]
    twice = {name: np.concatenate([column, column]) for name, column in columns.items()}
    twice["date"] = np.repeat(days, size)
    twice["clean_price"] = twice["clean_price"].copy()
    twice["clean_price"][:size] = np.nan
    file = write(tmp_path / "universe.parquet", twice)
    rates = np.array([[float(rate) for rate in REPO.split(",")]] * 2)
    names = dict(zip(GcRepo._fields, rates.T, strict=True))
    repo = write(tmp_path / "repo.csv", {"date": np.array(days), **names})
    out, page = tmp_path / "history.csv", tmp_path / "history.html"
    words = ["curve", "history", str(file), "--repo", str(repo)]
    found = answer(capsys, *words, "--out", str(out), "--html", str(page))
    assert found["days"] == 1
    assert list(found["refused"]) == [str(days[0])]
    assert "clean_price" in found["refused"][str(days[0])]
    assert found["history"]["rmse_bp"][0] is None
    assert found["history"]["rmse_bp"][1] == pytest.approx(0.97, abs=0.15)
    assert len(out.read_text().splitlines()) == 3
    assert "1-day zero rate and overnight GC repo" in page.read_text()
    assert main(words) == 0
    assert "1 refused" in capsys.readouterr().out


def test_options_change_the_basket(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["curve", "fit", str(file), "--repo", REPO, "--settle", DAY]
    plain = answer(capsys, *words)
    kept = answer(capsys, *words, "--keep-newest", "--special-bp", "1000", "--knots", "4")
    assert kept["bonds"] == plain["bonds"] + plain["left_out"]["newest"] + plain["left_out"]["special"]
    assert len(kept["knots"]) == 4
    annual = answer(capsys, *words, "--coupons-a-year", "1")
    assert annual["rmse_bp"] != plain["rmse_bp"]


def test_what_is_wrong_with_a_file_is_one_sentence_with_place_and_cure(
    tmp_path: Path, columns: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    def told(change: dict[str, Any], *words: str) -> str:
        file = write(tmp_path / "bad.csv", {**columns, **change})
        return complaint(capsys, "curve", "fit", str(file), "--repo", REPO, "--settle", DAY, *words)

    percent = columns["coupon"] * 100
    assert "but must be a decimal from 0 to 0.25; 4.25 % a year is 0.0425 (bond NOTE" in told({"coupon": percent})
    isin = columns["isin"].copy()
    isin[9] = isin[8]
    assert f"isin[9] is {isin[8]}, but must be there once" in told({"isin": isin})
    price = columns["clean_price"].copy()
    price[100] = np.nan
    assert "clean_price[100] is nan" in told({"clean_price": price})
    maturity = columns["maturity"].copy()
    maturity[7] = np.datetime64(DAY)
    assert "maturity[7] is 2018-07-17, but must be after settlement, 2018-07-17" in told({"maturity": maturity})
    words = np.array(["x"] * isin.size)
    assert "column coupon holds what is no number" in told({"coupon": words})
    few = {name: column[50:57] for name, column in columns.items()}
    assert "ask for at most" in told(few, "--keep-newest")


def test_what_is_wrong_with_the_words_is_one_sentence_too(
    tmp_path: Path, file: Path, columns: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    fit = ["curve", "fit", str(file)]
    assert "has no column date; add it, or say" in complaint(capsys, *fit, "--repo", REPO)
    assert "--settle July is no date; write it as" in complaint(capsys, *fit, "--repo", REPO, "--settle", "July")
    assert "neither a file nor four rates" in complaint(capsys, *fit, "--repo", "0.02,0.02", "--settle", DAY)
    assert "2.1 % is 0.021" in complaint(capsys, *fit, "--repo", "2.0,2.03,2.1,2.19", "--settle", DAY)
    assert "--repo-basis is 36" in complaint(capsys, *fit, "--repo", REPO, "--settle", DAY, "--repo-basis", "36")
    missing = write(tmp_path / "missing.csv", {"isin": columns["isin"]})
    assert "has no column issue, maturity, coupon, clean_price" in complaint(
        capsys, "curve", "fit", str(missing), "--repo", REPO
    )
    absent = ["curve", "fit", str(tmp_path / "absent.csv"), "--repo", REPO]
    assert "cannot be read as a table" in complaint(capsys, *absent)
    repo = write(
        tmp_path / "repo.csv",
        {"date": np.array([np.datetime64("2018-01-02")]), **{name: [0.02] for name in GcRepo._fields}},
    )
    assert f"has no row of {DAY}" in complaint(capsys, *fit, "--repo", str(repo), "--settle", DAY)
    dates = np.array([np.datetime64(DAY)] * 2)
    repo = write(tmp_path / "twice_repo.csv", {"date": dates, **{name: [0.02, 0.02] for name in GcRepo._fields}})
    assert f"has 2 rows of {DAY}; keep one row a day" in complaint(capsys, *fit, "--repo", str(repo), "--settle", DAY)
    assert "knots is -1" in complaint(capsys, *fit, "--repo", REPO, "--settle", DAY, "--knots", "-1")
    undated = {**columns, "date": np.full(columns["isin"].size, np.datetime64("NaT"), "datetime64[D]")}
    told = complaint(capsys, "curve", "history", str(write(tmp_path / "undated.parquet", undated)), "--repo", REPO)
    assert "row 0 has no date; fill it in" in told
    twice = {name: np.concatenate([column, column]) for name, column in columns.items()}
    twice["date"] = np.repeat([np.datetime64("2018-07-16"), np.datetime64(DAY)], columns["isin"].size)
    both = write(tmp_path / "twice.csv", twice)
    assert "has 2 days, 2018-07-16 to 2018-07-17; choose one" in complaint(
        capsys, "curve", "fit", str(both), "--repo", REPO
    )
    assert "horizon_days is 400" in complaint(
        capsys, "curve", "report", str(file), "--repo", REPO, "--settle", DAY, "--horizon-days", "400"
    )
