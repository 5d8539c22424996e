"""Sessions and timers on the strategies' clock (docs/simulation.md, section 7).

``lag`` is the feed latency where that is one number, else 0: the strategies' sessions are that much later than the
venue's. Where one pass over the rows serves, both start and end at the same step; with two cursors each has its own.
"""

from __future__ import annotations

from engine.broker.kernel import kernel
from engine.broker.state import NEVER, accounts_of, sessions_of


@kernel
def start_timers(w):
    """The strategies' session starts."""
    w.seen_in_session = 1
    set_first_timers(w)


@kernel
def set_first_timers(w):
    """Regular timers start at the first multiple in the session that is later than the tape's first row."""
    if w.first_ts < NEVER:
        first = max(sessions_of(w)[w.seen_session].open, w.first_ts + 1) + w.lag
        for account in range(w.n_accounts):
            a = accounts_of(w)[account]
            if a.every > 0:
                a.timer = -(-first // a.every) * a.every
    find_next_timer(w)


@kernel
def stop_timers(w):
    """The strategies' session ends; one-off timers wait for the next."""
    for account in range(w.n_accounts):
        accounts_of(w)[account].timer = NEVER
    w.seen_in_session = 0
    w.seen_session += 1
    find_next_timer(w)


@kernel
def find_next_timer(w):
    """The earliest timer of all accounts, as a venue time; in session only, and never before now."""
    first = NEVER
    if w.seen_in_session:
        for account in range(w.n_accounts):
            a = accounts_of(w)[account]
            first = min(first, min(a.timer, a.wake_at))
    w.next_timer = NEVER
    if first < NEVER:
        session = sessions_of(w)[w.seen_session]
        if first - w.lag < session.close:
            w.next_timer = max(first - w.feed, max(w.now_v, session.open + w.lag - w.feed))
