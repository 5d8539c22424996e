"""A paper's exhibits on somebody's data: what was found, and whether the paper's claims hold there.

An ``Exhibit`` is a table, pictures, and a verdict on each claim that the paper draws from it. A verdict is

* **holds**               the number is beyond its error on the side that the paper says;
* **does not hold**       it is not: the phrase says whether the opposite is true or nothing can be told from 0;
* **cannot be judged**    an input is missing or the history too short, which is named.

Nothing here knows which way a claim should come out. "Beyond" is a probability of 95 % that the number is more than
the best of ``tried`` numbers without merit would be (``deflated_probability``); a number without chance in it, from
pricing or one cross-section, holds or not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.rates.block_bootstrap import deflated_probability
from engine.rates.fair_excess import FairExcess, fair_excess
from engine.reports.curve_page import Plot

Floats = NDArray[np.float64]

HOLDS, FAILS, UNKNOWN = "holds", "does not hold", "cannot be judged"
SURE = 0.95
ONE_SIGMA = (15.865525393145708, 50.0, 84.13447460685429)  # percentiles


class Claim(NamedTuple):
    """What a paper says in words of ours, and in which unit the number that decides it comes."""

    exhibit: str
    text: str
    printed: str = ""  # the paper's number, where it has one
    unit: str = ""
    tried: int = 1  # how many like statements were looked at


class Verdict(NamedTuple):
    """A claim, and what the data says to it."""

    exhibit: str
    claim: str
    verdict: str
    number: float
    error: float  # standard error; NaN where there is no chance in the number
    fair: float  # what the same rule shows in fair worlds, which ``number`` is above; NaN where none is needed
    unit: str
    printed: str
    why: str


@dataclass
class Exhibit:
    """One exhibit: columns for its file, pictures, verdicts, and what is missing."""

    number: str
    title: str
    finding: str  # the paper's
    table: Mapping[str, Any] = field(default_factory=dict)  # columns of one length
    plots: Sequence[Plot] = ()
    verdicts: Sequence[Verdict] = ()
    notes: Sequence[str] = ()
    missing: str = ""  # what would be needed; "" where everything is there


def unjudged(claim: Claim, why: str) -> Verdict:
    """For want of data."""
    nothing = math.nan
    return Verdict(claim.exhibit, claim.text, UNKNOWN, nothing, nothing, nothing, claim.unit, claim.printed, why)


def judge(claim: Claim, number: float, error: float, *, fair: float = math.nan) -> Verdict:
    """The verdict on a number that the claim says is above 0, by its standard error."""
    told = claim.exhibit, claim.text
    if not (math.isfinite(number) and math.isfinite(error) and error > 0):
        return unjudged(claim, "the number or its error has no value on this history")
    surely = float(deflated_probability(number, error, claim.tried))
    opposite = float(deflated_probability(-number, error, claim.tried))
    best = f" of {claim.tried} tried" if claim.tried > 1 else ""
    if surely >= SURE:
        verdict, why = HOLDS, f"probability {surely:.3f}{best}"
    elif opposite >= SURE:
        verdict, why = FAILS, f"the opposite, probability {opposite:.3f}{best}"
    else:
        verdict, why = FAILS, f"not told from 0: probability {surely:.2f}{best}"
    return Verdict(*told, verdict, number, error, fair, claim.unit, claim.printed, why)


def judge_draws(claim: Claim, number: float, draws: Floats) -> Verdict:
    """``judge`` by bootstrap draws of the number."""
    return judge(claim, number, deviation(draws, above=number > 0))


def judge_excess(claim: Claim, number: float, draws: Floats, fair_numbers: ArrayLike) -> Verdict:
    """The verdict on a number above its median over fair worlds, float64[w]; none without worlds."""
    worlds = np.asarray(fair_numbers, np.float64)
    if worlds.size == 0:
        told = f"{number:.3g} ± {deviation(draws, above=number > 0):.2g}"
        return unjudged(claim, f"no fair worlds to hold {told} against; give --worlds 200")
    found = excess(number, draws, worlds)
    return judge(claim, float(found.excess), float(found.error), fair=float(found.fair))


def excess(number: ArrayLike, draws: Floats, worlds: Floats) -> FairExcess:
    """``fair_excess`` of numbers of any shape, by draws float64[b, ...] and fair worlds float64[w, ...]."""
    numbers = np.asarray(number)
    error = np.empty(numbers.shape)
    for at in np.ndindex(numbers.shape):
        fair = worlds[(slice(None), *at)]
        middle = np.median(fair[np.isfinite(fair)]) if np.isfinite(fair).any() else 0.0
        error[at] = deviation(draws[(slice(None), *at)], above=bool(numbers[at] > middle))
    return fair_excess(numbers, error, worlds)


def judge_exact(claim: Claim, number: float, *, is_true: bool, why: str) -> Verdict:
    """The verdict where there is no chance: pricing, or one cross-section."""
    told = claim.exhibit, claim.text, HOLDS if is_true else FAILS
    return Verdict(*told, number, math.nan, math.nan, claim.unit, claim.printed, why)


def deviation(draws: Floats, *, above: bool) -> float:
    """Standard error from bootstrap draws of a number that lies ``above`` what it is held against, or below.

    From their median to their 16th percentile, or to their 84th: the side on which the number could be less than it
    looks. Of normal draws each is the standard deviation. A ratio that is large varies upwards much more than
    downwards, and an error of both sides would find the less, the more there is. NaN where fewer than half of the
    draws have a value.
    """
    has = draws[np.isfinite(draws)]
    if 2 * has.size < draws.size or has.size < 2:
        return math.nan
    low, middle, high = np.percentile(has, ONE_SIGMA)
    return float(middle - low if above else high - middle)


def plain(exhibits: Sequence[Exhibit]) -> list[dict[str, Any]]:
    """Exhibits as JSON takes them: NaN is null."""
    return [
        {
            "exhibit": one.number,
            "title": one.title,
            "paper": one.finding,
            "missing": one.missing,
            "notes": list(one.notes),
            "verdicts": [{k: none_for_nan(v) for k, v in verdict._asdict().items()} for verdict in one.verdicts],
            "table": {name: _column(values) for name, values in one.table.items()},
        }
        for one in exhibits
    ]


def none_for_nan(value: Any) -> Any:
    """``value``, but None for a float without a value."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _column(values: ArrayLike) -> list[Any]:
    column = np.asarray(values)
    return [none_for_nan(value) for value in (column.astype(str) if column.dtype.kind == "M" else column).tolist()]
