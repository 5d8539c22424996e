"""Small option markets for the tests of the short-gamma backtest."""

from __future__ import annotations

import numpy as np

from engine.rates.option_panel import OptionPanel

FIRST = np.datetime64("2015-01-02")


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def normal_world(
    sales: int, *, seed: int, closes: int = 21, vol: float = 0.008, implied: float | None = None, annuity: float = 9.0
) -> OptionPanel:
    """Forwards with independent normal moves, each sale on its own path, a constant annuity, no skew."""
    years = np.arange(closes, -1, -1) / 252
    moves = rng(seed).normal(0, vol / np.sqrt(252), (sales, closes))
    forward = 0.02 + np.concatenate([np.zeros((sales, 1)), np.cumsum(moves, axis=1)], axis=1)
    shape = forward.shape
    return OptionPanel(
        FIRST + np.arange(sales + closes),
        np.arange(sales),
        np.full(sales, closes),
        forward,
        np.full(shape, annuity),
        np.tile(years, (sales, 1)),
        np.full((*shape, 1), implied or vol),
    )


def random_world(seed: int, *, offsets: int, cash_settled: bool) -> OptionPanel:
    """Three ragged sales in which everything moves: forwards, annuities, vols and skew."""
    draw = rng(seed)
    sales, closes = 3, 9
    last = draw.integers(1, closes, sales)
    shape = (sales, closes)
    days_left = np.maximum(last[:, None] - np.arange(closes), 0)
    forward = draw.uniform(-0.005, 0.05, (sales, 1)) + np.cumsum(draw.normal(0, 6e-4, shape), axis=1)
    annuity = 9 + np.cumsum(draw.normal(0, 0.05, shape), axis=1)
    nodes = np.sort(draw.choice(np.arange(-20, 21), offsets, replace=False)) * 1e-3 if offsets > 1 else np.zeros(1)
    smiles = 0.008 + draw.uniform(-0.001, 0.001, (*shape, 1)) + draw.uniform(-1, 1, (*shape, offsets)) * 4e-4
    for array in (forward, annuity):
        array[np.arange(closes) > last[:, None]] = np.nan  # never read
    settlement = annuity * draw.uniform(0.9, 1.0, shape) if cash_settled else None
    dates, sold = FIRST + np.arange(20), np.sort(draw.integers(0, 10, sales))
    return OptionPanel(
        dates, sold, last, forward, annuity, days_left / 252, smiles, offsets=nodes, settlement=settlement
    )


def as_dictionaries(panel: OptionPanel, sale: int) -> list[dict]:
    """One sale's market as the plain twin reads it."""
    return [
        {
            "forward": float(panel.forward[sale, k]),
            "annuity": float(panel.annuity[sale, k]),
            "settlement": float(panel.settlement[sale, k]),
            "years": float(panel.years[sale, k]),
            "offsets": panel.offsets.tolist(),
            "vols": panel.smiles[sale, k].tolist(),
        }
        for k in range(int(panel.last[sale]) + 1)
    ]
