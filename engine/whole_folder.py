"""A folder that is written whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import ConfigError


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """A place to write in, which takes ``folder``'s place when all is written; what fails leaves ``folder`` as it was.

    Raises
    ------
    ConfigError
        If it cannot be written.
    """
    scratch = folder.with_name(f".{folder.name}.partly")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        yield scratch
        if folder.exists():
            shutil.rmtree(folder)
        scratch.rename(folder)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}); choose another --out folder") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
