"""Sums of fill chances by step and state of alpha: the kernel alone, as ``engine.learning.fill_times``."""

from __future__ import annotations

import numpy as np

from engine.compiled import compiled
from engine.fill_table import fill_chance
from engine.learning.placement_problem import AGGRESSIVE, WAIT


@compiled
def add_chances(
    imbalance_edges, touch_edges, sizes, horizons, probability, shown, own, state, level, parts, horizon_s, total, count
):  # fmt: skip
    for i in range(own.size):
        count[state[i]] += 1.0
        cell = np.searchsorted(imbalance_edges, own[i], side="right")
        for t in range(horizon_s.size):
            for p in range(level.size):
                if level[p] == AGGRESSIVE:
                    total[t, p, state[i]] += shown[cell, p]
                elif level[p] != WAIT:
                    for part in range(parts.shape[1]):
                        total[t, p, state[i]] += fill_chance(
                            imbalance_edges, touch_edges, sizes, horizons, probability, level[p], own[i], np.nan,
                            parts[p, part], horizon_s[t],
                        ) / parts.shape[1]  # fmt: skip
