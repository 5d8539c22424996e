"""The data rules: what is dropped, what is clamped, what is kept and flagged, and what is refused.

Applied once, where data enters (an importer, a publisher), by ``clean``; a sealed tape is only checked. Each rule has
one reason code and everything is counted, so nothing is lost silently:

=============  ==========================================================================================
BAD_NUMBER     dropped: a number missing, not finite, beyond 2^53, or not a whole number of its unit
BAD_PRICE      dropped: a price <= 0 (unless the instrument allows it); a bar whose range excludes its open or close
BAD_SIZE       dropped: a negative size; a size of 0 where it means nothing (trades, orders)
UNKNOWN_INST   dropped: an instrument that the tape does not list
DUP            dropped: the same sequence number and content again
BOOK_DESYNC    dropped: a change of an order that is not in the book (whole books, order by order, only)
REORDER        put right: rows out of the order of their sequence numbers
TIME_CLAMPED   put right: out of the order of time; the fewest rows take the nearest time that is in order
TIME_BACK      flagged: such a row, moved by more than 1 s
OFF_TICK       flagged: price off the tick, or size off the lot
CROSSED        flagged: bid > ask after the row's group
LOCKED         flagged: bid = ask after the row's group
TIME_FUTURE    flagged: the venue's time is more than 1 s after the time of receipt
JUMP           flagged: a trade far from the recent ones (see ``jumps``)
OUTSIDE        flagged: a trade outside the quote that stood before it
GAP            counted: missing sequence numbers
QUIET          counted: stretches in session without a row
HOLIDAY        dropped: a close of a day on which the market is closed
CARRIED        counted: a close's value that was not there; the one before stands in for it, and its age says so
MISSING        counted: such a value for too long, or before the first; it is NaN
STILL          counted: a value that its source repeats for too long; its age says so
DUP_CONFLICT   refused: the same sequence number with other content
=============  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import TapeError
from engine.instruments import Instrument
from engine.panel_layout import check_panels
from engine.tape import Auction, Flag, Kind, State, Tape

SECOND = 1_000_000_000
NOT_A_NUMBER = -(2**63)  # how an importer writes a number that it could not read, like NaT
LARGEST = 2**53  # beyond it two numbers may add up to nonsense, and a float no longer shows them exactly
QUIET_NS = 60 * SECOND
LONG_WEEKEND_NS = 97 * 3_600 * SECOND  # four days, and the hour by which clocks change: closes are no further apart

BOOK_CHANGES = (Kind.DEPTH, Kind.ADD, Kind.REDUCE, Kind.DELETE, Kind.EXECUTE, Kind.REVEAL)
SIZED = (Kind.ADD, Kind.REDUCE, Kind.DELETE, Kind.EXECUTE, Kind.TRADE)  # a size of 0 means nothing here
PRICED = (*BOOK_CHANGES, Kind.TRADE)
BOOKS = {
    "L1": {Kind.QUOTE},
    "L2": {Kind.DEPTH, Kind.REVEAL},
    "L3": {Kind.ADD, Kind.REDUCE, Kind.DELETE, Kind.EXECUTE, Kind.REVEAL, Kind.DEPTH},
    "NONE": set(),
}
ANYWHERE = {Kind.TRADE, Kind.BAR, Kind.CLOSE, Kind.STATUS, Kind.CLEAR, Kind.CLOCK}
REASONS = tuple(flag for flag in Flag if flag >= Flag.OFF_TICK)

# counts that are no loss; every other code of a manifest that is not a flag was dropped
NOTES = frozenset({"REORDER", "GAP", "TIME_CLAMPED", "REVEAL", "UNEXPLAINED", "MESSAGES", "SIGNED"})
NOTES |= {"CARRIED", "MISSING", "STILL"}  # values of close-of-day panels

JUMP_WINDOW = 50  # recent prices that a price is held against
JUMP_LEAST = 10  # no judgement before that many
JUMP_FACTOR = 10  # times the usual distance from the median
JUMP_FLOOR = 2_000  # the usual distance is at least 1/2000 of the price (5 basis points)


class Verdict(msgspec.Struct, kw_only=True):
    """What the data rules found."""

    rows: dict[str, int] = {}  # kept, by kind; those of a SNAPSHOT, which are a state and no change, by themselves
    dropped: dict[str, int] = {}  # by reason code
    flagged: dict[str, int] = {}  # kept and marked, by reason code
    noted: dict[str, int] = {}  # put right or counted, by reason code
    ts_first: int = 0
    ts_last: int = 0
    quiet: int = 0  # stretches in session without a row, longer than quiet_ns
    quiet_ns: int = QUIET_NS
    longest_quiet_ns: int = 0
    longest_quiet_at: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """Reason code to count, without zeros: what a manifest keeps."""
        every = {**self.dropped, **self.flagged, **self.noted, "QUIET": self.quiet}
        return {code: int(count) for code, count in every.items() if count}

    def lines(self) -> list[str]:
        """The data verdict as people read it."""
        kept = sum(self.rows.values())
        kinds = ", ".join(f"{name} {count:,}" for name, count in self.rows.items())
        lines = [f"rows      {kept:,}" + (f" ({kinds})" if kinds else "")]
        if kept:
            lines.append(f"span      {_utc(self.ts_first)} to {_utc(self.ts_last)}")
        told = self.noted.get("MESSAGES", 0)
        book = ("MESSAGES", "UNEXPLAINED", "REVEAL") if told else ()
        noted = {code: count for code, count in self.noted.items() if code not in book}
        for title, counts in (("dropped", self.dropped), ("flagged", self.flagged), ("noted", noted)):
            found = ", ".join(f"{code} {count:,}" for code, count in counts.items() if count)
            lines.append(f"{title:<9} {found or 'nothing'}")
        if told:
            unexplained, reveals = (self.noted.get(code, 0) for code in ("UNEXPLAINED", "REVEAL"))
            lines.append(
                f"book      {unexplained:,} of {told:,} messages ({unexplained / told:.1%}) do not explain the book "
                f"after them; {reveals:,} REVEAL rows do"
            )
        quiet = f"{self.quiet:,} in session over {self.quiet_ns / SECOND:g} s"
        if self.quiet:
            quiet += f", the longest {self.longest_quiet_ns / SECOND:.1f} s from {_utc(self.longest_quiet_at)}"
        lines.append(f"quiet     {quiet}")
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines())


def clean(
    streams: NDArray[np.void] | Sequence[NDArray[np.void]],
    instruments: Sequence[Instrument],
    *,
    sessions: Sequence[tuple[int, int]] = (),
    sequence: NDArray[np.int64] | None = None,
    dropped: Mapping[str, int] | None = None,
    noted: Mapping[str, int] | None = None,
    quiet_ns: int = QUIET_NS,
    where: str = "rows",
) -> tuple[NDArray[np.void], Verdict]:
    """Apply every data rule to rows that enter, and say what was found.

    Parameters
    ----------
    streams : ROW[n] or a sequence of them
        Each stream in its own order, its groups ended by LAST; at equal time the earlier stream comes first.
        A number that could not be read is ``NOT_A_NUMBER``. Nothing is changed in place.
    instruments : Instrument[k]
        Indexed by ``instrument`` of a row.
    sessions : (open, close) in ns UTC
        Where quiet stretches are looked for; the span of the rows if empty.
    sequence : int64[n]
        The source's own numbers; only with a single stream. Without them nothing is taken for a duplicate.
    dropped, noted : mapping of reason code to count
        What the importer itself dropped or found, joined to the verdict.
    quiet_ns : int
        The shortest stretch without a row that counts.
    where : str
        Names the data in errors.

    Returns
    -------
    ROW[m], Verdict

    Raises
    ------
    TapeError
        Two rows with one sequence number and different content (``DUP_CONFLICT``); nothing left; most times going back.
    """
    from engine.book_rules import BookRules  # there, because it needs this module

    parts = [streams] if isinstance(streams, np.ndarray) else list(streams)
    if sequence is not None and len(parts) != 1:
        raise TapeError(f"{where}: sequence numbers order one stream, not {len(parts)}; clean each on its own")
    lost: dict[str, int] = dict(dropped or {})
    found: dict[str, int] = dict(noted or {})
    if sequence is not None:
        parts[0] = _in_sequence(parts[0], sequence, lost, found, where)
    parts = [in_time(reject(part, instruments, lost, where), found, where) for part in parts]
    rows = parts[0] if len(parts) == 1 else by_time(parts)
    rules = BookRules(instruments)
    rows = rules.in_book(rows, lost)
    if len(rows) == 0:
        raise TapeError(
            f"{where}: no row is left to import (dropped: {lost or 'none'}); check the columns and their units"
        )
    rules.flag(rows)
    return rows, _verdict(rows, sessions, lost, found, quiet_ns)


def verdict(tape: Tape, *, quiet_ns: int = QUIET_NS) -> Verdict:
    """The data verdict of a tape: what its rows and flags show, and what its manifest says was dropped at import."""
    flags = {flag.name for flag in REASONS}
    noted = {code: count for code, count in tape.manifest.verdict.items() if code not in flags and code != "QUIET"}
    dropped = {code: noted.pop(code) for code in list(noted) if code not in NOTES}
    return _verdict(tape.rows, tape.sessions, dropped, noted, quiet_ns)


def check(tape: Tape) -> None:
    """Refuse a tape whose rows break the order, the kinds or the groups that a replay relies on.

    Raises
    ------
    TapeError
        Naming the first row at fault: time going back, or not later than a CLOCK row before; an unknown kind,
        instrument, side or state; a kind that the instrument's book cannot have; a time that changes before the group
        has ended with LAST; no LAST at the end.
    """
    where = str(tape.path) if tape.path else tape.manifest.name or "tape"
    allowed = np.zeros((max(1, len(tape.instruments)), 256), bool)
    for index, instrument in enumerate(tape.instruments):
        allowed[index, sorted(BOOKS[instrument.book] | ANYWHERE)] = True
    check_panels(tape.panels, where)
    days = tape.panel_days
    step = 1 << 19  # a part at a time keeps memory flat, whatever the length
    for start in range(0, len(tape.rows), step):
        # one row of overlap: order and groups are between neighbours
        _check_part(
            tape.rows[max(0, start - 1) : start + step], max(0, start - 1), tape.instruments, allowed, days, where
        )
    if len(tape.rows) and not ends_group(tape.rows[-1:])[0]:
        raise TapeError(
            f"{where}: row {len(tape.rows) - 1} is the end, but its group is not (no LAST); import the tape again"
        )
    previous = None
    for opened, closed in tape.manifest.sessions:
        if opened >= closed or (previous is not None and opened < previous):
            raise TapeError(
                f"{where}: session ({opened}, {closed}) is empty or overlaps the one before; sort the sessions"
            )
        previous = closed
    unknown = sorted({action.symbol for action in tape.manifest.actions} - {one.symbol for one in tape.instruments})
    if unknown:
        raise TapeError(f"{where}: corporate actions of {unknown}, which the tape does not hold; name its instruments")


def by_time(parts: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """Join rows of one source by time; at equal time the earlier part comes first, and each part keeps its order."""
    rows = np.concatenate(parts)
    return rows[np.argsort(rows["ts_event"], kind="stable")]


def jumps(prices: NDArray[np.int64], tick: int) -> NDArray[np.bool_]:
    """Which prices are far from the recent ones, judged from the past alone.

    A price jumps when ``|p - m| > 10 max(s, tick, m / 2000)``: m is the median of the 50 prices before it, s the
    median distance of those from m. No judgement before 10 prices. A level that lasts becomes the median after 25.

    Parameters
    ----------
    prices : int64[n]
        In order of time.
    tick : int
        Price units.

    Returns
    -------
    bool[n]
    """
    from engine.verdict_kernels import jump_kernel

    out = np.zeros(len(prices), bool)
    jump_kernel(np.ascontiguousarray(prices), tick, JUMP_WINDOW, JUMP_LEAST, JUMP_FACTOR, JUMP_FLOOR, out)
    return out


# --- dropping and ordering ---


def reject(
    rows: NDArray[np.void], instruments: Sequence[Instrument], lost: dict[str, int], where: str
) -> NDArray[np.void]:
    kind, price, size = rows["kind"], rows["price"], rows["size"]
    _known_kinds(kind, where)
    known = rows["instrument"] < len(instruments)
    negative_ok = np.array([one.allows_negative_price for one in instruments] or [False])
    positive_only = ~negative_ok[np.where(known, rows["instrument"], 0)]
    quote, bar = kind == Kind.QUOTE, kind == Kind.BAR
    priced, sized = np.isin(kind, PRICED), np.isin(kind, SIZED)

    number = rows["ts_event"] == NOT_A_NUMBER
    for name in ("ts_recv", "order_id"):
        number |= rows[name] == NOT_A_NUMBER
    for name in ("price", "size", "price2", "size2"):
        number |= (rows[name] > LARGEST) | (rows[name] < -LARGEST)
    number |= bar & ((rows["order_id"] > LARGEST) | (rows["order_id"] < -LARGEST))

    low = np.where(bar, rows["price2"], price)
    bad_price = positive_only & (priced | bar) & (low <= 0)
    bad_price |= positive_only & quote & (((price <= 0) & (size > 0)) | ((rows["price2"] <= 0) & (rows["size2"] > 0)))
    for edge in (rows["order_id"], rows["size2"]):  # a bar's open and close lie in its range
        bad_price |= bar & ((edge < rows["price2"]) | (edge > price))

    bad_size = (priced & (size < 0)) | (sized & (size <= 0))
    bad_size |= quote & ((size < 0) | (rows["size2"] < 0))
    bad_size |= bar & (size < 0)

    gone = np.zeros(len(rows), bool)
    for code, fault in (
        ("UNKNOWN_INST", ~known),
        ("BAD_NUMBER", number),
        ("BAD_PRICE", bad_price),
        ("BAD_SIZE", bad_size),
    ):
        new = fault & ~gone
        _count(lost, code, int(new.sum()))
        gone |= new
    return drop(rows, gone)


def drop(rows: NDArray[np.void], gone: NDArray[np.bool_]) -> NDArray[np.void]:
    """Copy of the rows without those that are ``gone``; what is left of a group still ends with LAST."""
    if not gone.any():
        return rows.copy()
    last = ends_group(rows)
    group = np.cumsum(last) - last  # (n,) a row's group number; LAST belongs to the group it ends
    kept, group = rows[~gone].copy(), group[~gone]
    ends = np.append(group[1:] != group[:-1], True) if len(group) else np.zeros(0, bool)
    ended = group < np.count_nonzero(last)  # a group still open at the end of the stream stays open
    kept["flags"][ends & ended] |= int(Flag.LAST)
    return kept


def _in_sequence(
    rows: NDArray[np.void], sequence: NDArray[np.int64], lost: dict[str, int], found: dict[str, int], where: str
) -> NDArray[np.void]:
    if len(sequence) != len(rows):
        raise TapeError(f"{where}: {len(sequence)} sequence numbers for {len(rows)} rows; give one for each")
    if len(rows) == 0:
        return rows
    order = np.argsort(sequence, kind="stable")
    _count(found, "REORDER", int(np.count_nonzero(sequence[1:] < sequence[:-1])))
    rows, sequence = rows[order], sequence[order]
    again = np.append(False, sequence[1:] == sequence[:-1])
    content = np.ascontiguousarray(rows).view("V64")
    conflict = np.flatnonzero(again[1:] & (content[1:] != content[:-1]))
    if len(conflict):
        first, second = int(order[conflict[0]]), int(order[conflict[0] + 1])
        raise TapeError(
            f"{where}: rows {first} and {second} have the sequence number {sequence[conflict[0]]}, but not the same "
            "content (DUP_CONFLICT); the stream is damaged, get the file again"
        )
    missing = np.diff(sequence[~again]) - 1
    _count(found, "GAP", int(missing.sum()))
    _count(lost, "DUP", int(again.sum()))
    return drop(rows, again)


def in_time(rows: NDArray[np.void], found: dict[str, int], where: str) -> NDArray[np.void]:
    """Make times non-decreasing by changing the fewest: one wild time ahead must not move all that follow it."""
    times = rows["ts_event"].copy()
    if len(times) == 0 or not (times[1:] < times[:-1]).any():
        return rows
    from engine.verdict_kernels import longest_in_order

    kept = np.zeros(len(times), bool)
    longest_in_order(times, kept)
    before = np.maximum.accumulate(np.where(kept, times, times[kept][0]))  # the kept times around each row
    after = np.minimum.accumulate(np.where(kept, times, np.iinfo(np.int64).max)[::-1])[::-1]
    straight = np.maximum.accumulate(np.clip(times, before, after))
    far = np.abs(straight - times) > SECOND
    if np.count_nonzero(far) > max(10, len(rows) // 10):
        row = int(np.flatnonzero(far)[0])
        raise TapeError(
            f"{where}: {np.count_nonzero(far):,} of {len(rows):,} rows are out of the order of time by more than 1 s, "
            f"the first is row {row} (ts_event {times[row]}); sort the file by time, or correct its time column"
        )
    _count(found, "TIME_CLAMPED", int(np.count_nonzero(~kept)))
    at_once = rows["ts_recv"] == times  # no receive time of its own: it follows
    rows["ts_recv"][at_once] = straight[at_once]
    rows["ts_event"] = straight
    rows["flags"][far] |= int(Flag.TIME_BACK)
    return rows


# --- the verdict and the check ---


def _verdict(
    rows: NDArray[np.void],
    sessions: Sequence[tuple[int, int]],
    lost: dict[str, int],
    found: dict[str, int],
    quiet_ns: int,
) -> Verdict:
    flags = rows["flags"]
    snapshot = (flags & Flag.SNAPSHOT) != 0
    kinds = np.bincount(rows["kind"][~snapshot], minlength=len(Kind) + 1)
    kept = {kind.name: int(kinds[kind]) for kind in Kind} | {"SNAPSHOT": int(snapshot.sum())}
    result = Verdict(
        rows={name: count for name, count in kept.items() if count},
        dropped=lost,
        flagged={flag.name or "": count for flag in REASONS if (count := int(np.count_nonzero(flags & flag)))},
        noted=found,
        quiet_ns=quiet_ns,
    )
    if len(rows) == 0:
        return result
    times = rows["ts_event"]
    result.ts_first, result.ts_last = int(times[0]), int(times[-1])
    if result.rows.keys() <= {"BAR", "CLOSE"} and result.ts_first < result.ts_last:
        # a bar speaks for the time before it: only more than two of them missing is quiet
        apart = np.diff(times)
        result.quiet_ns = max(quiet_ns, 2 * int(np.median(apart[apart > 0])))
        if result.rows.keys() == {"CLOSE"}:
            result.quiet_ns = max(quiet_ns, LONG_WEEKEND_NS)
    for opened, closed in sessions or [(result.ts_first, result.ts_last)]:
        first, last = np.searchsorted(times, (opened, closed))
        seen = np.concatenate(([opened], times[first:last], [closed]))
        still = np.diff(seen)
        result.quiet += int(np.count_nonzero(still > result.quiet_ns))
        longest = int(np.argmax(still))
        if still[longest] > result.longest_quiet_ns:
            result.longest_quiet_ns, result.longest_quiet_at = int(still[longest]), int(seen[longest])
    return result


def _check_part(
    rows: NDArray[np.void],
    start: int,
    instruments: list[Instrument],
    allowed: NDArray[np.bool_],
    days: int | None,
    where: str,
) -> None:
    def refuse(
        fault: NDArray[np.bool_], says: str, *names: str, cure: str = "import the tape again, or sort it by ts_event"
    ) -> None:
        at = np.flatnonzero(fault)
        if len(at):
            row = rows[at[0]]
            shown = ", ".join(f"{name} {row[name]}" for name in names)
            raise TapeError(f"{where}: row {start + int(at[0])} {says} ({shown}); {cure}")

    times, kind, side = rows["ts_event"], rows["kind"], rows["side"]
    back = np.append(False, times[1:] < times[:-1])
    refuse(back, "goes back in time", "ts_event")
    clock = kind == Kind.CLOCK
    late = np.append(False, clock[:-1] & ~clock[1:] & (times[1:] == times[:-1]))
    refuse(
        late,
        "is not later than the CLOCK row before it, which promises that every row after it is",
        "ts_event",
        cure="leave the CLOCK row out, or write it only when no such row can follow",
    )
    refuse((kind < 1) | (kind > max(Kind)), "is of an unknown kind", "kind")
    refuse(
        rows["instrument"] >= len(instruments),
        f"names an instrument beyond the {len(instruments)} of the tape",
        "instrument",
    )
    refuse((side < -1) | (side > 1) | ((side == 0) & np.isin(kind, BOOK_CHANGES)), "has no such side", "side", "kind")
    refuse(~allowed[rows["instrument"], kind], "does not belong to the book of its instrument", "instrument", "kind")
    refuse((kind == Kind.STATUS) & (rows["level"] > max(State)), "names an unknown state", "level")
    auction = (kind == Kind.TRADE) & ((rows["flags"] & Flag.AUCTION) != 0)
    refuse(auction & (rows["level"] > max(Auction)), "names an unknown auction", "level")
    if days is not None:
        refuse(
            (kind == Kind.CLOSE) & ((rows["order_id"] < 0) | (rows["order_id"] >= days)),
            "points beyond the panels",
            "order_id",
        )
    early = np.append(False, (times[1:] != times[:-1]) & ~ends_group(rows[:-1]))
    refuse(early, "starts a new time inside a group that has not ended with LAST", "ts_event")


def ends_group(rows: NDArray[np.void]) -> NDArray[np.bool_]:
    return ((rows["flags"] & Flag.LAST) != 0) | (rows["kind"] == Kind.CLOCK)


def _known_kinds(kind: NDArray[np.uint8], where: str) -> None:
    wrong = np.flatnonzero((kind < 1) | (kind > max(Kind)))
    if len(wrong):
        raise TapeError(f"{where}: row {wrong[0]} is of the unknown kind {kind[wrong[0]]}; kinds are 1 to {max(Kind)}")


def _count(counts: dict[str, int], code: str, number: int) -> None:
    if number:
        counts[code] = counts.get(code, 0) + number


def _utc(ts: int) -> str:
    second, ns = divmod(int(ts), SECOND)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S}.{ns // 1_000_000:03d} UTC"
