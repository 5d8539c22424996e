"""What is shown of a training of placement: groups, claims, tables and the page, on a made-up training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from small_vwap import EPISODES, small_training

from engine import vwap_views as views
from engine.errors import ConfigError
from engine.learning.exact_policy import exact_cost, greedy, solve
from engine.learning.placement_problem import Problem
from engine.learning.placement_problem import test_problem as solvable
from engine.learning.policy_surfaces import network_values
from engine.learning.vwap_exhibits import FACTORS, LEAST, Group, groups, over
from engine.learning.vwap_results import Kept, Learned, save_results
from engine.q_network import Weights
from engine.vwap_claims import claims


@pytest.fixture(scope="module")
def kept() -> Kept:
    return small_training(povs=(0.05, 0.2), seeds=2)


@pytest.fixture(scope="module")
def found(kept: Kept) -> list[Group]:
    return groups(kept)


def test_runs_that_differ_by_seed_are_a_group(found: list[Group]) -> None:
    assert [(one.label, one.over) for one in found] == [
        ("test problem, POV 5%, arrival", "2 seeds"),
        ("test problem, POV 20%, arrival", "2 seeds"),
    ]


def test_targets_that_differ_by_part_of_a_percent_are_groups_of_their_own(kept: Kept) -> None:
    pairs = zip(kept.results.runs, (0.015, 0.015, 0.025, 0.025), strict=True)
    runs = [msgspec.structs.replace(run, pov=pov) for run, pov in pairs]
    found = groups(kept._replace(results=msgspec.structs.replace(kept.results, runs=runs)))
    assert [(one.label, one.over) for one in found] == [
        ("test problem, POV 1.5%, arrival", "2 seeds"),
        ("test problem, POV 2.5%, arrival", "2 seeds"),
    ]


def eight_tickers(kept: Kept, **changed: list[float]) -> Kept:
    """The four runs twice, as tickers; with what is ``changed`` of their results."""
    runs = [
        msgspec.structs.replace(
            kept.results.runs[i % 4], ticker=f"T{i}", pov=0.01 * (i + 1), **{name: v[i] for name, v in changed.items()}
        )
        for i in range(8)
    ]
    problems: Any = (np.concatenate([one, one]) for one in kept.problems)
    learned: Any = (np.concatenate([one, one]) for one in kept.learned)
    return Kept(msgspec.structs.replace(kept.results, runs=runs), Problem(*problems), Learned(*learned))


def test_runs_of_many_tickers_are_one(kept: Kept) -> None:
    assert [(one.label, one.over) for one in groups(eight_tickers(kept))] == [("arrival", "8 tickers")]


def test_costs_are_those_of_all_tickers_where_styles_are_those_of_some(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.learning.vwap_exhibits.MOST", 2)
    cost = [float(i * i) for i in range(8)]  # 17.5 of all, 24.5 of the first and the last
    (one,) = groups(eight_tickers(kept, cost=cost, best_rule=[each + 0.1 for each in cost]))
    assert one.over == "8 tickers, styles and sweeps of 2"
    assert (float(one.cost.mean), float(one.beaten_by.mean)) == pytest.approx((17.5, 0.1))
    assert next(each for each in claims([one]) if "fixed rule" in each.claim).verdict == "holds"


def test_a_group_costs_what_its_networks_cost(kept: Kept, found: list[Group]) -> None:
    problem = solvable(0.05)
    weights = [Weights(*(getattr(kept.learned, name)[i] for name in Weights._fields)) for i in range(2)]
    costs = [exact_cost(problem, greedy(network_values(problem, one))) for one in weights]
    assert found[0].learned.cost.mean == pytest.approx(np.mean(costs))
    assert found[0].learned.cost.error == pytest.approx(np.std(costs, ddof=1) / np.sqrt(2))
    assert found[0].optimum.cost.mean == pytest.approx(solve(problem).cost)
    assert found[0].optimum.cost.error == 0
    assert found[0].learned_by_fill[FACTORS.index(1.0)].cost.mean == found[0].learned.cost.mean
    assert found[0].snapshots[-1].cost.mean == found[0].learned.cost.mean
    assert found[0].excess.mean > 0


def test_surfaces_show_what_was_visited_and_nothing_else(kept: Kept, found: list[Group]) -> None:
    seen = (kept.learned.visited[:2, :, 1:] >= LEAST).any(axis=0)
    assert 0.2 < seen.mean() < 0.8
    for one in (found[0].learned_surfaces.passive, found[0].learned_surfaces.aggressive):
        assert np.array_equal(np.isfinite(one), seen)
    assert np.isfinite(found[0].optimum_surfaces.passive).all()


def test_one_run_has_no_error() -> None:
    assert over([1.5]).text(1) == "1.5"
    assert over([1.0, 2.0]).text(1) == "1.5 ± 0.5"


def test_every_claim_is_judged_with_numbers(found: list[Group]) -> None:
    told = claims(found)
    assert len(told) == 8
    for one in told:
        assert one.verdict.startswith(("holds", "does not hold"))
        assert all(any(letter.isdigit() for letter in line) for line in one.measured)


def test_the_optimum_held_as_learned_passes_what_can_be_passed(found: list[Group]) -> None:
    """A claim that failed the optimum would ask for the wrong thing."""
    best = [
        one._replace(
            learned=one.optimum,
            beaten_by=over([run.best_rule - run.optimum for run in one.runs]),
            learned_by_fill=one.optimum_by_fill,
            learned_surfaces=one.optimum_surfaces,
        )
        for one in found
    ]
    verdicts = {one.claim.split(" (")[0]: one.verdict for one in claims(best)}
    assert verdicts["the learned policy is cheaper than every fixed rule"] == "holds"
    assert verdicts["passive early, aggressive late"] == "holds"
    assert verdicts["an aggressive order at the start where passive orders are unlikely to fill"] == "holds"
    assert verdicts["momentum against the order is met with aggression"] == "holds"
    assert verdicts["the larger the target POV, the more aggressive the style"] == "holds"
    assert verdicts["the objectives arrival and vwap trade differently"] == "does not hold"  # with no risk


def test_tables_have_a_cell_for_every_heading(found: list[Group]) -> None:
    for grid in views.tables(found):
        assert grid.rows
        assert {len(row) for row in grid.rows} == {len(grid.head)}


def trials() -> list[Any]:
    from engine.learning.parent_study import Trial

    draw = np.random.Generator(np.random.Philox(3))
    parts = "slippage_bp", "spread_bp", "impact_bp", "timing_bp", "completion_bp", "fees_bp"
    return [
        Trial(symbol="IBM", day="2013-10-09", window=window, side=side, shares=1_000, arm=arm, done=1_000, taken=200,
              vwap=190.0, **{name: float(draw.normal()) for name in parts})
        for window in range(4) for side in (1, -1) for arm in ("vwap_agent", "twap")
    ]  # fmt: skip


def test_the_command_prints_tables_and_writes_a_page(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("plotly")
    from engine.cli import main
    from engine.vwap_study_views import split, versus

    save_results(tmp_path, *kept)
    rows = versus(split(trials(), 2, every_size=True)[0], "vwap_agent", ["vwap_agent", "twap"], seed=1, draws=100)
    study = {"name": "demo", "null": False, "verdicts": ["IBM: no difference"], "versus": rows, "parents": trials()}
    (tmp_path / "study.json").write_bytes(msgspec.json.encode(study))
    page = tmp_path / "vwap.html"
    assert main(["vwap", "report", str(tmp_path), "--html", str(page), "--study", str(tmp_path / "study.json")]) == 0
    shown = capsys.readouterr().out
    for text in ("Expected cost of a parent", "Style: part", "passive early", "IBM: no difference", "2 seeds"):
        assert text in shown
    written = page.read_text()
    assert "Backtest statistics" in written
    assert "Aggressive: learned, grey under 20 visits" in written
    assert written.count("Plotly.newPlot") == 1 + 2 + 2 * 2 + 2 * 12 + 2
    assert "null,null" in written  # what was not visited
    assert "NaN" not in written.split("</script>", 1)[1]


def test_the_answer_is_one_object(kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from engine.cli import main

    save_results(tmp_path, *kept)
    assert main(["vwap", "report", str(tmp_path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["claims"]) == 8
    assert len(answer["results"]["runs"]) == 4


def test_a_study_that_is_none_is_refused(tmp_path: Path) -> None:
    from engine.vwap_backtest import read_study

    with pytest.raises(ConfigError, match="cannot be read"):
        read_study(tmp_path / "none.json")
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(ConfigError, match="no answer of a study"):
        read_study(tmp_path / "study.json")


def test_policies_kept_on_the_way_are_told_by_parents_simulated(found: list[Group]) -> None:
    assert np.array_equal(found[0].snapshot_episodes, EPISODES)
    assert len(found[0].snapshots) == len(EPISODES)
