"""Drawing samples again in blocks of neighbours, so that errors know that neighbours are alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError

Floats = NDArray[np.float64]


def draw_counts(n: int, block: int, draws: int, seed: int) -> Floats:
    """How often each of n samples in order is drawn: float64[draws, n], whole blocks of neighbours at a time.

    The last block may be shorter, so the drawn number varies a little; means of what is drawn do not mind.

    Raises
    ------
    ConfigError
        If there are fewer than two blocks.
    """
    blocks = -(-n // block)
    if blocks < 2:
        raise ConfigError(f"{n} samples in blocks of {block} give no errors; take more of them")
    rng = np.random.Generator(np.random.Philox(seed))
    drawn = rng.multinomial(blocks, np.full(blocks, 1 / blocks), draws).astype(np.float64)
    return np.repeat(drawn, block, axis=1)[:, :n]
