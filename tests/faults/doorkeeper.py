"""A server in a process of its own, as roles are: `python doorkeeper.py LINK KEYS`; SIGHUP reads the keys again.

It says its endpoint, then what it is told by SIGHUP. On market it publishes a number each ms; elsewhere it answers each
message with the same.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "live"))

from bad_peers import served

from engine.live.keys import Keys
from engine.live.sockets import reload_keys


def main() -> None:
    link, keys = sys.argv[1], Keys.load(sys.argv[2])
    signals: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, frame: signals.append(number))
    with served(link, keys) as one:
        print(one.endpoint, flush=True)
        number = 0
        while True:
            one.socket.poll(1)
            if signals:
                signals.clear()
                print(*reload_keys(one.authority, one.socket if one.door is None else None), flush=True)
            if one.door is None:
                number += 1
                one.socket.send(b"%d" % number)
            elif frame := one.door.receive():
                one.door.send(frame.peer, frame.data)


if __name__ == "__main__":
    main()
