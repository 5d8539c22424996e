"""The simulated broker. Its kernels are compiled once and kept; where, is settled before numba is imported."""

from engine.kernel_cache import ensure

ensure()
