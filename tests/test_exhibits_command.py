"""``tickwright exhibits`` and ``curve zspread``: files and verdicts come out, what is missing or wrong is said."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.cli import main
from engine.rates.bonds import Bonds, accrued, cash_flows
from engine.rates.curves import DiscountCurve
from engine.rates.short_gamma_programme import Market
from engine.rates.z_spread import price_at_z_spread
from engine.reports.exhibits_tape import panels_of, short_gamma_history
from engine.tape import Tape
from feeds.fair_worlds import FairWorlds
from feeds.synthetic_rates import RatesParams, synthetic_rates

DAY = "2018-04-19"
NODES = {"vol_expiries": (30, 91), "vol_tenors": (10.0,), "has_bonds": False}


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 1
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    return told.err


def verdicts(found: Any) -> dict[str, str]:
    return {v["claim"]: v["verdict"] for one in found["exhibits"] for v in one["verdicts"]}


@pytest.fixture(scope="module")
def year() -> Tape:
    return synthetic_rates(RatesParams(years=1, **NODES), seed=3)


@pytest.fixture(scope="module")
def folder(year: Tape, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return year.save(tmp_path_factory.mktemp("tapes") / "year")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Bonds 37 bp above a swap curve, and that curve."""
    curve = DiscountCurve.from_zero_rates([1.0, 30.0], [0.01, 0.03], interpolation="linear zero", beyond="flat")
    maturity = [f"{year}-10-25" for year in (2024, 2026, 2028, 2030, 2032, 2034)]
    coupon = [0.01, 0.06, 0.02, 0.05, 0.015, 0.055]
    bonds = Bonds(maturity, coupon, frequency=1)
    clean = price_at_z_spread(cash_flows(bonds, DAY), np.full(6, 0.0037), curve) - accrued(bonds, DAY)
    named = {"bonds": tmp_path / "bonds.csv", "swap": tmp_path / "swap.csv"}
    write(named["bonds"], isin=[f"XS{k}" for k in range(6)], maturity=maturity, coupon=coupon, clean_price=clean)
    write(named["swap"], years=[1.0, 30.0], zero_rate=[0.01, 0.03])
    return named


def write(file: Path, **columns: Any) -> Path:
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return file


# curve zspread


def test_bonds_at_a_spread_to_the_swap_curve_have_that_z_spread(capsys, files):
    words = ["curve", "zspread", str(files["bonds"]), "--swap", str(files["swap"]), "--settle", DAY]
    found = answer(capsys, *words)
    assert [bond["z_spread_bp"] for bond in found["bonds"]] == pytest.approx([37.0] * 6, abs=1e-6)
    assert found["beta_bp_per_percent"] == pytest.approx(0.0, abs=1e-6)
    with_government = answer(capsys, *words, "--government", str(files["swap"]))
    assert [bond["coupon_adjustment_bp"] for bond in with_government["bonds"]] == pytest.approx([0.0] * 6, abs=1e-6)


def test_without_bonds_the_printed_table_stands_beside_ours(capsys, tmp_path):
    assert main(["curve", "zspread", "--out", str(tmp_path / "cells.csv"), "--html", str(tmp_path / "z.html")]) == 0
    told = capsys.readouterr().out
    assert "12.40 / 12.4" in told
    assert "-6.43 / -8.5*" in told
    assert len((tmp_path / "cells.csv").read_text().splitlines()) == 28
    assert (tmp_path / "z.html").exists()


def test_what_a_bond_or_curve_file_lacks_is_said(capsys, files, tmp_path):
    bonds, swap = str(files["bonds"]), str(files["swap"])
    assert "needs --swap" in complaint(capsys, "curve", "zspread", bonds)
    wrong = str(write(tmp_path / "wrong.csv", years=[1.0], rate=[0.01]))
    assert "has 0 of the columns" in complaint(capsys, "curve", "zspread", bonds, "--swap", wrong, "--settle", DAY)
    assert "no column clean_price" in complaint(
        capsys, "curve", "zspread", str(write(tmp_path / "b.csv", isin=["X"], maturity=["2030-01-01"], coupon=[0.01])),
        "--swap", swap, "--settle", DAY,
    )  # fmt: skip


# exhibits


def test_the_z_spread_exhibits_are_written_with_their_page(capsys, tmp_path):
    out = tmp_path / "z"
    found = answer(capsys, "exhibits", "z-spread", "--out", str(out), "--html")
    assert [one["exhibit"] for one in found["exhibits"]] == list("1234567")
    assert {file.name for file in out.iterdir()} == {
        *(f"exhibit_{n}.csv" for n in range(2, 8)), "verdicts.csv", "exhibits.html",
    }  # fmt: skip
    assert "--yields" in found["exhibits"][0]["missing"]
    assert "exists" in complaint(capsys, "exhibits", "z-spread", "--out", str(out))


def test_yields_of_countries_fill_exhibit_1(capsys, tmp_path):
    days = [str(np.datetime64("2017-01-01") + k) for k in range(200)]
    wobble = np.cumsum(np.random.Generator(np.random.Philox(1)).normal(0, 3e-4, (200, 2)), axis=0)
    file = write(
        tmp_path / "y.csv", date=days, core=[0.005] * 200, Italy=0.02 + wobble[:, 0], Spain=0.015 + wobble[:, 1]
    )
    words = ["exhibits", "z-spread", "--out", str(tmp_path / "z"), "--yields", str(file)]
    found = answer(capsys, *words, "--weights", "2,1")
    assert found["exhibits"][0]["missing"] == ""
    assert len(found["exhibits"][0]["table"]["spread_bp"]) == 200
    assert "are not 2 numbers" in complaint(capsys, *words, "--weights", "1,2,3")


def test_the_par_curve_exhibits_come_from_the_tape_that_ships(capsys, tmp_path):
    found = answer(capsys, "exhibits", "par-curve", "--every", "25", "--out", str(tmp_path / "p"))
    told = verdicts(found)
    assert told["10-year prices vary more than 2-year ones"] == "holds"
    assert told["the 1-day zero rate is overnight GC"] == "holds"
    assert len(found["exhibits"][2]["table"]["rmse_bp"]) == 101


def test_a_tape_without_bonds_names_them(capsys, folder, tmp_path):
    found = answer(capsys, "exhibits", "par-curve", str(folder), "--out", str(tmp_path / "p"))
    assert [bool(one["missing"]) for one in found["exhibits"]] == [False, True, True, True]
    assert "bond_price" in found["exhibits"][1]["missing"]


@pytest.mark.slow
def test_without_fair_worlds_no_rule_is_judged(capsys, folder, tmp_path):
    out = tmp_path / "s"
    returns = write(
        tmp_path / "r.csv",
        date=[str(d) for d in (np.datetime64("2014-01") + np.arange(24)).astype("datetime64[D]")],
        **{"Rates USD": np.linspace(-1, 2, 24), "FX EUR": np.linspace(-2, 1, 24)},
    )
    found = answer(
        capsys, "exhibits", "short-gamma", str(folder), "--worlds", "0", "--out", str(out), "--returns", str(returns)
    )
    assert [one["exhibit"] for one in found["exhibits"]] == [str(n) for n in range(1, 11)]
    told = [v for one in found["exhibits"] for v in one["verdicts"] if one["exhibit"] in ("7", "9", "10")]
    assert {v["verdict"] for v in told if "vary less" not in v["claim"]} == {"cannot be judged"}
    assert (out / "exhibit_7.csv").exists()
    assert "at least 200" in complaint(
        capsys, "exhibits", "short-gamma", "--worlds", "20", "--out", str(tmp_path / "t")
    )


def test_rates_without_vols_judge_no_premium(capsys, year, tmp_path):
    panels = {name: panel for name, panel in year.panels.items() if "vol" not in name}
    bare = Tape(year.rows, year.manifest, panels).save(tmp_path / "bare")
    found = answer(capsys, "exhibits", "short-gamma", str(bare), "--out", str(tmp_path / "s"))
    told = {v["verdict"] for one in found["exhibits"] if one["exhibit"] != "8" for v in one["verdicts"]}
    assert told == {"cannot be judged"}
    assert found["exhibits"][7]["verdicts"][0]["verdict"] == "holds"


# Fair worlds


def test_a_fair_world_is_the_market_that_its_tape_would_show(year):
    ours, tapes = FairWorlds(np.datetime64("2006-01-03"), 1).market(3), short_gamma_history(panels_of(year)).market
    read = tapes.panel.is_marked
    assert np.array_equal(ours.panel.sold, tapes.panel.sold)
    assert np.abs(ours.panel.forward - tapes.panel.forward)[read].max() < 5e-6  # quotes are bootstrapped there
    assert np.abs(ours.panel.annuity / tapes.panel.annuity - 1)[read].max() < 5e-4
    assert np.abs(ours.panel.smiles - tapes.panel.smiles)[read].max() < 1e-6  # and rounded
    assert np.abs(ours.panel.years - tapes.panel.years)[read].max() < 1e-12
    assert np.abs(ours.forward - tapes.forward).max() < 5e-6
    assert np.abs(ours.implied_3m - tapes.implied_3m).max() < 2e-6


def test_a_fair_world_is_that_of_its_seed():
    fair = FairWorlds(np.datetime64("2006-01-01"), 1)  # a Sunday
    one, same, other = (fair.market(seed) for seed in (1, 1, 2))
    assert isinstance(one, Market)
    assert fair.market(1).panel.dates[0] == np.datetime64("2006-01-03")
    assert np.array_equal(one.panel.forward, same.panel.forward)
    assert not np.array_equal(one.panel.forward, other.panel.forward)


@pytest.mark.slow
@pytest.mark.parametrize(("premium", "expected"), [(0.25, "holds"), (0.0, "does not hold")])
def test_a_premium_that_was_planted_holds_and_a_fair_world_pays_nothing(capsys, tmp_path, premium, expected):
    params = RatesParams(years=4, premium=premium, **NODES)
    tape = synthetic_rates(params, seed=11).save(tmp_path / "tape")
    found = answer(capsys, "exhibits", "short-gamma", str(tape), "--out", str(tmp_path / "s"))
    told = verdicts(found)
    assert told["selling 1Mx10Y straddles, hedged daily, is paid: risk-adjusted"] == expected
    assert told["implied vol pays for the daily volatility"] == expected
