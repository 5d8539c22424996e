"""How far the mid goes after order flow: the straight line, its error, and the means of equally many samples."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.rates.block_bootstrap import block_rows

Floats = NDArray[np.float64]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """``move = intercept + slope * flow``, by least squares, moves in price ticks."""

    slope: float
    slope_error: float  # by blocks of ten horizons
    intercept: float
    r2: float
    flow: list[float]  # mean of each of the groups of samples, by order of flow
    move: list[float]
    move_error: list[float]  # of the mean, as if samples were alone but for the horizon that they share


def order_flow_line(
    flow: Floats, move: Floats, horizon: int, rng: np.random.Generator, *, groups: int = 20, draws: int = 200
) -> Line:
    """Of moves ``horizon`` ticks ahead, float64[n], on order flow, float64[n]."""
    slope, intercept = _fit(flow, move)
    block = min(10 * horizon, len(flow))
    drawn = [_fit(flow[rows], move[rows])[0] for rows in (block_rows(len(flow), block, rng) for _ in range(draws))]
    explained = 1 - np.var(move - intercept - slope * flow) / np.var(move) if np.var(move) > 0 else 0.0
    parts = [part for part in np.array_split(np.argsort(flow, kind="stable"), groups) if len(part)]
    return Line(
        slope=slope,
        slope_error=float(np.std(drawn, ddof=1)),
        intercept=intercept,
        r2=float(explained),
        flow=[float(flow[part].mean()) for part in parts],
        move=[float(move[part].mean()) for part in parts],
        move_error=[float(move[part].std() * np.sqrt(min(1.0, horizon / len(part)))) for part in parts],
    )


def _fit(flow: Floats, move: Floats) -> tuple[float, float]:
    spread = np.var(flow)
    slope = float(np.mean((flow - flow.mean()) * (move - move.mean())) / spread) if spread > 0 else 0.0
    return slope, float(move.mean() - slope * flow.mean())
