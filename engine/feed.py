"""What the loop reads from: anything with ``read`` that hands over rows in order."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.tape import Tape


class Feed(Protocol):
    """Rows, some at a time. ``TapeFeed`` gives a file's, a socket feed whatever has arrived."""

    tape: Tape  # instruments, sessions, corporate actions and panels of what it will hand over (rows may be empty)

    def read(self, *, until: int) -> NDArray[np.void] | None:
        """The next ROW[n], or None at the end; an empty one means nothing yet, and whoever drives the loop may wait.

        ``until`` is the next timer: a live feed that has nothing by then hands over a CLOCK row.
        """
        ...
