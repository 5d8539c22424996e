"""A seller's profit explained: the parts add up to the ledger, what stays unexplained is small, and who is refused."""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from small_rates_tape import CALENDAR, USD, small_rates_tape

from engine import Strategy, run
from engine.broker.impact import NoImpact
from engine.broker.models import BrokerConfig, Otc
from engine.cli import main
from engine.errors import RunError
from engine.rates.seller_programme import Programme
from engine.reports.short_gamma import COLUMNS, SellerReport, report_lines, short_gamma_report, write_daily
from feeds.replay import TapeFeed
from strategies.swaption_seller import SwaptionSeller

NOTIONAL = 100_000_000
PROGRAMMES = {
    "straddle": Programme(calendar=CALENDAR, option_half_spread_bp=0.5),
    "strangle": Programme(calendar=CALENDAR, sells="strangle", hedge_beyond=0.25, signals=("expiry_curve",)),
    "restruck": Programme(calendar=CALENDAR, restrike_below=0.4),
    "cash": Programme(calendar=CALENDAR, settlement="par_yield_cash", hedge_beyond=0.1),
}


class Quiet(Strategy):
    """Sells nothing."""


@cache
def report(name: str, move_bp: float = 6.0) -> SellerReport:
    programme = PROGRAMMES[name]
    folder = Path(mkdtemp())
    tape = small_rates_tape(5, 50, move_bp=move_bp)
    tape.save(folder / "tape")
    otc = Otc(swaption_vol_bp=programme.option_half_spread_bp, swap_bp=programme.hedge_bp)
    seller = SwaptionSeller(symbol=USD, notional=NOTIONAL, programme=programme)
    feed = TapeFeed(str(folder / "tape"))
    run(seller, feed, broker=BrokerConfig(impact=NoImpact(), otc=otc), out=folder / "run")
    return short_gamma_report(folder / "run")


@pytest.mark.parametrize("name", PROGRAMMES)
def test_the_parts_add_up_to_the_ledger_and_only_rounding_is_left(name: str) -> None:
    found = report(name)
    daily = found.daily
    np.testing.assert_allclose(sum(daily[part] for part in COLUMNS[1:]), daily["ledger"], atol=1e-6)
    # a hedge is rounded by half a unit at most, an annuity is below 10: 22 sales of two legs
    netted = 0.0 if name != "restruck" else 50.0  # sales restruck at one strike share a swap, and its half-spread
    assert np.abs(daily["rest"]).max() < 1.0 + netted
    assert found.sales > 10


def test_a_run_that_was_cut_in_time_is_explained_over_its_own_closes(tmp_path: Path, capsys: Any) -> None:
    tape = small_rates_tape(5, 50, move_bp=6.0)
    tape.save(tmp_path / "tape")
    closes = tape.rows["ts_event"]
    feed = TapeFeed(str(tmp_path / "tape"), start=int(closes[4]), end=int(closes[40]) + 1)
    seller = SwaptionSeller(symbol=USD, notional=NOTIONAL, programme=PROGRAMMES["cash"])
    otc = Otc(swaption_vol_bp=0.0, swap_bp=PROGRAMMES["cash"].hedge_bp)
    result = run(seller, feed, broker=BrokerConfig(impact=NoImpact(), otc=otc), out=tmp_path / "run")
    assert main(["explain", str(tmp_path / "run"), "--json", "--out", str(tmp_path / "daily.csv")]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["total"]["ledger"] == pytest.approx(result.pnl["USD"] / 1e6, abs=1e-6)
    assert abs(said["total"]["rest"]) < 1.0
    assert len((tmp_path / "daily.csv").read_text().splitlines()) == 1 + 37


@pytest.mark.parametrize("move_bp", [6.0, 1.5])
def test_greeks_explain_most_of_it(move_bp: float) -> None:
    # 8 and 10 % when this was written: theta grows within the last days, and greeks of the close before do not see it
    daily = report("straddle", move_bp).daily
    assert np.abs(daily["unexplained"]).sum() < 0.15 * np.abs(daily["ledger"]).sum()


def test_parts_have_the_signs_of_a_short_option() -> None:
    daily = report("straddle").daily
    assert (daily["theta"] >= 0).all()
    assert (daily["gamma"] <= 0).all()
    assert (daily["hedge_cost"] <= 0).all()
    assert (daily["option_cost"] <= 0).all()
    assert np.abs(daily["delta"]).max() < 1e-6 * NOTIONAL  # hedged to zero at every close


def test_it_is_written_and_printed(tmp_path: Path) -> None:
    found = report("cash")
    text = write_daily(found, tmp_path / "daily.csv").read_text(encoding="utf-8")
    rows = list(csv.reader(text.splitlines()))
    assert rows[0] == ["date", *COLUMNS]
    assert len(rows) == 1 + len(found.dates)
    text = "\n".join(report_lines(found))
    assert "unexplained" in text
    assert f"stress at the worst close, {found.ladder_dates[found.ladder.worst_day]}" in text
    assert [row.hedge for row in found.rules] == ["never", "50%", "25%", "10%", "daily"]
    assert max(row.margin_bp for row in found.rules) >= found.ladder.margin_bp.max()


def test_another_strategys_run_is_refused(tmp_path: Path) -> None:
    tape = small_rates_tape(5, 3)
    tape.save(tmp_path / "tape")
    broker = BrokerConfig(impact=NoImpact())
    run(Quiet(), TapeFeed(str(tmp_path / "tape")), broker=broker, out=tmp_path / "run")
    with pytest.raises(RunError, match="not a run of one swaption seller"):
        short_gamma_report(tmp_path / "run")
