"""The par curve day by day: how well it fits, what the short end says, and which issues were special when.

A day whose fit is refused is kept with the reason, not dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.rates.gc_repo import GcRepo
from engine.rates.par_basket import BondUniverse
from engine.rates.par_day import TREASURY, DayFit, Issuer, fit_day

Floats = NDArray[np.float64]

PAR_TERMS = (2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 30.0)  # years


class Quote(NamedTuple):
    """A day to be fitted."""

    settle: np.datetime64
    universe: BondUniverse
    repo: GcRepo  # per year of 365.25 days


class HistoryRow(NamedTuple):
    """What is kept of a day. Rates are decimals, errors bp."""

    settle: np.datetime64
    bonds: int  # in the fit
    rmse_bp: float  # enhanced
    legacy_rmse_bp: float  # yield errors of the legacy fit
    left_out_rmse_bp: float  # of the bonds that the others decide
    overnight: float  # GC
    one_day_zero: float
    short_end_gap_bp: float  # where spline and repo meet
    par_yields: tuple[float, ...]  # at PAR_TERMS; NaN beyond the last maturity
    refused: str = ""  # why there is no fit


@dataclass(frozen=True)
class SpecialIssue:
    """How an issue traded in 6-month repo over a history."""

    isin: str
    days: int  # with a repo rate
    special_days: int  # at or beyond the rules' limit
    mean_bp: float  # below GC, over all its days
    most_bp: float
    spells: tuple[tuple[np.datetime64, np.datetime64], ...]  # first and last day of each run of special days


@dataclass
class SpecialBook:
    """Follows each issue's 6-month repo rate against GC: ``add`` the days in order, then read ``issues``."""

    limit_bp: float = 25.0
    _days: list[np.datetime64] = field(default_factory=list)
    _seen: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def add(self, settle: np.datetime64, isin: Iterable[str], special_bp: Floats) -> None:
        """A day's specialness, GC less the issue's rate; NaN is no rate."""
        if self._days and settle <= self._days[-1]:
            raise ConfigError(f"{settle} comes after {self._days[-1]}; give each day once, in order")
        self._days.append(settle)
        for name, value in zip(isin, special_bp.tolist(), strict=True):
            if value == value:  # a number
                self._seen.setdefault(str(name), []).append((len(self._days) - 1, value))

    def issues(self) -> list[SpecialIssue]:
        """Every issue that was special on some day, the most often special first."""
        found = [self._issue(name, seen) for name, seen in self._seen.items()]
        return sorted((one for one in found if one.special_days), key=lambda one: (-one.special_days, one.isin))

    def _issue(self, name: str, seen: list[tuple[int, float]]) -> SpecialIssue:
        values = np.array([value for _, value in seen])
        on = [day for day, value in seen if value >= self.limit_bp - 1e-9]
        runs = np.split(on, np.flatnonzero(np.diff(on) > 1) + 1) if on else []
        spells = tuple((self._days[run[0]], self._days[run[-1]]) for run in runs)
        return SpecialIssue(name, values.size, len(on), float(values.mean()), float(values.max()), spells)


def fit_history(
    quotes: Iterable[Quote], issuer: Issuer = TREASURY, *, book: SpecialBook | None = None
) -> list[HistoryRow]:
    """Fit every day; ``book`` also follows the special issues."""
    rows = []
    for quote in quotes:
        try:
            day = fit_day(quote.universe, quote.settle, quote.repo, issuer)
        except ConfigError as error:
            rows.append(_refused(quote, str(error)))
            continue
        rows.append(history_row(day))
        if book is not None:
            six_month = issuer.quoted(quote.repo.six_month)
            book.add(quote.settle, quote.universe.isin, (six_month - quote.universe.repo_6m) * 1e4)
    return rows


def history_row(day: DayFit) -> HistoryRow:
    """The numbers that are kept of a fit."""
    curve = day.enhanced.curve
    return HistoryRow(
        day.settle,
        day.rows.size,
        day.enhanced.rmse * 1e4,
        day.legacy.rmse * 1e4,
        float(np.sqrt(np.nanmean(day.enhanced.left_out_yield_error**2))) * 1e4,
        curve.repo.overnight,
        curve.one_day_zero(),
        curve.short_end_gap() * 1e4,
        tuple(curve.par_yield(np.array(PAR_TERMS), beyond="nan").tolist()),
    )


def columns(rows: list[HistoryRow]) -> Mapping[str, NDArray]:
    """The history as named columns, for a file or a plot."""
    named = {
        name: np.array([getattr(row, name) for row in rows])
        for name in HistoryRow._fields
        if name not in ("par_yields", "refused")
    }
    par = np.array([row.par_yields for row in rows]).reshape(-1, len(PAR_TERMS))
    return {
        **named,
        **{f"par_{term:g}y": par[:, k] for k, term in enumerate(PAR_TERMS)},
        "refused": np.array([row.refused for row in rows]),
    }


def _refused(quote: Quote, reason: str) -> HistoryRow:
    nothing = float("nan")
    return HistoryRow(
        quote.settle,
        0,
        nothing,
        nothing,
        nothing,
        quote.repo.overnight,
        nothing,
        nothing,
        (nothing,) * len(PAR_TERMS),
        reason,
    )
