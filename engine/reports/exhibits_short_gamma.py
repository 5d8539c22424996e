"""The exhibits of "Leap of faith" on a market's own closes: rules held against themselves in fair worlds.

1. ``short_gamma_programme`` sells on every close under every rule;
2. 500 histories drawn in blocks of 42 sales, the same for every rule, give each number its error;
3. the same rules, gross of costs, in 200 or more fair worlds give what they show where there is nothing to earn;
4. ``exhibits_short_gamma_claims`` says which numbers to compare, ``exhibits`` judges what is left above 3.

Shapes of returns (exhibits 5 and 6) and pricing (8) are no statements about earning, and are judged as they are; what
fair worlds show of them stands beside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from engine.errors import ConfigError
from engine.rates.block_bootstrap import SHORTEST_BLOCK, block_rows, deflated_probability
from engine.rates.gamma_profile import straddle_gamma, strangle_gamma
from engine.rates.pnl_explain import vol_premium
from engine.rates.risk_measures import MEASURES, rolling_measures
from engine.rates.short_gamma import Costs
from engine.rates.short_gamma_programme import (
    HEDGES,
    RESTRIKES,
    SIGNALS,
    STATISTICS,
    Market,
    returns,
    statistics,
)
from engine.reports.curve_page import Plot, Trace
from engine.reports.exhibits import (
    Claim,
    Exhibit,
    Verdict,
    deviation,
    excess,
    judge_draws,
    judge_exact,
    judge_excess,
    unjudged,
)
from engine.reports.exhibits_short_gamma_claims import CLAIMS, NAMES, column

Floats = NDArray[np.float64]

DRAWS = 500
BINS = 40
AGED_DAYS, LIFE_DAYS = 14, 365 / 12
STANDARD_VOL = 0.0080
ROLLED_EVERY = 5  # sales between two points of the rolling measures
FINDINGS = {
    "3": "Unhedged strangles improved on straddles hedged daily: the range pays more than daily volatility.",
    "5": "Returns of short gamma are far from normal: limited upside, fat tail of losses.",
    "6": "Risk measures differ in level, but agree on which rules are better.",
    "7": "Occasional hedging helps; costs of very frequent hedging outweigh its benefits. Strangles beat straddles.",
    "8": "Strangles keep their gamma better than straddles when rates move.",
    "9": "Restriking straddles to hold their gamma does not pay, even before costs.",
    "10": "Each of four signals helps, a high ratio of implied to realised volatility most.",
}
TITLES = {
    "3": "Strangles against straddles, rolling five years",
    "5": "Distribution of returns, straddles",
    "6": "Five risk measures of straddles",
    "7": "Hedging rules and their costs",
    "8": "Gamma after a move of rates",
    "9": "Restriking straddles, hedged daily",
    "10": "Trading signals, strangles hedged beyond 50%, net",
}
SHAPES = ("skew, never hedged", "skew, hedged daily", "deviation never less daily", "deviation 50% less daily")
SHAPE_CLAIMS = (
    Claim("5", "returns of straddles never hedged are skewed to losses", "", "- skewness"),
    Claim("5", "returns of straddles hedged daily are skewed to losses", "", "- skewness"),
    Claim("7", "hedging daily makes returns of straddles vary less than never", "", "% of premium"),
    Claim("7", "hedging daily makes returns of straddles vary less than beyond 50%", "", "% of premium"),
)
AGREE = Claim("6", "the measures rank the hedges of straddles alike: mean rank correlation", "", "correlation")


class Evidence(NamedTuple):
    """What the history, its draws and the fair worlds say of each column c: statistics in the order of STATISTICS."""

    market: Market
    earned: Floats  # [n, c]
    table: Floats  # [c, 7]
    draws: Floats  # [b, c, 7]
    worlds: Floats  # [w, c, 7]
    shapes: Floats  # [4], SHAPES
    shape_draws: Floats  # [b, 4]


def evidence(market: Market, costs: Costs, worlds: Floats, rng: np.random.Generator, *, draws: int = DRAWS) -> Evidence:
    """Run the programme and draw its histories.

    Parameters
    ----------
    worlds : float64[w, c, 7]
        ``statistics`` of the programme in fair worlds; no world leaves every rule without a verdict.

    Raises
    ------
    ConfigError
        If there are fewer sales than two blocks.
    """
    earned = returns(market, costs)
    n = earned.shape[0]
    if n < 2 * SHORTEST_BLOCK:
        raise ConfigError(f"{n} sales are fewer than two blocks of {SHORTEST_BLOCK}; give a longer history")
    rows = [block_rows(n, SHORTEST_BLOCK, rng) for _ in range(draws)]
    tables = np.array([statistics(earned[drawn]) for drawn in rows])
    shapes = np.array([_shapes(earned[drawn]) for drawn in rows])
    return Evidence(market, earned, statistics(earned), tables, worlds, _shapes(earned), shapes)


def short_gamma_exhibits(found: Evidence, has_vols: bool) -> list[Exhibit]:
    """Exhibits 3 and 5 to 10; ``has_vols`` false: only forwards mean anything, and premiums cannot be judged."""
    if not has_vols:
        return _without_vols(found.market)
    verdicts = verdicts_of(found)
    by_exhibit = {number: [v for v in verdicts if v.exhibit == number] for number in FINDINGS}
    rules = [name for name in NAMES if "half" not in name and "vol" not in name.split(",")[0]]
    makers = {
        "3": lambda: _rolling(found),
        "5": lambda: _distribution(found),
        "6": lambda: _measures(found),
        "7": lambda: _rules(found, [name for name in rules if name.count(",") == 2]),
        "8": lambda: _gamma(float(np.median(found.market.implied_1m))),
        "9": lambda: _rules(found, [_daily(), *(_daily(x) for x in RESTRIKES)]),
        "10": lambda: _rules(found, [column("strangle", "50%"), *(_signal(s) for s in SIGNALS)]),
    }
    exhibits = []
    for number, make in makers.items():
        table, plots, notes = make()
        told = by_exhibit[number] if number != "8" else _gamma_verdicts()
        exhibits.append(Exhibit(number, TITLES[number], FINDINGS[number], table, plots, told, notes))
    return exhibits


def verdicts_of(found: Evidence) -> list[Verdict]:
    """Every claim about rules, as its excess over fair worlds, then those about shapes, as they are."""
    told = []
    for claim, contrast in CLAIMS:
        number, draws = float(contrast.of(found.table)), contrast.of(found.draws)
        told.append(judge_excess(claim, number, draws, contrast.of(found.worlds)))
    signs = np.array([-1.0, -1.0, 1.0, 1.0])
    for k, claim in enumerate(SHAPE_CLAIMS):
        told.append(judge_draws(claim, float(signs[k] * found.shapes[k]), signs[k] * found.shape_draws[:, k]))
    agreement = [rank_agreement(table) for table in (found.table, *found.draws)]
    told.append(judge_draws(AGREE, agreement[0], np.array(agreement[1:])))
    return told


def rank_agreement(table: Floats) -> float:
    """Mean rank correlation between pairs of the five measures over the hedges of straddles, gross; NaN without one."""
    rows = [NAMES.index(column("straddle", hedge, "gross")) for hedge in HEDGES]
    values = table[rows][:, :5]
    if not np.isfinite(values).all():
        return math.nan
    ranks = np.apply_along_axis(rankdata, 0, values)
    return float(np.corrcoef(ranks.T)[np.triu_indices(5, 1)].mean())


def unjudged_claims(why: str) -> list[Verdict]:
    """Every claim about rules and their returns, without a market to try them on."""
    return [unjudged(claim, why) for claim in (*(claim for claim, _ in CLAIMS), *SHAPE_CLAIMS, AGREE)]


def _without_vols(market: Market) -> list[Exhibit]:
    """Forwards alone: range against daily volatility, and exhibit 8 by a standard vol; the rest is named."""
    why = "the tape has no panel normal_vol: an implied vol made up from rates would decide the premium"
    told = unjudged_claims("no implied vols: a premium cannot be told from rates alone")
    exhibits = []
    for number in FINDINGS:
        mine = [verdict for verdict in told if verdict.exhibit == number]
        exhibits.append(Exhibit(number, TITLES[number], FINDINGS[number], verdicts=mine, missing=why))
    vols, dates = vol_premium(market.panel), market.panel.dates[market.panel.sold].astype(str)
    kept = slice(None, None, ROLLED_EVERY)
    lines = [Trace(n, dates[kept].tolist(), 1e4 * v[kept]) for n, v in (("daily", vols.daily), ("range", vols.ranged))]
    exhibits[0].table = {"sold": dates, "daily_vol_bp": 1e4 * vols.daily, "range_vol_bp": 1e4 * vols.ranged}
    exhibits[0].plots = [Plot("Realised over each month ahead", "", "bp a year", lines)]
    part = vols.ranged.mean() / vols.daily.mean()
    exhibits[0].notes = [f"range over daily volatility, means: {part:.3f}; 1 is a normal walk"]
    table, plots, notes = _gamma(STANDARD_VOL)
    told = _gamma_verdicts()
    exhibits[list(FINDINGS).index("8")] = Exhibit("8", TITLES["8"], FINDINGS["8"], table, plots, told, notes)
    return exhibits


def _daily(restrike: float = 0.0) -> str:
    return column("straddle", "daily", "gross", restrike=restrike)


def _signal(signal: str) -> str:
    return column("strangle", "50%", signal=signal)


def _shapes(earned: Floats) -> Floats:
    """SHAPES of gross straddles."""
    never, half, daily = (earned[:, NAMES.index(column("straddle", h, "gross"))] for h in ("never", "50%", "daily"))
    spread = daily.std(ddof=1)
    return np.array([_skew(never), _skew(daily), never.std(ddof=1) - spread, half.std(ddof=1) - spread])


def _skew(x: Floats) -> float:
    away = x - x.mean()
    return float((away**3).mean() / (away**2).mean() ** 1.5)


def _rules(found: Evidence, names: Sequence[str]) -> tuple[dict, list[Plot], list[str]]:
    """Mean and benchmark of some rules, each with its error, fair value and excess, deflated by their number."""
    rows = [NAMES.index(name) for name in names]
    share = np.isfinite(found.earned[:, rows]).mean(axis=0)
    mine, draws = found.table[rows], found.draws[:, rows]
    table: dict[str, object] = {"rule": list(names), "sold_part": share}
    for k, statistic in ((STATISTICS.index("benchmark"), "benchmark"), (STATISTICS.index("mean"), "mean_percent")):
        table |= {statistic: mine[:, k], f"{statistic}_error": _errors(mine[:, k], draws[:, :, k])}
        if found.worlds.shape[0]:
            above = excess(mine[:, k], draws[:, :, k], found.worlds[:, rows, k])
            sure = [
                float(deflated_probability(x, s, len(rows))) if s > 0 else math.nan
                for x, s in zip(above.excess, above.error, strict=True)
            ]
            table |= {f"{statistic}_fair": above.fair, f"{statistic}_excess": above.excess}
            table |= {f"{statistic}_excess_error": above.error, f"{statistic}_deflated_probability": sure}
    k = STATISTICS.index("benchmark")
    points = [Trace("history", list(names), mine[:, k], True)]
    if found.worlds.shape[0]:
        points.append(Trace("fair worlds, median", list(names), np.asarray(table["benchmark_fair"]), True))
    means = [Trace("mean", list(names), mine[:, STATISTICS.index("mean")], True)]
    plots = [Plot("Benchmark ratio", "", "", points), Plot("Mean per sale", "", "% of premium", means)]
    return table, plots, [f"deflated by the {len(rows)} rules of the table; errors by blocks of {SHORTEST_BLOCK} sales"]


def _errors(numbers: Floats, draws: Floats) -> list[float]:
    """Of each number, by its column of draws."""
    return [deviation(draws[:, i], above=bool(numbers[i] > 0)) for i in range(numbers.size)]


def _rolling(found: Evidence) -> tuple[dict, list[Plot], list[str]]:
    panel = found.market.panel
    names = [column("strangle", "never", "gross"), _daily()]
    kept = slice(None, None, ROLLED_EVERY)
    known = panel.dates[panel.expired]
    order = np.argsort(known, kind="stable")
    rows = [NAMES.index(name) for name in names]
    rolled = _rolled(known[order], found.earned[order][:, rows])
    vols = vol_premium(panel)
    dates = known[order].astype(str)
    table = {"known": dates, **{name: rolled[:, k] for k, name in enumerate(names)}}
    table |= {"implied_bp": 1e4 * vols.implied, "daily_bp": 1e4 * vols.daily, "range_bp": 1e4 * vols.ranged}
    lines = [Trace(name, dates[kept].tolist(), rolled[kept, k]) for k, name in enumerate(names)]
    sold = panel.dates[panel.sold].astype(str)[kept].tolist()
    levels = [Trace(n, sold, 1e4 * v[kept]) for n, v in (("implied", vols.implied), ("daily", vols.daily))]
    has_five = bool(np.isfinite(rolled).any())
    notes = [] if has_five else ["the history is shorter than five years: no rolling measure"]
    plots = [Plot("Median over interquartile range, five years", "", "", lines)] if has_five else []
    return table, [*plots, Plot("Implied and daily realised volatility", "", "bp a year", levels)], notes


def _rolled(known: NDArray[np.datetime64], earned: Floats) -> Floats:
    """The non-parametric Sharpe of five years on some days, NaN between them."""
    out = np.full(earned.shape, math.nan)
    out[::ROLLED_EVERY] = rolling_measures(known, earned)[::ROLLED_EVERY, :, MEASURES.index("nonparametric_sharpe")]
    return out


def _distribution(found: Evidence) -> tuple[dict, list[Plot], list[str]]:
    names = [column("straddle", hedge, "gross") for hedge in ("never", "daily")]
    values = found.earned[:, [NAMES.index(name) for name in names]]
    edges = np.linspace(math.floor(values.min()), math.ceil(values.max()), BINS + 1)
    parts = [np.histogram(values[:, k], edges)[0] / len(values) for k in range(2)]
    middle = (edges[1:] + edges[:-1]) / 2
    table = {"from_percent": edges[:-1], "to_percent": edges[1:], **dict(zip(names, parts, strict=True))}
    notes = [
        f"{name}: mean {x.mean():.2f}%, skewness {_skew(x):.2f}, least {x.min():.0f}%, most {x.max():.0f}%"
        for name, x in zip(names, values.T, strict=True)
    ]
    lines = [Trace(name, middle, part) for name, part in zip(names, parts, strict=True)]
    return table, [Plot("Part of the sales", "% of premium", "", lines)], notes


def _measures(found: Evidence) -> tuple[dict, list[Plot], list[str]]:
    names = [column("straddle", hedge, "gross") for hedge in HEDGES]
    rows = [NAMES.index(name) for name in names]
    table: dict[str, object] = {"rule": names}
    traces = []
    for k, measure in enumerate(STATISTICS):
        mine = found.table[rows, k]
        table |= {measure: mine, f"{measure}_error": _errors(mine, found.draws[:, rows, k])}
        if found.worlds.shape[0]:
            table[f"{measure}_fair"] = np.nanmedian(found.worlds[:, rows, k], axis=0)
        if k < 5:
            traces.append(Trace(measure.replace("_", " "), names, mine, True))
    return table, [Plot("Five measures", "", "", traces)], []


def _gamma(vol: float) -> tuple[dict, list[Plot], list[str]]:
    shocks = np.arange(-60.0, 61.0, 2.0)
    deviation_ = vol * math.sqrt(LIFE_DAYS / 365)
    curves = _gamma_curves(shocks, deviation_)
    lines = [Trace(name, shocks, values) for name, values in curves.items()]
    note = f"pricing alone: a month at {1e4 * vol:.0f} bp a year, {AGED_DAYS} days later; no history is in it"
    plots = [Plot("Gamma after a move", "bp", "% of the first", lines)]
    return {"shock_bp": shocks, **curves}, plots, [note]


def _gamma_curves(shocks: Floats, spread: float) -> dict[str, Floats]:
    aged = LIFE_DAYS / (LIFE_DAYS - AGED_DAYS)
    return {
        "straddle": 100 * straddle_gamma(shocks * 1e-4, deviation=spread),
        "strangle": 100 * strangle_gamma(shocks * 1e-4, deviation=spread),
        "straddle, aged": 100 * straddle_gamma(shocks * 1e-4, deviation=spread, aged=aged),
        "strangle, aged": 100 * strangle_gamma(shocks * 1e-4, deviation=spread, aged=aged),
    }


def _gamma_verdicts() -> list[Verdict]:
    """At the paper's date: 80 bp a year, 20 bp of move."""
    kept = {n: v[0] for n, v in _gamma_curves(np.array([20.0]), STANDARD_VOL * math.sqrt(LIFE_DAYS / 365)).items()}
    why = "pricing at 80 bp a year: strangle less straddle after 20 bp"
    return [
        judge_exact(
            Claim("8", f"strangles keep more gamma than straddles after 20 bp{more}", "", "% of the first"),
            kept[f"strangle{at}"] - kept[f"straddle{at}"],
            is_true=kept[f"strangle{at}"] > kept[f"straddle{at}"],
            why=why,
        )
        for at, more in (("", ""), (", aged", ", two weeks on"))
    ]
