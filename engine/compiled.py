"""The decorator of a kernel that Python calls: compiled on first use, and kept where ``kernel_cache`` says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from engine.kernel_cache import ensure

ensure()  # numba fixes the folder of a kernel when the kernel is made

compiled: Callable[[Callable[..., Any]], Any] = njit(cache=True)

_UNCOUNTED: Any = {"cache": True, "_nrt": False}

compiled_bare: Callable[[Callable[..., Any]], Any] = njit(**_UNCOUNTED)
"""The same for a kernel that makes no array.

Arrays that it is given are not counted: of a small kernel with a tuple of arrays that is nearly all of its time.
"""
