"""F25: one program sends 100,000 orders a second; the other one and the operator are served on, memory is bounded.

Most are refused at the door (`BUSY`), the rest by gate 8 (`RATE`). What the other program feels is compared where the
machine has a core for each process; on a smaller one flooder and broker take turns, and the times are only told.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from floor import SYMBOL, Floor, floor
from numpy.typing import NDArray
from procedure import Trial, main

from engine.journal import RecordKind
from engine.live.client import Client
from engine.live.session import SESSION
from engine.orders import Reason

HERE = Path(__file__).resolve().parent
FLOOD = 100_000  # orders a second
EACH = 1_000  # orders in a message
RATE, BURST = 50, 100  # gate 8
AWAY = 300  # price units from the touch
PAUSE_S = 0.05
PATIENCE_S = 2.0  # for one answer, and for an operator's
CORES = 6  # for the four processes of a session, flooder and this one
MOST_SLOWER = 1.2
MOST_MIB = 128  # a socket's queue of the longest messages is 64
MOST_MORE_MIB = 32  # in the second half
ACCOUNT = 1  # the flooder's in the journal


def order_flood(trial: Trial) -> str:
    seconds = 4.0 if trial.quick else 60.0
    flooded = seconds + 1
    with floor(trial, rate=RATE, burst=BURST) as session, session.client("other") as other:
        quiet = waits(other, seconds)
        sizes = [memory_mib(session.broker)]
        flooder = start_flood(session, flooded)
        loud = []
        for _ in range(2):
            loud.append(waits(other, seconds / 2))
            sizes.append(memory_mib(session.broker))
        refused = session.standing().refused.get("BUSY", 0)  # an operator is answered meanwhile
        sent = int(flooder.communicate(timeout=60)[0])
        records = session.end()
    check_journal(records)
    assert sent >= FLOOD * flooded, f"only {sent / flooded:,.0f} orders a second were sent"
    assert refused > 0, "nothing was refused at the door"
    assert sizes[2] - sizes[0] <= MOST_MIB, f"the broker grew from {sizes[0]:.0f} to {sizes[2]:.0f} MiB"
    assert sizes[2] - sizes[1] <= MOST_MORE_MIB, f"the broker grows: {sizes} MiB"
    before, after = (1_000 * np.percentile(one, 99) for one in (quiet, np.concatenate(loud)))
    cores = os.cpu_count() or 1
    assert cores < CORES or after <= MOST_SLOWER * before, f"p99 {before:.1f} ms became {after:.1f} ms"
    compared = "" if cores >= CORES else f" (not compared: {cores} cores)"
    return (
        f"{sent / flooded:,.0f} orders a second for {flooded:.0f} s; the other program's p99 {before:.0f} ms, then "
        f"{after:.0f} ms{compared}; broker {sizes[0]:.0f}, {sizes[1]:.0f}, {sizes[2]:.0f} MiB"
    )


def start_flood(session: Floor, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "flooder.py"), str(session.folder / SESSION), str(seconds), str(EACH)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    session.wait_for(lambda standing: standing.accounts[ACCOUNT].rejected > 0)
    return process


def waits(client: Client, seconds: float) -> NDArray[np.float64]:
    """Seconds from each order of a program until the broker has it on disk."""
    found = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        begun = time.monotonic()
        order = client.buy(SYMBOL, shares=100, limit=client.quote(SYMBOL).bid - AWAY)
        while order.status == "SENT":
            client.poll(0.001)
            assert time.monotonic() < begun + PATIENCE_S, "the other program is not answered"
        found.append(time.monotonic() - begun)
        client.cancel(order)
        while time.monotonic() < begun + PAUSE_S:
            client.poll(0.005)
    return np.array(found)


def check_journal(records: NDArray[np.void]) -> None:
    """Gate 8 let through what it may, in the market's time, and nothing of the other program was refused by it."""
    refused = records[(records["kind"] == RecordKind.REJECT) & (records["reason"] == Reason.RATE)]
    assert set(refused["account"].tolist()) == {ACCOUNT}, "gate 8 refused the other program"
    accepted = records[(records["kind"] == RecordKind.ACCEPT) & (records["account"] == ACCOUNT)]["ts"]
    for begin in range(0, len(accepted), RATE):
        n = int(np.searchsorted(accepted, accepted[begin] + 1_000_000_000)) - begin
        assert n <= BURST + RATE + 1, f"{n} orders accepted within a second"


def memory_mib(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


if __name__ == "__main__":
    main(order_flood)
