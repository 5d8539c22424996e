"""The decorator of every kernel: compiled once, whatever constants it is called with, and only as part of an entry.

numba compiles a function anew for each combination of literal arguments and of integer widths that it meets. Our
kernels mean int64 throughout, so a call from another kernel is typed with int64 in their place: three times fewer
compilations, and the caller converts.

It also optimises each function together with all that it calls, and makes machine code of it, once for every level of
the calls. Kernels are called by kernels only, so theirs wait as they are until an entry point (an ``njit`` with its
signature) has linked all of them: then LLVM sees the whole once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numba import njit, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

from engine.kernel_cache import ensure

ensure()  # before the first kernel is made


def kernel(function: Callable[..., Any]) -> Any:
    """``njit``, with literal and narrow integer arguments widened to int64 in calls from other kernels."""
    options: Any = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    dispatcher: Any = njit(function, pipeline_class=_PartCompiler, **options)
    typed = dispatcher.get_call_template
    dispatcher.get_call_template = lambda args, kws: typed(_widened(args), kws)
    return dispatcher


def _widened(args: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(_wide(types.unliteral(arg)) for arg in args)


def _wide(kind: Any) -> Any:
    return types.int64 if isinstance(kind, types.Integer) and getattr(kind, "bitwidth", 64) < 64 else kind


class _Part(JITCodeLibrary):
    """Code that is only ever linked into other code."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0  # there is none

    @property
    def codegen(self) -> _Part:
        return self

    def set_env(self, env_name: str, env: Any) -> None:
        """Nothing runs here that could look at it."""


class _PartCompiler(Compiler):
    def __init__(self, typingctx: Any, targetctx: Any, library: Any, *rest: Any) -> None:
        super().__init__(typingctx, targetctx, _Part(targetctx.codegen(), "kernel"), *rest)
