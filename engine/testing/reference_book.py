"""A book of displayed sizes by price, as two dictionaries (rulebook section 3)."""

from __future__ import annotations

from typing import NamedTuple

from engine.tape import Flag, Kind

BID, ASK = 1, -1


class Row(NamedTuple):
    """One ROW as plain integers."""

    ts_event: int
    ts_recv: int
    order_id: int
    price: int
    size: int
    price2: int
    size2: int
    instrument: int
    kind: int
    side: int
    level: int
    flags: int

    def displaced(self, by: int) -> Row:
        """The row with its prices further up; a price of 0 in a STATUS says that there is none, and stays."""
        if self.kind == Kind.STATUS:
            return self._replace(
                price=self.price + by if self.price else 0, price2=self.price2 + by if self.price2 else 0
            )
        if self.kind == Kind.BAR:
            return self._replace(
                order_id=self.order_id + by, price=self.price + by, price2=self.price2 + by, size2=self.size2 + by
            )
        if self.kind in (Kind.CLOSE, Kind.CLEAR):
            return self
        return self._replace(price=self.price + by, price2=self.price2 + by)


class Change(NamedTuple):
    """A level went from one displayed size to another."""

    side: int
    price: int
    old: int
    new: int
    in_view: bool  # the level was or is among the observed ones
    queue: bool  # orders came or left; otherwise the view moved


class Book:
    """One instrument's displayed sizes; ``levels`` > 0 limits what is real to that many a side."""

    def __init__(self, levels: int) -> None:
        self.levels = levels
        self.sizes: dict[int, dict[int, int]] = {BID: {}, ASK: {}}

    def real(self, side: int) -> list[tuple[int, int]]:
        """(price, size) of the observed levels, best first."""
        ranked = sorted(self.sizes[side].items(), reverse=side == BID)
        return ranked[: self.levels] if self.levels else ranked

    def best(self, side: int) -> tuple[int, int]:
        """(price, size) of the best level; (0, 0) where the side is empty."""
        return next(iter(self.real(side)), (0, 0))

    @property
    def two_sided(self) -> bool:
        return bool(self.sizes[BID]) and bool(self.sizes[ASK])

    @property
    def crossed(self) -> bool:
        return self.two_sided and self.best(BID)[0] > self.best(ASK)[0]

    @property
    def mid_sum(self) -> int | None:
        """Bid + ask, or None while that is not a valid mid."""
        return self.best(BID)[0] + self.best(ASK)[0] if self.two_sided and not self.crossed else None

    def move(self, by: int) -> None:
        """Every level stands ``by`` higher."""
        self.sizes = {side: {price + by: size for price, size in sizes.items()} for side, sizes in self.sizes.items()}

    def apply(self, row: Row) -> list[Change]:
        """Take one row in; what changed, in order."""
        if row.kind == Kind.QUOTE:
            return self._quote(BID, row.price, row.size) + self._quote(ASK, row.price2, row.size2)
        if row.kind == Kind.CLEAR:
            gone = [self._set(side, price, 0, queue=False) for side in (BID, ASK) for price, _ in self._ranked(side)]
            return [change for change in gone if change]
        old = self.sizes[row.side].get(row.price, 0) if row.side else 0
        if row.kind in (Kind.DEPTH, Kind.REVEAL):
            new = row.size
        elif row.kind == Kind.ADD:
            new = old + row.size
        elif row.kind in (Kind.REDUCE, Kind.DELETE) or (row.kind == Kind.EXECUTE and not row.flags & Flag.HIDDEN):
            new = max(0, old - row.size)
        else:
            return []
        change = self._set(row.side, row.price, new, queue=row.kind != Kind.REVEAL or new > 0)
        return [change] if change else []

    def _ranked(self, side: int) -> list[tuple[int, int]]:
        return sorted(self.sizes[side].items(), reverse=side == BID)

    def _quote(self, side: int, price: int, size: int) -> list[Change]:
        """One level is all there is; a price that moved away is out of view, not cancelled."""
        gone = [self._set(side, other, 0, queue=False) for other, _ in self._ranked(side) if other != price or not size]
        here = self._set(side, price, size, queue=True) if size else None
        return [change for change in (*gone, here) if change]

    def _set(self, side: int, price: int, new: int, *, queue: bool) -> Change | None:
        sizes = self.sizes[side]
        old = sizes.get(price, 0)
        if new == old:
            return None
        seen = self._is_real(side, price)
        sizes[price] = new
        if not new:
            del sizes[price]
        return Change(side, price, old, new, seen or self._is_real(side, price), queue)

    def _is_real(self, side: int, price: int) -> bool:
        return any(price == real for real, _ in self.real(side))
