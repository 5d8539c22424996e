"""F22: A, whose key is good, claims to be B: its identity, its account; B is not disturbed and gets all that is its."""

from __future__ import annotations

import sys
from pathlib import Path

from procedure import Trial, main

sys.path.append(str(Path(__file__).resolve().parents[1] / "live"))

from bad_peers import Peer, Served, as_pair, served

from engine.live.door import receive_one
from engine.live.keys import new_keys


def impersonation(trial: Trial) -> str:
    keys = new_keys(trial.folder / "keys")
    for name in ("a", "b"):
        keys.add("orders", name, (name,))
    rounds = 20 if trial.quick else 1_000
    with served("orders", keys) as one:
        assert one.door
        b = one.good_client("b")
        b.send(b"hello")
        frame = one.heard()
        assert frame
        for n in range(rounds):
            claims = (frame.peer, b"b", trial.rng.randbytes(5), b"\0" + trial.rng.randbytes(4))
            claim(one, claims[n % len(claims)], frame.peer)
            assert one.is_served(b, b"report %d" % n), f"round {n}: b was disturbed"
        assert receive_one(b) is None, "b got what is not its own"
    twins = same_identity(trial, rounds)
    return f"{rounds} claims of another's identity and {twins} twins: b was never disturbed, a never heard as b"


def claim(one: Served, identity: bytes, of_b: bytes) -> None:
    """A comes with an identity that is not its own, and sends an order."""
    assert one.door
    a = Peer(one, pair=as_pair(one.keys.client("orders", "a")), identity=identity)
    assert a.came_in(), "a good key was refused"
    frame = one.heard(20 if identity == of_b else 5_000)
    assert (frame is None) == (identity == of_b), f"claim of {identity!r}"
    if frame:
        permit = one.authority.permit("orders", frame.key)
        assert permit
        assert (permit.name, permit.may_trade("a"), permit.may_trade("b")) == ("a", True, False)
    assert one.door.send(of_b, b"for b alone") == "sent"
    assert a.socket.poll(5) == 0, "a got what is b's"
    a.close()


def same_identity(trial: Trial, rounds: int) -> int:
    """Two clients that claim one identity: the first is served, the second is not heard while it is there."""
    keys = new_keys(trial.folder / "twins")
    for name in ("a", "b"):
        keys.add("orders", name, (name,))
    with served("orders", keys) as one:
        assert one.door
        for n in range(rounds):
            identity = b"twin %d" % n  # a new one each time: how soon an old one is free again is the machine's affair
            first = Peer(one, pair=as_pair(keys.client("orders", "b")), identity=identity)
            heard = one.heard()
            assert heard, f"round {n}: the first was not heard"
            second = Peer(one, pair=as_pair(keys.client("orders", "a")), identity=identity)
            assert second.came_in()
            assert one.heard(5) is None, "the second was heard"
            assert one.door.send(heard.peer, b"for the first") == "sent"
            assert first.socket.poll(5_000)
            assert second.socket.poll(0) == 0
            for peer in (first, second):
                peer.close()
    return rounds


if __name__ == "__main__":
    main(impersonation)
