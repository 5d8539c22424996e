"""``tickwright impact``: estimates from tables, runs and tapes, and a block that a config takes."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from test_impact_fit import executions

from engine.broker.impact import REGIONS, Parameters, Propagator
from engine.cli import main
from engine.config import load
from engine.impact_fit import fit_executions
from engine.run import run_config
from engine.shipped import shipped_configs
from feeds.synthetic import MarketParams, Stock, synthetic_market

NAMES = Parameters.__struct_fields__


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = main([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err


def write(file: Path, table: dict[str, Any]) -> str:
    data = pa.table(table)
    if file.suffix == ".csv":
        pa.csv.write_csv(data, file)
    else:
        pa.parquet.write_table(data, file)
    return str(file)


def dated(table: dict[str, Any]) -> dict[str, Any]:
    days = np.datetime64("2026-01-05") + np.arange(len(table["cost_bp"])) // 20
    return {**table, "start": days}


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_table_gives_what_the_function_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    table = executions(REGIONS["EMEA"], 2_000, 4)
    file = write(tmp_path / f"costs.{form}", table)
    code, found = answer(capsys, "impact", "fit", file, "--region", "EMEA")
    assert code == 0
    fit = fit_executions(table, region="EMEA")
    assert found["fit"] == json.loads(msgspec.json.encode(fit))
    assert found["prior"] == msgspec.to_builtins(REGIONS["EMEA"])
    assert found["forecast"] is None
    assert "no column start" in found["unchecked"]


def test_it_prints_estimates_errors_the_prior_and_how_well_later_costs_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "costs.parquet", dated(executions(REGIONS["APAC"], 20_000, 4)))
    assert main(["impact", "fit", file]) == 0
    out = capsys.readouterr().out
    assert "parents   20,000" in out
    for name in NAMES:
        line = next(line for line in out.splitlines() if line.startswith(name))
        estimate, error, prior = (float(word) for word in line.split()[1:4])
        assert abs(estimate - getattr(REGIONS["APAC"], name)) < 4 * error
        assert prior == getattr(REGIONS["NA"], name)
    line = next(line for line in out.splitlines() if line.startswith("forward"))
    assert "the first 14,000 parents, R2 of the later 6,000" in line
    fitted, region = line.replace(":", "").replace(",", "").split()[-5], line.split()[-1]
    assert float(fitted) > float(region)


def test_the_block_it_prints_is_one_that_a_config_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "costs.csv", executions(REGIONS["NA"], 2_000, 4))
    block = tmp_path / "impact.toml"
    code, found = answer(capsys, "impact", "fit", file, "--units-a-day", "17", "--out", str(block))
    assert code == 0
    assert block.read_text() == found["toml"]
    config = tmp_path / "mine.toml"
    config.write_text(f'strategy = "strategies.twap:Twap"\n[broker]\nlatency.feed = 7\n{block.read_text()}')
    impact = load(config).broker.impact
    assert isinstance(impact, Propagator)
    assert msgspec.to_builtins(impact.parameters) == found["fit"]["parameters"]
    assert impact.units_a_day == 17
    assert "exists" in complaint(capsys, "impact", "fit", file, "--out", str(block))


def day(folder: Path) -> str:
    params = MarketParams(stocks=(Stock(symbol="S", daily_volume=1_000_000),))
    synthetic_market(params, seed=1, date="2025-03-03", view="L3")[0].save(folder)
    return str(folder)


@pytest.mark.slow
def test_a_tape_gives_omega_and_impulses_that_a_config_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = day(tmp_path / "day")
    code, found = answer(capsys, "impact", "fit", tape, "--lags", "50")
    assert code == 0
    assert 0 < found["propagator"]["omega_error"] < found["propagator"]["omega"] < 1
    impact = tomllib.loads(found["toml"])["broker"]["impact"]
    assert msgspec.convert(impact, Propagator).model == "hfmi"
    assert impact["impulses"]["aggressive"] == found["response"]["response"][0]
    # a market whose prices are diffusive in another way: its exponent would let round trips earn
    assert "lets a" in found["refused"]
    assert impact.get("parameters", {}).get("omega", REGIONS["NA"].omega) == REGIONS["NA"].omega
    assert main(["impact", "fit", tape, "--lags", "50"]) == 0
    out = capsys.readouterr().out
    assert "SYNTHETIC" in out
    assert "refused" in out


MANY = """
name = "many"
seed = 7
strategy = "strategies.twap:Twap"
[feed_params]
tapes = ["demo_day"]
[broker.impact]
type = "propagator"
[broker.impact.market.DEMO]
daily_volume = 1_000_000
daily_volatility = 0.02
"""


@pytest.mark.slow
def test_runs_give_their_parents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parents = "".join(
        f'[[params.orders]]\nsymbol = "DEMO"\nside = "{("buy", "sell")[n % 2]}"\nshares = {200 + 100 * (n % 7)}\n'
        f"start_after_open_s = {600 * n}\nend_before_close_s = {23_400 - 600 * n - 300 - 60 * (n % 5)}\n"
        for n in range(36)
    )
    config = tmp_path / "many.toml"
    config.write_text(MANY + parents)
    folder = str(run_config(config, out=tmp_path / "run").folder)
    code, found = answer(capsys, "impact", "fit", folder)
    assert code == 0
    assert found["fit"]["parents"] + len(found["left_out"]) == 36
    for one in found["executions"]:
        assert one["participation"] == pytest.approx(abs(one["size"]) / one["market_volume"])
        assert one["duration"] == pytest.approx(one["market_volume"] / 1_000_000 * 13)
        assert sum(one["path"]) == pytest.approx(1)
        assert one["spread_bp"] > 0
        assert abs(one["mid_during"] / one["mid_before"] - 1) < 0.02


def test_a_run_without_a_footprint_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = load(shipped_configs()["twap_demo"], sets=["broker.impact.type=none"])
    folder = run_config(config, out=tmp_path / "run").folder
    assert "its orders did not move the market" in complaint(capsys, "impact", "fit", folder)


def small(n: int) -> dict[str, Any]:
    return executions(REGIONS["NA"], n, 1)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (small(29), "29 parents are too few"),
        ({"participation": [0.1]}, "has no column duration, volatility, spread_bp, cost_bp"),
        ({**small(40), "volatility": ["high"] * 40}, "volatility is 'high' in row 0, but must be a number"),
        ({**small(40), "cost_bp": [None] + [1.0] * 39}, "cost_bp is nan in row 0"),
        ({**small(40), "start": ["soon"] * 40}, "start is 'soon' in row 0; write a date or time"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_table_that_cannot_be_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, table: dict[str, Any], says: str
) -> None:
    assert says in complaint(capsys, "impact", "fit", write(tmp_path / f"costs.{form}", table))


def test_parameters_that_permit_manipulation_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = msgspec.structs.replace(REGIONS["NA"], gamma=0.25)
    file = write(tmp_path / "costs.parquet", executions(planted, 2_000, 1, noise=0.01))
    assert "impact fit of 2000 parents: gamma" in complaint(capsys, "impact", "fit", file)


def test_sources_that_do_not_fit_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write(tmp_path / "costs.csv", small(40))
    (tmp_path / "broken.parquet").write_text("no parquet")
    assert "name a table of executions" in complaint(capsys, "impact", "fit")
    assert "neither a table" in complaint(capsys, "impact", "fit", table, "demo_day")
    assert "a tape stands alone" in complaint(capsys, "impact", "fit", "demo_day", "demo_l2_hour")
    assert "cannot be read as a table" in complaint(capsys, "impact", "fit", str(tmp_path / "broken.parquet"))
    assert "cannot be read as a table" in complaint(capsys, "impact", "fit", str(tmp_path / "none.csv"))
    assert "no such folder" in complaint(capsys, "impact", "fit", "demo_dya")


def test_several_tables_are_fitted_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = dated(executions(REGIONS["NA"], 400, 1))
    whole = write(tmp_path / "all.parquet", table)
    parts = [
        write(tmp_path / f"{n}.csv", {name: column[half] for name, column in table.items()})
        for n, half in enumerate((slice(0, 150), slice(150, 400)))
    ]
    together, one = answer(capsys, "impact", "fit", *parts)[1], answer(capsys, "impact", "fit", whole)[1]
    assert together["fit"]["parameters"] == pytest.approx(one["fit"]["parameters"], rel=1e-6)
    assert together["forecast"] == pytest.approx(one["forecast"], rel=1e-6)


def test_show_prints_every_regions_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = answer(capsys, "impact", "show")
    assert code == 0
    assert found["regions"] == msgspec.to_builtins(REGIONS)
    assert main(["impact", "show"]) == 0
    out = capsys.readouterr().out
    assert all(f"{getattr(p, name):g}" in out for p in REGIONS.values() for name in NAMES)
