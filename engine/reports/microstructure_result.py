"""What the microstructure of a tape is told in: numbers and curves with their errors, gathered in sections."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray


class Number(msgspec.Struct, frozen=True):
    """A statistic; ``error`` is one standard error, NaN (null in JSON) where there are too few blocks."""

    name: str
    value: float
    error: float = float("nan")
    unit: str = ""


class Curve(msgspec.Struct, frozen=True):
    """Points of a statistic over ``x``, each with one standard error (NaN: unknown)."""

    name: str
    x: list[float]
    y: list[float]
    error: list[float]


class Chart(msgspec.Struct, frozen=True):
    """Curves that share their axes."""

    title: str
    x: str  # name and unit
    y: str
    curves: list[Curve]
    log_x: bool = False
    log_y: bool = False
    bars: bool = False


class Section(msgspec.Struct, frozen=True):
    """One family of statistics; ``missing`` says why it is empty, or what of it the tape cannot answer."""

    title: str
    numbers: list[Number] = []
    charts: list[Chart] = []
    missing: str = ""


class Microstructure(msgspec.Struct, frozen=True):
    """Every section of one instrument, in the order in which they are read."""

    symbol: str
    book: str
    levels: int
    tick: float  # currency
    sessions: int
    seconds: float  # in session
    rows: int
    transactions: int
    signed_here: int  # transactions whose side is Lee and Ready's
    unsigned: int  # without a side even so: they count in volume alone
    sections: dict[str, Section]


def curve(name: str, x: NDArray, y: tuple[NDArray, NDArray], *, keep: NDArray | None = None) -> Curve:
    """A curve of ``y = (value, error)`` where ``keep`` holds and the value is finite."""
    value, error = y
    kept = np.isfinite(value) if keep is None else np.isfinite(value) & keep
    return Curve(name, *(np.asarray(part, np.float64)[kept].tolist() for part in (x, value, error)))


def number(name: str, of: tuple[NDArray, NDArray], unit: str = "", at: int = 0) -> Number:
    """One of the values of ``of = (value, error)``."""
    return Number(name, float(of[0][at]), float(of[1][at]), unit)
