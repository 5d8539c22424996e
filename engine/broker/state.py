"""The broker's memory: a few tables of records that kernels share, and how they reach it.

``World`` is one record of scalars and of the addresses of all other tables, so that crossing from Python into
the kernel passes a single argument. A kernel opens the tables that it needs with ``orders_of(w)`` and the like;
the face (``simulated.py``) owns the arrays, and replaces one by a larger one when the kernel asks for it.

Every number is int64. Times ending in ``_v`` are venue times; a strategy's own time is ``feed`` later, which is 0 with
two cursors. Books from ``n_instruments`` on are those that the strategies see with the second cursor.
"""

# numba types its decorators and intrinsics too narrowly
# pyright: reportCallIssue=false, reportPrivateImportUsage=false

from __future__ import annotations

import numpy as np
from numba import carray, types
from numba.extending import intrinsic

from engine.broker.impact import IMPACT
from engine.broker.impact_tables import TABLE
from engine.broker.kernel import kernel
from engine.broker.signal_kernels import FEATURE_STATE
from engine.broker.trees import KNOTS, NODE, TREES
from engine.journal import RECORD
from engine.signals import CLASSES, NAMES
from engine.tape import ROW

NEVER = 2**62
UNKNOWN = 2**60  # size ahead of an order whose level has not been seen
WINDOW = 1024  # prices a side, in grid steps, that are kept in a dense ladder round the touch
MASK = WINDOW - 1
N_VALUES, N_CHANCES = len(NAMES), len(CLASSES)

# what ``advance`` returns, when it is not the time of a timer (>= 0)
DONE, EVENT, FLUSH, GROW, LEVEL_EVENT = -1, -2, -3, -4, -5

# life of an order at the venue
FREE, IN_FLIGHT, RESTING, WAITING, ENDED = 0, 1, 2, 3, 4  # WAITING: a stop, an auction order, a peg without a reference

# what an event is; row kinds keep their number
EV_QUOTE, EV_DEPTH, EV_TIMER, EV_REPORT, EV_SIGNAL = 1, 2, 20, 21, 22

# bits of what somebody wants to be woken by
WANT_QUOTE, WANT_TRADE, WANT_DEPTH, WANT_BAR, WANT_CLOSE, WANT_STATUS, WANT_SIGNAL = 1, 2, 4, 8, 16, 32, 64
WANT_PROBE = 128  # of a book: a probe measures it, which by itself wakes nobody


def _ints(names: str) -> np.dtype:
    return np.dtype([(name, "<i8") for name in names.split()])


WORLD = _ints(
    # tables
    "p_rows n_rows p_books p_sides p_sizes p_far p_takes p_accounts p_ledger p_orders p_arrivals p_reports p_inbox "
    "p_records p_group p_touched p_sessions p_actions p_sources p_market "
    "p_entry_table p_response_table p_feed_table p_rings p_purses p_impacts p_impact_table p_shifts "
    "p_probes p_features p_values p_chances p_trees "
    # sizes of tables
    "n_books n_accounts n_instruments cap_far cap_takes cap_orders cap_arrivals cap_reports cap_inbox cap_records "
    "cap_group cap_shifts n_wanting n_currencies n_sessions n_actions n_sources cap_market n_probes "
    # cursors and fill levels
    "row n_takes free_order n_live arrivals_head arrivals_tail reports_head reports_tail n_inbox n_records n_group "
    "n_touched session action n_market "
    # the second cursor: what the strategies have received
    "seen_from seen_row rows_before shifts_head shifts_tail seen_ts next_receipt received n_seen_touched "
    "seen_session seen_in_session "
    # time
    "now_v last_ts first_ts next_due next_expiry next_timer in_session session_open "
    "session_close finishing "
    # numbering
    "base last_source last_seq seen_source seen_seq single_source stamp row_count "
    # wakes being delivered
    "delivering d_item d_account d_stage "
    # the event handed to Python
    "ev_kind ev_account ev_now ev_ts ev_instrument ev_side ev_price ev_size ev_flags ev_price2 "
    "ev_size2 ev_order ev_reason ev_extra ev_leaves "
    # models
    "seed impact feed lag feed_floor feed_recorded entry entry_floor response response_floor two_cursors "
    "queue_model queue_exponent "
    "maker_per_unit taker_per_unit maker_ppm taker_ppm outside_fills stop_by_quote borrow_ppm borrow_days track_orders "
    # limits
    "expiry_ns repeats stale_ns max_size max_notional collar_ppm rate burst max_open max_open_account max_position "
    "max_gross max_net margin_ppm self_trade_cancels fills_per_second daily_loss drawdown participation_ppm "
    # whether a table must grow
    "need",
)

BOOK = _ints(
    "kind levels grid low tick lot money_num money_den source negative restricted interest wants shift state "
    "awaiting was_tradable band_low band_high volume clock_volume last_trade last_trade_seen mid2 mid2_seen "
    "bar_close bar_seen n_own n_special n_takes touched "
    "changed prev_bid prev_ask prev_bid_size prev_ask_size trade_high trade_low "
    "depth_side depth_price depth_size instrument currency seen_ts rescaled "
    "moves moved charge volume_entered prev_shift probe"  # probe: the first one that measures it, from 1; 0 none
)
SIDE = _ints("best size n_dense n_far own_head")
LEVEL = _ints("price size")
TAKE = _ints("book side price size")
ACCOUNT = np.dtype(
    [
        *_ints(
            "sent head tail n_open wants_fill wants_order wants mid_ticks every timer wake_at killed tokens tokens_ts "
            "last_arrival last_report n_requests n_reports n_fills fill_at n_repeats woken_at signal"
        ).descr,
        ("above", "<f8"),  # what the chance of ``signal`` must be above
    ]
)
FILL_RING, REPEAT_RING = 64, 64
PURSE = _ints("start base peak")  # in one currency: at the run's start, at the session's, the highest since
LEDGER = _ints(
    "position cash fees adjusted cost realised open_buy open_sell n_open volume_session seen_position "
    "seen_cash wanted mid2_woken mid2_woken_seen n_fills probe"  # probe: the account's of the instrument, from 1
)
ORDER = _ints(
    "order_no account book side type tif flags price stop display size leaves shown work ahead traded stamp expire_ts "
    "state fills sent cause source seen_price seen_leaves next prev next_level in_level row_done queue_draws "
    "held held_at"
)
ARRIVAL = _ints("due sent op account order_no slot book price size")
REPORT = _ints("due made account kind slot order_no book side price size leaves fee cash maker reason op")
INBOX = _ints("op account book side type tif flags price size stop display expire order_no")
SESSION = _ints("open close days_to_next")
ACTION = _ints("ts book kind numerator denominator")
SHIFT = _ints("row book shift")  # displacements that the second cursor has not come to: seen after so many rows of all
PROBE = _ints("next fresh seen ts tick")  # ``next`` of the same book, from 1; whether the last group gave a sample
MARKET = _ints("order_id book stamp size")  # market orders of L3 books, for exact queue positions


@intrinsic
def _pointer(_context, address):
    """An integer as a pointer."""

    def codegen(context, builder, _signature, args):
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), codegen


# One opener a table: a view on memory that the face keeps alive. They cost a load each and are inlined.


@kernel
def rows_of(w):
    return carray(_pointer(w.p_rows), (w.n_rows,), ROW)


@kernel
def books_of(w):
    return carray(_pointer(w.p_books), (w.n_books,), BOOK)


@kernel
def sides_of(w):
    return carray(_pointer(w.p_sides), (2 * w.n_books,), SIDE)


@kernel
def sizes_of(w):
    return carray(_pointer(w.p_sizes), (2 * w.n_books * WINDOW,), np.int64)


@kernel
def far_of(w):
    return carray(_pointer(w.p_far), (2 * w.n_books * w.cap_far,), LEVEL)


@kernel
def takes_of(w):
    return carray(_pointer(w.p_takes), (w.cap_takes,), TAKE)


@kernel
def accounts_of(w):
    return carray(_pointer(w.p_accounts), (w.n_accounts,), ACCOUNT)


@kernel
def ledger_of(w):
    return carray(_pointer(w.p_ledger), (w.n_accounts * w.n_instruments,), LEDGER)


@kernel
def orders_of(w):
    return carray(_pointer(w.p_orders), (w.cap_orders,), ORDER)


@kernel
def arrivals_of(w):
    return carray(_pointer(w.p_arrivals), (w.cap_arrivals,), ARRIVAL)


@kernel
def reports_of(w):
    return carray(_pointer(w.p_reports), (w.cap_reports,), REPORT)


@kernel
def inbox_of(w):
    return carray(_pointer(w.p_inbox), (w.cap_inbox,), INBOX)


@kernel
def records_of(w):
    return carray(_pointer(w.p_records), (w.cap_records,), RECORD)


@kernel
def group_of(w):
    return carray(_pointer(w.p_group), (w.cap_group,), ROW)


@kernel
def touched_of(w):
    return carray(_pointer(w.p_touched), (w.n_books,), np.int64)


@kernel
def sessions_of(w):
    return carray(_pointer(w.p_sessions), (w.n_sessions,), SESSION)


@kernel
def actions_of(w):
    return carray(_pointer(w.p_actions), (w.n_actions,), ACTION)


@kernel
def sources_of(w):
    return carray(_pointer(w.p_sources), (2 * w.n_sources,), np.int64)


@kernel
def market_of(w):
    return carray(_pointer(w.p_market), (w.cap_market,), MARKET)


@kernel
def table_of(address):
    """A table of 4096 latency quantiles."""
    return carray(_pointer(address), (4096,), np.int64)


@kernel
def purses_of(w):
    return carray(_pointer(w.p_purses), (w.n_accounts * w.n_currencies,), PURSE)


@kernel
def impacts_of(w):
    return carray(_pointer(w.p_impacts), (w.n_instruments,), IMPACT)


@kernel
def impact_table_of(w):
    return carray(_pointer(w.p_impact_table), (1,), TABLE)


@kernel
def shifts_of(w):
    return carray(_pointer(w.p_shifts), (w.cap_shifts,), SHIFT)


@kernel
def rings_of(w):
    """Times of recent fills and (time, key) of recent orders, an account after another."""
    return carray(_pointer(w.p_rings), (w.n_accounts * (FILL_RING + 2 * REPEAT_RING),), np.int64)


@kernel
def probes_of(w):
    return carray(_pointer(w.p_probes), (w.n_probes,), PROBE)


@kernel
def features_of(w):
    return carray(_pointer(w.p_features), (w.n_probes,), FEATURE_STATE)


@kernel
def values_of(w, k):
    """The k-th probe's last signals."""
    return carray(_pointer(w.p_values + 8 * N_VALUES * k), (N_VALUES,), np.float64)


@kernel
def chances_of(w, k):
    """The k-th probe's last probabilities: down, flat, up."""
    return carray(_pointer(w.p_chances + 8 * N_CHANCES * k), (N_CHANCES,), np.float64)


@kernel
def trees_of(w):
    """The model of each probe; without one it has no trees."""
    return carray(_pointer(w.p_trees), (w.n_probes,), TREES)


@kernel
def forest_of(t):
    """The arrays of a model, as ``forecast_into`` takes them."""
    nodes = carray(_pointer(t.p_nodes), (t.n_nodes,), NODE)
    roots = carray(_pointer(t.p_roots), (t.n_trees + 1,), np.int64)
    depths = carray(_pointer(t.p_depths), (t.n_trees,), np.int64)
    values = carray(_pointer(t.p_values), (t.n_leaves, t.n_classes), np.float64)
    return nodes, roots, depths, values, carray(_pointer(t.p_calibration), (t.n_classes, KNOTS), np.float64)
