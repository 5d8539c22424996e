"""F27: the kill switch, thrown in each of its four ways under load, stops and cancels within 100 ms, and stays thrown.

A program has orders resting and more on their way. From the throw (for gate 13: from the order that it refuses) until
the last of them is known to be over counts: the way of the request, the look at files and signals, the market's own
time until its next row, the log's way to the disk, and the reports' way back.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import numpy as np
from floor import SYMBOL, Floor, floor
from numpy.typing import NDArray
from procedure import Trial, main

from engine.journal import RecordKind
from engine.live import messages as m
from engine.live.client import Client
from engine.live.order_entry import Sent
from engine.live.supervisor import SETTLED_NS
from engine.orders import Reason

MOST_S = 0.100
RESTING = 50
LOSS = 50  # dollars, gate 13
PATIENCE_S = 30.0
SETTLED_S = SETTLED_NS / 1e9
AWAY = 8_000  # price units from the touch, a hundredth of the price: rests, and does not trade before it is cancelled


def kill_switch(trial: Trial) -> str:
    slowest: dict[str, float] = {}
    with floor(trial, loss=LOSS) as session, session.client("desk") as desk:
        for n in range(1 if trial.quick else 20):
            for way, throw in WAYS.items():
                seconds = thrown(session, desk, throw)
                slowest[way] = max(slowest.get(way, 0.0), seconds)
                if n % 4 == 3:
                    time.sleep(SETTLED_S)  # sooner it would be one of ten deaths in a row, which end a session
                    session.kill_broker()
                    stays_thrown(session, desk)
                release(session, desk)
        seconds = by_gate_13(session, desk)
        slowest["gate 13"] = seconds
        session.kill_broker()
        stays_thrown(session, desk)
        check(session.end())
    told = ", ".join(f"{way} {1_000 * s:.0f} ms" for way, s in slowest.items())
    most = MOST_S * (10 if trial.quick else 1)  # the quick form runs beside other tests
    assert max(slowest.values()) <= most, f"too slow: {told}"
    return f"slowest of each way until all was over: {told}; still thrown after a restart of the broker"


def thrown(session: Floor, desk: Client, throw: Callable[[Floor, int], None]) -> float:
    """Seconds from the throw until none of the program's orders is open."""
    fill_up(desk)
    broker = session.broker
    begun = time.monotonic()
    throw(session, broker)
    return until_over(desk) - begun


def by_gate_13(session: Floor, desk: Client) -> float:
    """Lose money by paying spreads, until the market itself throws the switch; from then as above."""
    fill_up(desk)
    until = time.monotonic() + PATIENCE_S
    side = 1
    while time.monotonic() < until:
        begun = time.monotonic()
        order = desk.trade(SYMBOL, side, shares=5_000)
        while order.is_open:
            desk.poll(0.01)
            assert time.monotonic() < until, f"an order is still {order.status}"
        if order.reason in ("DAILY_LOSS", "KILLED"):
            return until_over(desk) - begun
        side = -side
    raise AssertionError("no loss threw the switch")


def fill_up(desk: Client) -> None:
    """Orders that rest, and the last ones still on their way."""
    until = time.monotonic() + PATIENCE_S
    orders = [rest(desk, n) for n in range(RESTING)]
    while any(order.status != "WORKING" for order in orders):
        desk.poll(0.01)
        assert time.monotonic() < until, f"orders are {sorted({f'{order.status} {order.reason}' for order in orders})}"
    for n in range(5):
        rest(desk, n)


def rest(desk: Client, n: int) -> Sent:
    """An order that stays."""
    return desk.buy(SYMBOL, shares=100 + n, limit=desk.quote(SYMBOL).bid - AWAY)


def until_over(desk: Client) -> float:
    """When the last order was known to be over."""
    until = time.monotonic() + PATIENCE_S
    while desk.orders():
        desk.poll(0.001)
        assert time.monotonic() < until, f"{len(desk.orders())} orders are still open"
    return time.monotonic()


def stays_thrown(session: Floor, desk: Client) -> None:
    """Nothing is accepted, though the broker was started again."""
    assert session.standing().latches, "the broker forgot the switch"
    until = time.monotonic() + PATIENCE_S
    while not desk.is_attached:
        desk.poll(0.1)
        assert time.monotonic() < until, "the program did not get back in"
    order = rest(desk, 0)
    while order.is_open:
        desk.poll(0.01)
        assert time.monotonic() < until, f"an order is {order.status} though the switch is thrown"
    assert (order.status, order.reason) == ("REFUSED", "KILLED"), f"an order was {order.status} {order.reason}"


def release(session: Floor, desk: Client) -> None:
    """Let all accounts trade again, by number."""
    (session.folder / "KILL").unlink(missing_ok=True)
    time.sleep(0.1)  # the broker looks for the file each 50 ms: it must see that it is gone
    for latch in session.standing().latches:
        session.ask(m.Rearm(latch.number))
    assert not session.standing().latches
    desk.poll(0.01)


def check(records: NDArray[np.void]) -> None:
    """The journal says what the switch did."""
    killed = records[(records["kind"] == RecordKind.CANCEL) & (records["reason"] == Reason.KILLED)]
    assert len(killed) >= RESTING, f"the journal tells of {len(killed)} orders that a switch cancelled"


def by_admin(session: Floor, broker: int) -> None:
    session.ask(m.Kill("", "F27"))


def by_file(session: Floor, broker: int) -> None:
    (session.folder / "KILL").write_text("F27\n")


def by_signal(session: Floor, broker: int) -> None:
    os.kill(broker, signal.SIGUSR1)


WAYS = {"admin": by_admin, "kill file": by_file, "SIGUSR1": by_signal}

if __name__ == "__main__":
    main(kill_switch)
