"""F15: feed and broker on one host, the runner on another, over a network that loses packets or goes down: Equal.

Hosts are network namespaces joined by a pair of virtual Ethernet devices, which takes root and a kernel that has them.
Under TCP lost packets show as delay, so cut connections (F13) are the harder test. Delay by `tc netem` is not tried:
few kernels of virtual machines have it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from paper_session import MEMORY, Reference, session
from procedure import Skipped, Trial, main, needs

HERE_IP, THERE_IP = "10.211.77.1", "10.211.77.2"
LOST = "10 % of packets lost"
FAULTS = {
    LOST: "numgen random mod 100 < 10 drop",
    "black hole": "ip protocol tcp drop",
    "reset": "ip protocol tcp reject with tcp reset",
    "link down": "",
}
SHORT_S, LONG_S = 1.0, 8.0  # the long one outlasts what TCP waits for (3 s), and every heartbeat
MOST_S = 30.0


def two_hosts(trial: Trial) -> str:
    needs("ip", "nft")
    if os.geteuid():
        raise Skipped("only root can make network namespaces")
    rounds = 1 if trial.quick else 10
    left = [fault for _ in range(rounds) for fault in FAULTS]
    slowest, sessions = dict.fromkeys(FAULTS, 0.0), 0
    with hosts() as (here, there):
        prefixes = {"feed": enter(here), "broker": enter(here), "runner": enter(there)}
        reference = Reference.of(trial.fresh("reference"), host=HERE_IP, speed="600")
        while left:
            with session(reference, trial.fresh("session"), prefixes=prefixes) as one:
                while left and one.until(partial(one.goes_on, time.time())):
                    with disturbed(there, FAULTS[left[0]]):
                        seconds = (SHORT_S, LONG_S)[len(left) % 2]
                        on = one.sleep(seconds)
                        stood_s = time.time() - one.answered() / 1e9
                    assert not on or left[0] == LOST or stood_s > seconds / 2, f"{left[0]}: the runner went on"
                    begun, clock = time.time(), time.monotonic()
                    if not on or not one.until(partial(one.goes_on, begun)):
                        break
                    slowest[left[0]] = max(slowest[left[0]], time.monotonic() - clock)
                    del left[0]
                one.finish()
                sessions += 1
    assert max(slowest.values()) < MOST_S, f"going on took {slowest}"
    told = ", ".join(f"{name} {took:.1f} s" for name, took in slowest.items())
    return f"{rounds} times each, in {sessions} sessions: Equal, and verified; slowest to go on afterwards: {told}"


@contextmanager
def hosts() -> Iterator[tuple[str, str]]:
    """Two network namespaces that reach each other."""
    names = f"tw{os.getpid()}a", f"tw{os.getpid()}b"
    devices = f"tw{os.getpid() % 100_000}a", f"tw{os.getpid() % 100_000}b"
    try:
        for name in names:
            do("ip", "netns", "add", name)
        do("ip", "link", "add", devices[0], "netns", names[0], "type", "veth", "peer", devices[1], "netns", names[1])
        for name, device, address in zip(names, devices, (HERE_IP, THERE_IP), strict=True):
            do(*enter(name), "ip", "address", "add", f"{address}/24", "dev", device)
            do(*enter(name), "ip", "link", "set", device, "up")
            do(*enter(name), "ip", "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


@contextmanager
def disturbed(host: str, rule: str) -> Iterator[None]:
    """Packets that come to a host are treated so; without a rule its device is down."""
    if rule:
        do(*enter(host), "nft", "add table ip f15")
        do(*enter(host), "nft", "add chain ip f15 in { type filter hook input priority 0; }")
        do(*enter(host), "nft", f"add rule ip f15 in {rule}")
    else:
        do(*enter(host), "ip", "link", "set", device_of(host), "down")
    try:
        yield
    finally:
        if rule:
            do(*enter(host), "nft", "delete table ip f15")
        else:
            do(*enter(host), "ip", "link", "set", device_of(host), "up")


def device_of(host: str) -> str:
    return f"tw{os.getpid() % 100_000}{host[-1]}"


def enter(host: str) -> list[str]:
    return ["ip", "netns", "exec", host]


def do(*words: str) -> None:
    """A command that this kernel may lack something for."""
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise Skipped(f"`{' '.join(words)}` is not possible here ({done.stderr.strip()})")


if __name__ == "__main__":
    main(two_hosts, within=MEMORY)
