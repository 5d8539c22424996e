"""F20: who answers for the keys dies in a running server; nobody new comes in, and who is in already stays."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from procedure import Trial, main

sys.path.append(str(Path(__file__).resolve().parents[1] / "live"))

from bad_peers import Peer, Served, as_pair, kill_zap, random_pair, served

from engine.live.authority import LINKS
from engine.live.keys import Keys, new_keys


def zap_dies(trial: Trial) -> str:
    keys = new_keys(trial.folder / "keys")
    rounds = 3 if trial.quick else 100
    refused = sum(after(link, keys, rounds) for link in LINKS)
    stuck = sum(while_stuck(link, keys) for link in LINKS)
    return f"{refused} peers refused after its death and {stuck} while it was stuck; good clients went on"


def after(link: str, keys: Keys, rounds: int) -> int:
    """Peers refused, listed ones too, once the thread has died."""
    with served(link, keys) as one:
        good = one.good_client()
        kill_zap(one.authority)
        assert not one.authority.is_alive, f"{link}: nobody could notice"
        for n in range(rounds):
            for pair in (as_pair(keys.client(one.role)), random_pair(), None):
                assert Peer(one, pair=pair).came_in() is False, f"{link}: somebody came in, round {n}"
            assert one.is_served(good), f"{link}: the good client was cut off, round {n}"
            nobody_was_heard(one)
    return 3 * rounds


def while_stuck(link: str, keys: Keys) -> int:
    """Peers refused while the thread lives but does not answer within the time of a handshake."""
    with served(link, keys) as one:
        good = one.good_client()
        one.authority._reply = lambda frames: time.sleep(3) or [b"1.0"]
        peer = Peer(one, pair=as_pair(keys.client(one.role)))
        assert not peer.came_in(), f"{link}: somebody came in without an answer"
        assert one.is_served(good), f"{link}: the good client was cut off"
        nobody_was_heard(one)
    return 1


def nobody_was_heard(one: Served) -> None:
    assert one.door is None or one.door.receive() is None, f"{one.link}: a message came through"


if __name__ == "__main__":
    main(zap_dies)
