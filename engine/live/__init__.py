"""Live-like markets over ZeroMQ: a feed, a paper broker and runners, each a pure core in a thin shell."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.live.client import Client
    from engine.live.publisher import Publisher

__all__ = ["Client", "Publisher"]

_HOMES = {"Client": "engine.live.client", "Publisher": "engine.live.publisher"}


def __getattr__(name: str) -> Any:
    """For programs of a desk's own; found when asked for, so that nothing else loads ZeroMQ."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
