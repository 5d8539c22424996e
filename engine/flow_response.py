"""HFMI's impulses from a tape, and the fair mid that they imply.

A response is the mean move of the mid, in bp and with the sign of the event, from before an event until ``after`` more
events have come, by kind of event and state of the book before it (spread of 1, 2, 3 or more ticks; fifth of
imbalance towards the event's side). Standard errors are those of the means of blocks, which the overlap of responses
leaves nearly independent. A state that is rarely met is drawn towards the mean of its kind.

The fair mid carries what recent flow says the mid has still to move:

    d <- keep d + response of the event - move of the mid with it,    fair = mid (1 + 1e-4 gain d)

Responses of events in a row overlap, so their sum says too much: ``keep`` and ``gain`` are those that, on the tape the
responses come from, leave the least squared error of the mid ``after`` events later. A gain of 0 is the mid itself.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.broker.impact import IMBALANCES, SPREADS, Impulses
from engine.compiled import compiled
from engine.errors import ConfigError, TapeError
from engine.tape import Tape
from engine.touch_flow import FLOWS, LIMIT, MARKET, flow_events

BLOCKS = 20
FEW = 50  # events: a state met as often counts half, the mean of its kind half
KEEPS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
Table = tuple[tuple[tuple[float, ...], ...], ...]  # [3 kinds][3 spreads][5 imbalances]


class FlowResponse(msgspec.Struct, frozen=True):
    """The mid's mean response in bp to market, limit and cancel events, its standard error, and how many there were."""

    response: Table
    error: Table
    count: Table
    after: int  # events
    typical_trade: int  # size units
    tick: int  # price units
    keep: float  # of the fair mid
    gain: float

    def impulses(self, *, dark_part: float = 0.5) -> Impulses:
        """For HFMI: our aggressive fills move the mid as market orders do, our passive ones as limit orders do.

        Raises
        ------
        ConfigError
            If ``dark_part``, what a dark fill moves the mid of what a lit one does, is not between 0 and 1.
        """
        if not 0 <= dark_part <= 1:
            raise ConfigError(f"dark_part is {dark_part}; it is a part of the lit response, 0 to 1")
        return Impulses(
            size=self.typical_trade,
            aggressive=self.response[MARKET],
            passive=self.response[LIMIT],
            dark_part=dark_part,
        )


def fit_response(tape: Tape, symbol: str, *, after: int = 20) -> FlowResponse:
    """Estimate the responses of ``symbol``'s mid.

    Raises
    ------
    TapeError
        If the tape lacks the instrument, or has fewer than 100 events of a kind.
    """
    if after < 1:
        raise ConfigError(f"after is {after}; a response is measured at least 1 event later")
    events = flow_events(tape, symbol)
    tick = next(one.tick for one in tape.instruments if one.symbol == symbol)
    moves, states = responses_bp(events, after), book_states(events, tick)
    events, states = events[: len(moves)], states[: len(moves)]  # the last have no response yet
    shape = (len(FLOWS), SPREADS * IMBALANCES)
    response, error, count = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    block = np.arange(len(moves)) * BLOCKS // max(len(moves), 1)
    for flow, name in enumerate(FLOWS):
        mine = events["flow"] == flow
        if mine.sum() < 100:
            raise TapeError(f"{symbol} has {int(mine.sum())} {name} events; an impulse needs 100: give a longer tape")
        overall = moves[mine].mean()
        for state in range(shape[1]):
            chosen = mine & (states == state)
            n = count[flow, state] = chosen.sum()
            response[flow, state] = (moves[chosen].sum() + FEW * overall) / (n + FEW)
            error[flow, state] = _block_error(moves[chosen], block[chosen])
    keep, gain = _fit_fair(events, states, response, moves)
    return FlowResponse(
        response=_nested(response),
        error=_nested(error),
        count=_nested(count),
        after=after,
        typical_trade=max(1, round(float(events["size"][events["flow"] == MARKET].mean()))),
        tick=tick,
        keep=keep,
        gain=gain,
    )


def responses_bp(events: NDArray[np.void], after: int) -> NDArray[np.float64]:
    """The mid's move from before each event to ``after`` events later, bp, signed by the event; the last have none."""
    before = (events["bid"] + events["ask"]).astype(np.float64)
    n = len(events) - after
    if n <= 0:
        return np.zeros(0)
    return events["side"][:n] * (events["mid2"][after:] / before[:n] - 1) * 1e4


def book_states(events: NDArray[np.void], tick: int) -> NDArray[np.int64]:
    """0 to 14, as ``impact_kernels.book_state``, seen from each event's side."""
    spread = np.clip(-((events["bid"] - events["ask"]) // tick), 1, SPREADS) - 1
    ours = np.where(events["side"] > 0, events["bid_size"], events["ask_size"])
    total = events["bid_size"] + events["ask_size"]
    fifth = np.where(total > 0, np.minimum(ours * IMBALANCES // np.maximum(total, 1), IMBALANCES - 1), IMBALANCES // 2)
    return spread * IMBALANCES + fifth


def fair_mids(events: NDArray[np.void], response: FlowResponse) -> NDArray[np.float64]:
    """The fair mid in price units after each event, float64[n]."""
    states = book_states(events, response.tick)
    rest = _rest_bp(events, states, np.array(response.response).reshape(len(FLOWS), -1), response.keep)
    return events["mid2"] / 2 * (1 + 1e-4 * response.gain * rest)


class FairMid(msgspec.Struct):
    """The same, event by event, as a strategy keeps it in its state."""

    keep: float
    gain: float
    rest_bp: float = 0.0

    def observe(self, expected_bp: float, mid_before: float, mid: float) -> float:
        """The fair mid, after an event of signed response ``expected_bp`` took the mid from one price to another."""
        self.rest_bp = self.keep * self.rest_bp + (expected_bp - (mid / mid_before - 1) * 1e4)
        return mid * (1 + 1e-4 * self.gain * self.rest_bp)


def _rest_bp(
    events: NDArray[np.void], states: NDArray[np.int64], table: NDArray[np.float64], keep: float
) -> NDArray[np.float64]:
    expected = events["side"] * table[events["flow"], states]
    news = expected - (events["mid2"] / (events["bid"] + events["ask"]) - 1) * 1e4
    out = np.empty(len(events))
    _leak(news, keep, out)
    return out


@compiled
def _leak(news, keep, out):
    rest = 0.0
    for k in range(news.size):
        rest = keep * rest + news[k]
        out[k] = rest


def _fit_fair(
    events: NDArray[np.void], states: NDArray[np.int64], table: NDArray[np.float64], moves: NDArray[np.float64]
) -> tuple[float, float]:
    """(keep, gain) of least squared error; ``moves`` of ``responses_bp``, from before each event."""
    before = (events["bid"] + events["ask"]).astype(np.float64)
    later = events["side"] * moves - (events["mid2"] / before - 1) * 1e4  # from after it
    best, chosen = 0.0, (0.0, 0.0)
    for keep in KEEPS:
        rest = _rest_bp(events, states, table, keep)
        squares = float(rest @ rest)
        together = float(rest @ later)
        if together > 0 and together**2 / squares > best:
            best, chosen = together**2 / squares, (keep, together / squares)
    return chosen


def _block_error(values: NDArray[np.float64], block: NDArray[np.int64]) -> float:
    """Standard error of the mean, from the means of blocks weighted by size; NaN where fewer than two have any."""
    sizes = np.bincount(block, minlength=BLOCKS)
    used = sizes > 0
    if used.sum() < 2:
        return float("nan")
    means = np.bincount(block, values, BLOCKS)[used] / sizes[used]
    weights = sizes[used] / sizes.sum()
    spread = weights @ (means - weights @ means) ** 2 / (1 - weights @ weights)
    return float(np.sqrt(spread * (weights @ weights)))


def _nested(table: NDArray[np.float64]) -> Table:
    return tuple(tuple(tuple(row) for row in kind) for kind in table.reshape(len(FLOWS), SPREADS, IMBALANCES).tolist())
