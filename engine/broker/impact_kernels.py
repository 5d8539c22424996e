"""Impact along the walk: market volume passes, we trade, and the price stands displaced.

``state`` is an IMPACT record, ``table`` the TABLE record (``impact.prepare``). Only additions and multiplications; u is
split by ``frexp``, which is exact. The displacement is ``lasting + sum_k z[k] kernel[u, k]``: what a model is, is in
its tables.
"""

from __future__ import annotations

import math

from engine.broker.impact import IMBALANCES, SPREADS
from engine.broker.impact_tables import COLUMNS, EXPONENTS, MANTISSAS, OCTAVES, POWERS, STEPS, TERMS
from engine.broker.kernel import kernel

PASSIVE, DARK = 1, 2  # bits of the kind of a fill


@kernel
def on_market_volume(state, table, size):
    """The market traded ``size``, ours excluded."""
    state.volume += size
    if state.volume < state.cell:
        return
    cells = state.volume // state.cell
    state.volume -= cells * state.cell
    state.ended += cells
    state.own = 0
    if state.moved:
        _end_cells(state.z, table, cells)


@kernel
def on_own_fill(state, table, side, size, kind, book):
    """We traded ``size``; ``kind`` is of PASSIVE and DARK, ``book`` a ``book_state``: both matter to HFMI only."""
    state.moved = 1
    state.own += side * size
    state.net += side * size
    if table.by_state:
        state.z[0] += state.scale * side * size * table.psi[kind, book]
    else:
        v = abs(state.own) / state.cell
        state.z[0] = _sign(state.own) * state.scale * _power(table, v)
    net = float(abs(state.net))
    if table.by_root:
        net = math.sqrt(net)
    state.lasting = _sign(state.net) * state.lasting_scale * net


@kernel
def met_by_fill(state, table, side, size, kind, book):
    """bp of displacement that a fill not yet noted meets on average while it is made: itself is part of it."""
    row, part = _place(state.volume / state.cell)
    signed = side * size
    if table.by_state:
        mean = state.z[0] + 0.5 * (state.scale * signed * table.psi[kind, book])
    else:
        mean = state.scale * _mean_power(table, state.own, state.own + signed, state.cell)
    total = state.lasting_scale * _mean_net(table, state.net, state.net + signed)
    for k in range(COLUMNS):
        low = table.kernel[row, k]
        z = mean if k == 0 else state.z[k]
        total += z * (low + part * (table.kernel[row + 1, k] - low))
    return total


@kernel
def displacement(state, table):
    """bp that the price stands away from the recorded one, positive after buying."""
    return _displacement_at(state, table, state.volume) if state.moved else 0.0


@kernel
def _displacement_at(state, table, volume):
    """The same when so much has been traded in the cell."""
    row, part = _place(volume / state.cell)
    total = state.lasting
    for k in range(COLUMNS):
        low = table.kernel[row, k]
        total += state.z[k] * (low + part * (table.kernel[row + 1, k] - low))
    return total


@kernel
def displacement_ticks(state, table, mid2, tick):
    """Whole ticks, half-even, by which recorded prices are shifted; ``mid2`` is bid + ask as recorded."""
    return int(round_half_even(displacement(state, table) * mid2 / (20_000.0 * tick)))


@kernel
def ticks_within_cell(state, table, size, mid2, tick):
    """(whether the cell outlasts a trade of ``size``, whole ticks of displacement after it); the state stays."""
    volume = state.volume + size
    if volume >= state.cell:
        return False, 0
    return True, int(round_half_even(_displacement_at(state, table, volume) * mid2 / (20_000.0 * tick)))


@kernel
def rescale(state, table, new, old):
    """``new`` units for ``old`` ones, a split: sizes are counted in new units from here; the displacement stays."""
    state.cell = max(1, state.cell * new // old)
    state.volume = min(state.volume * new // old, state.cell - 1)
    state.own = _scaled(state.own, new, old)
    state.net = _scaled(state.net, new, old)
    ratio = old / new
    if table.by_state:
        state.scale *= ratio
    state.lasting_scale *= math.sqrt(ratio) if table.by_root else ratio


@kernel
def _scaled(n, new, old):
    """Towards zero."""
    return n * new // old if n >= 0 else -(-n * new // old)


@kernel
def book_state(side, bid, ask, bid_size, ask_size, tick):
    """0 to 14: spread of 1, 2, 3+ ticks times fifth of (own side - other side) / (sum of the sizes at the touch)."""
    spread = min(max((ask - bid + tick - 1) // tick, 1), SPREADS) - 1
    total = bid_size + ask_size
    if total <= 0:
        return spread * IMBALANCES + IMBALANCES // 2
    ours = bid_size if side > 0 else ask_size
    return spread * IMBALANCES + min(ours * IMBALANCES // total, IMBALANCES - 1)


@kernel
def _end_cells(z, table, cells):
    """``cells`` ended: the first held our impulse, the others were empty."""
    _decay(z, table, 0)
    for k in range(TERMS):
        z[2 + k] += z[1]
    z[1] = z[0]
    z[0] = 0.0
    if cells == 1:
        return
    _decay(z, table, 0)
    for k in range(TERMS):
        z[2 + k] += z[1]
    z[1] = 0.0
    cells -= 2
    power = 0
    while cells > 0:
        if cells & 1:
            _decay(z, table, min(power, POWERS - 1))
        cells >>= 1
        power += 1


@kernel
def _decay(z, table, power):
    """2^power empty cells pass over the exponentials."""
    for k in range(TERMS):
        z[2 + k] *= table.decay[power, k]
        if abs(z[2 + k]) < 1e-200:
            z[2 + k] = 0.0  # subnormal numbers are slow


@kernel
def _place(u):
    """The node at or below 0 <= u < 1, and how far u is towards the next, 0 to 1."""
    m, e = math.frexp(u)
    octave = e + OCTAVES - 1
    if octave < 0 or u == 0.0:
        return 0, u * 2.0**OCTAVES
    at = (2.0 * m - 1.0) * STEPS
    step = int(at)
    return 1 + octave * STEPS + step, at - step


@kernel
def _power(table, v):
    """v to the exponent of the tables, v >= 0."""
    if v == 0.0:
        return 0.0
    m, e = math.frexp(v)
    at = (2.0 * m - 1.0) * MANTISSAS
    step = min(int(at), MANTISSAS - 1)
    low = table.mantissa[step]
    octave = min(max(e + EXPONENTS // 2, 0), EXPONENTS - 1)
    return (low + (at - step) * (table.mantissa[step + 1] - low)) * table.octave[octave]


@kernel
def _mean_power(table, start, end, cell):
    """Mean of sign(v) |v|^exponent as our size in a cell goes from ``start`` to ``end``."""
    first, last = abs(start) / cell, abs(end) / cell
    return (last * _power(table, last) - first * _power(table, first)) * table.mean / ((end - start) / cell)


@kernel
def _mean_net(table, start, end):
    """Mean of the net size, or of its signed root, as it goes from ``start`` to ``end``."""
    if table.by_root == 0:
        return 0.5 * (start + end)
    first, last = float(abs(start)), float(abs(end))
    return (last * math.sqrt(last) - first * math.sqrt(first)) * (2.0 / 3.0) / (end - start)


@kernel
def _sign(n):
    return 1.0 if n > 0 else -1.0 if n < 0 else 0.0


@kernel
def round_half_even(x):
    low = math.floor(x)
    rest = x - low
    return low + 1.0 if rest > 0.5 or (rest == 0.5 and low % 2.0 == 1.0) else low
