"""The decorator of every kernel: compiled once, whatever constants it is called with.

numba compiles a function anew for each combination of literal arguments and of integer widths that it meets. Our
kernels mean int64 throughout, so a call from another kernel is typed with int64 in their place: three times fewer
compilations, and the caller converts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numba import njit, types

from engine.kernel_cache import ensure

ensure()  # before the first kernel is made


def kernel(function: Callable[..., Any]) -> Any:
    """``njit``, with literal and narrow integer arguments widened to int64 in calls from other kernels."""
    dispatcher: Any = njit(function, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)  # pyright: ignore[reportCallIssue]
    typed = dispatcher.get_call_template
    dispatcher.get_call_template = lambda args, kws: typed(_widened(args), kws)
    return dispatcher


def _widened(args: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(_wide(types.unliteral(arg)) for arg in args)


def _wide(kind: Any) -> Any:
    return types.int64 if isinstance(kind, types.Integer) and getattr(kind, "bitwidth", 64) < 64 else kind
