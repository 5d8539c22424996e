"""What a strategy can ask for, and every reason it can be refused or ended with.

An order is one row of numbers (``ORDER_TERMS``) from the desk to the journal, so that the kernel, the wire
and the file say the same thing.
"""

from __future__ import annotations

from enum import IntEnum


class OrderType(IntEnum):
    """How an order's price is found."""

    MARKET = 0  # takes what is displayed, never rests
    LIMIT = 1
    STOP = 2  # becomes MARKET when the trigger trades
    STOP_LIMIT = 3  # becomes LIMIT when the trigger trades
    PEG_PRIMARY = 4  # follows the best price of its own side, plus an offset away from the market
    PEG_MARKET = 5  # follows the best price of the other side
    PEG_MID = 6  # follows the mid, rounded to the passive tick


class TimeInForce(IntEnum):
    """How long an order lives."""

    DAY = 0  # until the session ends
    GTC = 1  # until cancelled, over several days
    GTD = 2  # until expire_ts
    IOC = 3  # takes what is there, the rest expires
    FOK = 4  # all at once or nothing
    AT_CLOSE = 5  # market- or limit-on-close: trades at the closing AUCTION print or expires
    AT_OPEN = 6  # the same for the opening print
    AUCTION = 7  # the same for the next AUCTION print of any kind


class OrderFlag(IntEnum):
    """Bits of ``flags``."""

    POST_ONLY = 1  # refused if it would take
    REDUCE_ONLY = 2  # refused if it would open or turn a position


class Op(IntEnum):
    """What a request does."""

    NEW = 0
    CANCEL = 1
    REPLACE = 2
    CANCEL_ALL = 3


class Reason(IntEnum):
    """Why an order, cancel or replace was refused or ended. Names are what ``Rejected.reason`` shows."""

    NONE = 0
    # gate 1: form
    BAD_INSTRUMENT = 1
    OFF_TICK = 2
    BAD_LOT = 3
    BAD_SIZE = 4
    BAD_PRICE = 5
    BAD_TERMS = 6  # the combination of type, time in force and flags means nothing
    # gate 2: permission
    KILLED = 10
    OUT_OF_SESSION = 11
    HALTED = 12
    RESTRICTED = 13
    # gates 3 to 13
    LATE = 20  # gate 3: arrived after its expiry
    DUPLICATE_ID = 21  # gate 4
    REPEATED = 22  # gate 4: same side, price and size too often
    NO_MARKET = 23  # gate 5: nothing quoted yet, or not both sides
    STALE = 24  # gate 5
    CROSSED = 25  # gate 5
    MAX_SIZE = 26  # gate 6
    MAX_NOTIONAL = 27  # gate 6
    COLLAR = 28  # gate 7
    RATE = 29  # gate 8
    MAX_OPEN = 30  # gate 9
    MAX_POSITION = 31  # gate 10
    MAX_GROSS = 32  # gate 10
    MAX_NET = 33  # gate 10
    NO_CASH = 34  # gate 10: cash or margin
    SELF_TRADE = 35  # gate 11: the resting order is cancelled
    THROTTLED = 36  # gate 12
    DAILY_LOSS = 37  # gate 13
    DRAWDOWN = 38  # gate 13
    PARTICIPATION = 39  # gate 14
    MAX_DV01 = 40  # over-the-counter limits
    # the venue
    WOULD_TAKE = 50  # post-only and marketable
    UNKNOWN_ORDER = 51  # cancel or replace of an order that is not open (any more)
    NOT_REDUCING = 52
    # the end of an order's life
    REQUESTED = 60  # we cancelled
    IOC_REST = 61
    FOK_SHORT = 62
    SESSION_END = 63
    TIME_OVER = 64
    NO_AUCTION = 65
    CORPORATE_ACTION = 66
    NO_LIQUIDITY = 67  # a market order found nothing (more) displayed
    RUN_END = 68
    MARGIN_CALL = 69
