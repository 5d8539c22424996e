"""How a role stands, for people and dashboards: what a broker answers to ``Ask``, and `tickwright top` shows.

Whoever looks has a clock, a core has none: ``ts_pub`` beside the wall clock is the lag, ``rows`` of two answers the
rate. Money is an integer of micro-units, times are ns UTC.
"""

from __future__ import annotations

import msgspec

from engine.errors import RunError


class Latch(msgspec.Struct, frozen=True, kw_only=True):
    """A kill switch that is thrown. `tickwright rearm CONFIG NUMBER` lets the account trade again."""

    number: int
    account: str  # "": all
    why: str


class AccountStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One account: a strategy's, or of a program of a desk's own."""

    name: str
    is_client: bool = False
    attached: bool = False
    wakes: int = 0  # given; of a strategy
    answered: int = 0
    positions: dict[str, int] = {}  # units by symbol, those that are not flat; as the venue knows them
    pnl: dict[str, int] = {}  # money by currency, at the last marks or mids
    open_orders: int = 0
    orders: int = 0
    fills: int = 0
    rejected: int = 0
    late_orders: int = 0
    skipped_wakes: int = 0


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One role at one moment."""

    role: str  # "broker", "runner" or "feed"
    run: str
    state: str = ""  # one word: "joining", "recovering", "running", "waiting", "ended"
    market_ts: int = 0  # of the last wake; before the first, of the last row taken
    ts_pub: int = 0  # feed's wall clock on the last batch or heartbeat
    rows: int = 0  # numbered rows that strategies have seen
    next_seq: int = 0  # of the feed, as far as it has said: less rows, how far this role is behind
    epoch: int = 0
    ended: bool = False  # the feed has said its end
    recoveries: int = 0  # requests for lost rows
    gaps: int = 0
    duplicates: int = 0
    records: int = 0
    entries: int = 0  # in the durable log
    waiting_for: list[str] = []  # accounts whose answer the market waits for
    late_orders: int = 0  # more than 0: equality with a replay is not claimed
    skipped_wakes: int = 0
    refused: dict[str, int] = {}  # messages not accepted, by reason
    latches: list[Latch] = []
    accounts: list[AccountStanding] = []


def parse(data: bytes) -> Standing:
    """The standing in a ``messages.Standing``.

    Raises
    ------
    RunError
        If it is none.
    """
    try:
        return msgspec.json.decode(data, type=Standing)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunError(f"the role's answer cannot be read ({error}); use the same version of tickwright") from None
