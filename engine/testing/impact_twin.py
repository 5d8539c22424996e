"""Impact twice more, in plain Python: as the kernels count it, bit for bit, and as the formula is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from engine.broker.impact import prepare
from engine.broker.impact_tables import COLUMNS, EXPONENTS, MANTISSAS, OCTAVES, POWERS, STEPS, Decay
from engine.broker.impact_tables import displacement as exact
from engine.broker.impact_tables import in_progress as now


class ImpactTwin:
    """One instrument's impact from the same tables, without a kernel; see ``engine.broker.impact_kernels``."""

    def __init__(self, state: np.void, table: np.void) -> None:
        self.cell, self.scale, self.lasting_scale = (
            int(state["cell"]),
            float(state["scale"]),
            float(state["lasting_scale"]),
        )
        self.table: Mapping[str, Any] = {name: table[name].tolist() for name in table.dtype.names or ()}
        self.volume = self.ended = self.own = self.net = 0
        self.lasting = 0.0
        self.z = [0.0] * COLUMNS

    @classmethod
    def all_of(cls, model: Any, symbols: list[str]) -> list[ImpactTwin]:
        """Twins of what ``prepare`` gives."""
        states, table = prepare(model, symbols)
        return [cls(state, table[0]) for state in states]

    def on_market_volume(self, size: int) -> None:
        """The market traded ``size``."""
        cells, self.volume = divmod(self.volume + size, self.cell)
        if cells == 0:
            return
        self.ended += cells
        self.own = 0
        for _ in range(min(cells, 2)):
            current, last, *older = self.z
            self.z = [0.0, current, *(s + last for s in self._decayed(older, 0))]
        for k in range(max(cells - 2, 0).bit_length()):
            if (cells - 2) >> k & 1:
                self.z[2:] = self._decayed(self.z[2:], min(k, POWERS - 1))

    def met_by_fill(self, side: int, size: int, kind: int = 0, book: int = 0) -> float:
        """bp that a fill not yet noted meets on average while it is made."""
        signed = side * size
        if self.table["by_state"]:
            mean = self.z[0] + 0.5 * (self.scale * signed * self.table["psi"][kind][book])
        else:
            mean = self.scale * self._mean_power(self.own, self.own + signed)
        return self._weighed(self.lasting_scale * self._mean_net(signed), [mean, *self.z[1:]])

    def on_own_fill(self, side: int, size: int, kind: int = 0, book: int = 0) -> None:
        """We traded ``size``."""
        self.own += side * size
        self.net += side * size
        if self.table["by_state"]:
            self.z[0] += self.scale * side * size * self.table["psi"][kind][book]
        else:
            self.z[0] = _sign(self.own) * self.scale * self._power(abs(self.own) / self.cell)
        net = float(abs(self.net))
        self.lasting = _sign(self.net) * self.lasting_scale * (math.sqrt(net) if self.table["by_root"] else net)

    def split(self, new: int, old: int) -> None:
        """``new`` units for ``old`` ones: sizes are counted in new units from here; the displacement stays."""
        self.cell = max(1, self.cell * new // old)
        self.volume = min(self.volume * new // old, self.cell - 1)
        self.own, self.net = (int(_sign(n)) * (abs(n) * new // old) for n in (self.own, self.net))
        if self.table["by_state"]:
            self.scale *= old / new
        self.lasting_scale *= math.sqrt(old / new) if self.table["by_root"] else old / new

    def displacement(self) -> float:
        """bp."""
        return self._weighed(self.lasting, self.z)

    def _weighed(self, total: float, impulses: list[float]) -> float:
        """``total`` and the impulses by their columns, now."""
        u = self.volume / self.cell
        m, e = math.frexp(u)
        row, part = 0, u * 2.0**OCTAVES
        if u > 0.0 and e > -OCTAVES:
            step, part = divmod((2.0 * m - 1.0) * STEPS, 1.0)
            row = 1 + (e + OCTAVES - 1) * STEPS + int(step)
        for z, low, high in zip(impulses, self.table["kernel"][row], self.table["kernel"][row + 1], strict=True):
            total += z * (low + part * (high - low))
        return total

    def displacement_ticks(self, mid2: int, tick: int) -> int:
        """Whole ticks, half-even."""
        return round(self.displacement() * mid2 / (20_000.0 * tick))

    def _decayed(self, terms: list[float], power: int) -> list[float]:
        decayed = (s * d for s, d in zip(terms, self.table["decay"][power], strict=True))
        return [s if abs(s) >= 1e-200 else 0.0 for s in decayed]

    def _mean_power(self, start: int, end: int) -> float:
        first, last = abs(start) / self.cell, abs(end) / self.cell
        difference = last * self._power(last) - first * self._power(first)
        return difference * self.table["mean"] / ((end - start) / self.cell)

    def _mean_net(self, signed: int) -> float:
        start, end = self.net, self.net + signed
        if not self.table["by_root"]:
            return 0.5 * (start + end)
        first, last = float(abs(start)), float(abs(end))
        return (last * math.sqrt(last) - first * math.sqrt(first)) * (2.0 / 3.0) / (end - start)

    def _power(self, v: float) -> float:
        if v == 0.0:
            return 0.0
        m, e = math.frexp(v)
        step, part = divmod((2.0 * m - 1.0) * MANTISSAS, 1.0)
        low, high = self.table["mantissa"][int(step) : int(step) + 2]
        octave = self.table["octave"][min(max(e + EXPONENTS // 2, 0), EXPONENTS - 1)]
        return (low + part * (high - low)) * octave


def by_definition(
    decay: Decay, omega: float, exponent: float, impulses: Mapping[int, float], ended: int, u: float
) -> float:
    """The sum over all cells, ``impulses[n]`` that of the n-th, when ``ended`` cells and the fraction u have passed."""
    return math.fsum(
        f * float(exact(decay, omega, ended - n, Decimal(u)) if n < ended else now(decay, omega, exponent, Decimal(u)))
        for n, f in impulses.items()
    )


def _sign(n: int) -> float:
    return float((n > 0) - (n < 0))
