"""Kill switches in force, by number: releasing one takes the number that throwing it was given."""

from __future__ import annotations


class Latches:
    """Which accounts may not trade, and why."""

    def __init__(self) -> None:
        self.in_force: dict[int, tuple[int, str]] = {}  # number -> (account, why)
        self.last = 0  # number given out

    def holds(self, account: int) -> bool:
        """Whether an account's switch is thrown."""
        return any(latched == account for latched, _ in self.in_force.values())

    def throw(self, account: int, why: str, number: int = 0) -> int:
        """Throw an account's switch; its number, which is a new one unless a log says which it was."""
        self.last = max(self.last, number or self.last + 1)
        self.in_force[number or self.last] = (account, why)
        return number or self.last

    def release(self, number: int) -> int:
        """The account that may trade again; -1 if there was no such latch."""
        return self.in_force.pop(number, (-1, ""))[0]
