"""Damage to files and failing disks, for real: no mock stands between the code and the kernel."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def flips(file: Path, step: int = 1) -> Iterator[str]:
    """Flip one bit of each ``step``-th byte of a file, one at a time, each time another of the eight; which one."""
    with file.open("r+b", buffering=0) as raw:
        for at in range(0, file.stat().st_size, step):
            byte = os.pread(raw.fileno(), 1, at)[0]
            bit = (at // step) % 8
            os.pwrite(raw.fileno(), bytes([byte ^ 1 << bit]), at)
            yield f"bit {bit} of byte {at} of {file.name}"
            os.pwrite(raw.fileno(), bytes([byte]), at)


@contextmanager
def no_file_may_exceed(size: int) -> Iterator[None]:
    """The kernel refuses every byte beyond ``size`` of any file that this process writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
