"""One sentence for each bad number: which argument, which index, what it is, what it must be, what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import ConfigError


def numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """``values`` as float64, refused where they are no numbers at all."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"{name} must be numbers, but is {values!r}; give floats or an array of them") from None


def refuse(name: str, values: Any, bad: NDArray[np.bool_], must: str, cure: str) -> None:
    """Raise ConfigError about the first value that is ``bad``.

    The sentence reads: ``name[index] is value, but must {must}; {cure}``.
    """
    if not np.any(bad):
        return
    index = np.unravel_index(int(np.argmax(bad)), np.shape(bad))
    at = f"[{', '.join(str(int(k)) for k in index)}]" if np.ndim(bad) else ""
    raise ConfigError(f"{name}{at} is {np.asarray(values)[index]}, but must {must}; {cure}")


def refuse_percent(name: str, rates: NDArray[np.float64], *, below: float = 0.5) -> None:
    """Refuse rates of ``below`` and more: decimals are meant, and such numbers are percentages by mistake."""
    bad = rates >= below
    refuse(name, rates, bad, f"be a decimal below {below}", "divide percentages by 100 (4.25 % is 0.0425)")
