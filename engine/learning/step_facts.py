"""What a recorded day was like step by step: the market that a placement problem is calibrated to.

The day is cut into periods in which a parent order could be worked, one after the other, and each period into steps of
equal time. At a step's start stand the mid, the spread, the imbalance of the touch and the forecast; nothing later than
the start is in them. Volume is what traded in the step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.learning.features import Samples, samples
from engine.signals import NAMES, Clock
from engine.strategy import SECOND
from engine.tape import Flag, Kind, Tape

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEVER = np.iinfo(np.int64).max
IMBALANCE = NAMES.index("queue_imbalance")


class Periods(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When parents are worked, in seconds; periods follow one another."""

    after_open_s: Annotated[int, msgspec.Meta(ge=0)] = 1_800
    before_close_s: Annotated[int, msgspec.Meta(ge=0)] = 900
    each_s: Annotated[int, msgspec.Meta(ge=1)] = 1_800

    def starts(self, session: tuple[int, int]) -> list[int]:
        """ns UTC at which each begins."""
        each = self.each_s * SECOND
        first, last = session[0] + self.after_open_s * SECOND, session[1] - self.before_close_s * SECOND
        return list(range(first, last - each + 1, each))


class Forecast(NamedTuple):
    """A forecast of direction: signals[n, 18] to the lean, P(up) - P(down), float64[n]."""

    clock: Clock  # of its signals
    lean: Callable[[Floats], Floats]


class StepFacts(NamedTuple):
    """n periods of T steps of one day; prices in price units of the tape."""

    start: Ints  # [n] ns UTC, of the periods
    mid: Floats  # [n, T + 1] at the starts, and at the period's end
    spread: Floats  # [n, T + 1]
    imbalance: Floats  # [n, T] -1 ... 1, bid less ask
    lean: Floats  # [n, T] -1 ... 1
    volume: Floats  # [n, T] size units

    def some(self, rows: slice) -> Self:
        """Those of the periods."""
        columns: list[Any] = [column[rows] for column in self]
        return type(self)(*columns)


def step_facts(tape: Tape, symbol: str, periods: Periods, steps: int, forecast: Forecast | None = None) -> StepFacts:
    """Measure a day.

    Parameters
    ----------
    tape : Tape
        Of one or more sessions.
    symbol : str
    periods : Periods
    steps : int
        T.
    forecast : Forecast, optional
        Without it the imbalance itself is the forecast.

    Raises
    ------
    ConfigError
        If no period lies in the sessions, or all begin before the signals are ready.
    """
    starts = np.array([start for session in tape.sessions for start in periods.starts(session)], np.int64)
    if not len(starts):
        raise ConfigError(
            f"{symbol}: no period of {periods.each_s} s lies between {periods.after_open_s} s after the open and "
            f"{periods.before_close_s} s before the close; use shorter periods or longer days"
        )
    edges = starts[:, None] + np.arange(steps + 1) * (periods.each_s * SECOND // steps)  # (n, T + 1)
    seen = _ready(tape, symbol, "quote")
    told = seen if forecast is None or forecast.clock == "quote" else _ready(tape, symbol, forecast.clock)
    known = (seen.ts[:1].min(initial=NEVER) <= edges[:, 0]) & (told.ts[:1].min(initial=NEVER) <= edges[:, 0])
    if not known.any():
        raise ConfigError(f"{symbol}: the signals are never ready before a period begins; start periods later")
    edges = edges[known]
    at = np.searchsorted(seen.ts, edges, side="right") - 1
    imbalance = seen.values[at[:, :-1], IMBALANCE]
    lean = imbalance
    if forecast is not None:
        values = told.values[np.searchsorted(told.ts, edges[:, :-1], side="right") - 1]
        lean = forecast.lean(values.reshape(-1, len(NAMES))).reshape(imbalance.shape)
    return StepFacts(
        start=edges[:, 0],
        mid=seen.mid2[at] / 2,
        spread=seen.spread[at].astype(np.float64),
        imbalance=imbalance,
        lean=lean,
        volume=_volume(tape, symbol, edges),
    )


def _ready(tape: Tape, symbol: str, clock: Clock) -> Samples:
    seen = samples(tape, symbol, clock=clock)
    columns: list[Any] = [column[seen.ready] for column in seen]
    return Samples(*columns)


def _volume(tape: Tape, symbol: str, edges: Ints) -> Floats:
    """Traded between neighbouring edges, auctions left out: float64[n, T]."""
    number = next(k for k, one in enumerate(tape.instruments) if one.symbol == symbol)
    rows = tape.rows
    traded = (rows["kind"] == Kind.TRADE) | (rows["kind"] == Kind.EXECUTE)
    rows = rows[traded & (rows["instrument"] == number) & (rows["flags"] & Flag.AUCTION == 0)]
    passed = np.concatenate([[0], np.cumsum(rows["size"])])
    return np.diff(passed[np.searchsorted(rows["ts_event"], edges)], axis=1).astype(np.float64)
