"""How a day's volume spreads over the session, estimated from earlier days.

A curve cuts the session into bins of equal length and gives each an integer weight; the weights add up to ``ONE``
exactly. An estimate takes each day's share of volume by bin, averages the days (a busy day counts no more than a
quiet one), smooths neighbours (1, 2, 1) except the first and last bin, whose peaks are real, and rounds by largest
remainder. Auction prints are left out: a schedule works in continuous trading.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise

import msgspec
import numpy as np

from engine.errors import ConfigError, TapeError
from engine.schedule import Schedule, largest_remainder
from engine.shipped import shipped_tapes
from engine.tape import Flag, Kind, Tape

ONE = 1_000_000_000


class VolumeCurve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of equal bins of a session, in units of 1 / ONE; ``origin`` says in words where they come from."""

    weights: tuple[int, ...]
    origin: str

    def __post_init__(self) -> None:
        if not self.weights or min(self.weights) < 0 or sum(self.weights) != ONE:
            raise ConfigError(
                f"a volume curve's weights must be >= 0 and add up to {ONE}, not to {sum(self.weights)}; "
                "share it out with engine.schedule.largest_remainder"
            )

    def edges(self, session: tuple[int, int]) -> list[int]:
        """The bins' edges in ns UTC for a session [open, close); a short day squeezes the curve."""
        return _edges(session, len(self.weights))

    def schedule(self, size: int, start: int, end: int, *, session: tuple[int, int], lot: int = 1) -> Schedule:
        """Spread ``size`` over [start, end) of ``session`` as the curve spreads volume, in whole lots.

        A bin that is only partly inside counts in proportion; a part with no weight at all is spread evenly.
        """
        edges = self.edges(session)
        inner = [start, *(edge for edge in edges if start < edge < end), end]
        weights = []
        for left, right in pairwise(inner):
            k = bisect_right(edges, left) - 1  # this piece is part of bin k; outside the session it has no weight
            weight = self.weights[k] if 0 <= k < len(self.weights) else 0
            weights.append(weight * ONE * (right - left) // (edges[k + 1] - edges[k]) if weight else 0)
        if not any(weights):
            weights = [right - left for left, right in pairwise(inner)]
        return Schedule.over(size, inner, weights, lot=lot)


def us_equity_default(bins: int = 78) -> VolumeCurve:
    """A stand-in for "no earlier day at hand": the U shape of US stocks, w(x) ~ 1 + 3 (1-x)^8 + 3 x^16.

    x in [0, 1] is the place in the session. The first half hour of 6.5 h gets 16 % of the volume, the middle one 5 %
    and the last one 14 %, near what liquid US stocks show. It is a default, not an estimate: fit your own.
    """

    def cumulative(x: Fraction) -> Fraction:
        return x + Fraction(3, 9) * (1 - (1 - x) ** 9) + Fraction(3, 17) * x**17

    steps = [cumulative(Fraction(k, bins)) for k in range(bins + 1)]
    exact = [right - left for left, right in pairwise(steps)]
    scale = Fraction(10**18) / steps[-1]
    weights = largest_remainder(ONE, [int(part * scale) for part in exact])
    return VolumeCurve(tuple(weights), "default U shape of US stocks, not estimated")


def estimate(
    tapes: Iterable[Tape], symbol: str, *, bins: int = 78, smoothing: int = 1, before: int | None = None
) -> VolumeCurve:
    """The volume curve of ``symbol`` over all sessions of ``tapes`` in which it traded.

    Parameters
    ----------
    tapes : tapes of earlier days
        BAR rows are used where an instrument has them (volume belongs to the time before a bar's end), else TRADE and
        EXECUTE rows.
    bins : int
        Bins a session.
    smoothing : int
        How often neighbours are smoothed; 0 leaves the averages as they are.
    before : int, optional
        ns UTC. A session that ends later is refused: it would be a look into the future.

    Raises
    ------
    TapeError
        If the symbol never trades in the tapes, if bars are longer than bins, or if a session is not before ``before``.
    """
    total = [0] * bins
    days = 0
    for tape in tapes:
        for session in tape.sessions:
            volume = _volume_by_bin(tape, symbol, session, bins)
            if not any(volume):
                continue
            if before is not None and session[1] > before:
                raise TapeError(
                    f"{_name(tape)}: the session that ends at {session[1]} is not over at {before}, when a volume "
                    "curve is wanted; give earlier days, or allow it with look_ahead = true"
                )
            days += 1
            total = [a + b for a, b in zip(total, largest_remainder(ONE, volume), strict=True)]
    if not days:
        raise TapeError(f"{symbol} does not trade in the tapes for its volume curve; give tapes of days when it does")
    for _ in range(smoothing):
        total = _smooth(total)
    return VolumeCurve(tuple(largest_remainder(ONE, total)), f"{days} day{'s' if days > 1 else ''} of {symbol}")


class CurveSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a strategy's volume curve comes from, as a config says it; no tapes is the US default.

    ``tapes`` are names of tapes that ship, or folders.
    ``look_ahead`` allows the traded day itself: a study of what a perfect forecast is worth, never a result.
    """

    tapes: tuple[str, ...] = ()
    bins: int = 78
    smoothing: int = 1
    look_ahead: bool = False

    def curve(self, symbol: str, before: int) -> VolumeCurve:
        """The curve to use in a session that opens at ``before`` (ns UTC)."""
        if not self.tapes:
            return us_equity_default(self.bins)
        shipped = shipped_tapes()
        tapes = [Tape.load(shipped.get(name, name)) for name in self.tapes]
        limit = None if self.look_ahead else before
        curve = estimate(tapes, symbol, bins=self.bins, smoothing=self.smoothing, before=limit)
        warning = ", with LOOK-AHEAD allowed" if self.look_ahead else ""
        return VolumeCurve(curve.weights, curve.origin + warning)


def _smooth(weights: Sequence[int]) -> list[int]:
    inner = [a + 2 * b + c for a, b, c in zip(weights, weights[1:], weights[2:], strict=False)]
    return [4 * weights[0], *inner, 4 * weights[-1]] if len(weights) > 1 else list(weights)


def _volume_by_bin(tape: Tape, symbol: str, session: tuple[int, int], bins: int) -> list[int]:
    number = next((k for k, instrument in enumerate(tape.instruments) if instrument.symbol == symbol), None)
    if number is None:
        return [0] * bins
    # a bar that ends at the close belongs to the session, and its row is at the close itself
    first, last = np.searchsorted(tape.rows["ts_event"], (session[0], session[1] + 1))
    rows = tape.rows[first:last]
    rows = rows[rows["instrument"] == number]
    bars = rows[rows["kind"] == Kind.BAR]
    if len(bars):
        # by their spacing, not their number: where nothing traded there is no bar
        length = session[1] - session[0]
        spacing = int(np.diff(bars["ts_event"]).min()) if len(bars) > 1 else length
        if spacing * bins > length:
            raise TapeError(
                f"{_name(tape)}: {len(bars)} bars of {symbol} cannot fill {bins} bins of a session; "
                f"use at most {length // spacing} bins"
            )
        when, size = bars["ts_event"] - 1, bars["size"]  # the moment before its end is inside the bar
        if not tape.manifest.sessions:  # they begin with the end of the first bar
            when = np.maximum(when, session[0])
    else:
        trades = rows[np.isin(rows["kind"], (Kind.TRADE, Kind.EXECUTE)) & (rows["flags"] & Flag.AUCTION == 0)]
        when, size = trades["ts_event"], trades["size"]
    inside = (when >= session[0]) & (when < session[1])
    volume = np.zeros(bins, np.int64)
    np.add.at(volume, np.searchsorted(_edges(session, bins), when[inside], side="right") - 1, size[inside])
    return volume.tolist()


def _edges(session: tuple[int, int], bins: int) -> list[int]:
    return [session[0] + (session[1] - session[0]) * k // bins for k in range(bins + 1)]


def _name(tape: Tape) -> str:
    return str(tape.path or tape.manifest.name or "a tape")
