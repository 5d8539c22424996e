"""A program at a paper session with nothing but pyzmq and msgpack: it listens, buys a little, sells it, and leaves.

    python docs/plain_client.py ACCOUNT [KEYS]      # feed 5701, recovery 5702, orders 5703 of this machine

It is docs/protocol.md in one file, to be read beside it, and to be put into other languages. KEYS is the folder that
`tickwright keys` made; without it both servers must have been started without keys.
"""

import itertools
import json
import struct
import sys
import time
import tomllib
from contextlib import suppress
from pathlib import Path

import msgpack
import zmq

PROTOCOL, SCHEMA = [1, 1], bytes.fromhex("67215d5f334c97afb43ce691baf2cca7")
ROW = struct.Struct("<7qHBbHH")  # ts_event ts_recv order_id price size price2 size2 instrument kind side level flags
QUOTE, CLOCK = 1, 13  # kinds of rows
LIMIT, DAY = 1, 0
BEAT_S, PATIENCE_S, ASK_S = 0.5, 1.0, 0.2


class PlainClient:
    """One account at a broker, and the quotes of a feed; ``poll`` often, or the broker cancels what works."""

    def __init__(self, account, feed, recovery, orders, keys=None, context=None):
        context = context or zmq.Context.instance()
        self.feed = connect(context, zmq.SUB, feed, keys, "md")
        self.recovery = connect(context, zmq.DEALER, recovery, keys, "md")
        self.orders = connect(context, zmq.DEALER, orders, keys, "orders")
        self.account = account
        self.symbols = []  # by instrument number, once the feed has said them
        self.next_seq = self.known = 0  # rows heard, rows there are
        self.heard = 0  # reports
        self.attached = self.behind = self.ended = False
        self.in_hand = {}  # requests that nobody has answered for: cid -> (frame, when it was sent)
        self.cids = (f"{time.time_ns():x}.{n}" for n in itertools.count(1))  # no id means two things, ever
        self.quotes, self.positions = {}, {}
        self.asked = self.said_hello = self.beaten = float("-inf")

    # --- asking ---

    def limit(self, symbol, side, size, price, expire_ts=0):
        """A day order; the cid of the request."""
        return self.request(["N", self.symbols.index(symbol), side, LIMIT, DAY, 0, price, size, 0, 0, 0], expire_ts)

    def cancel_all(self):
        """Every order of the account; the cid of the request."""
        return self.request(["A", -1])

    def request(self, request, expire_ts=0):
        """Once ``in_hand`` has lost the cid, it is in the broker's journal. Until then it is sent again and again."""
        cid = next(self.cids)
        frame = msgpack.packb(["O", cid, [request], expire_ts])
        self.in_hand[cid] = frame, time.monotonic()  # one that may crash writes it to disk here, before it leaves
        send(self.orders, frame)
        return cid

    def leave(self):
        """The broker cancels what works."""
        send(self.orders, msgpack.packb(["G"]))
        for socket in (self.feed, self.recovery, self.orders):
            socket.close(linger=200)

    # --- hearing ---

    def poll(self, seconds):
        """Say what is due, then hear what there is within so many seconds; the events of our orders."""
        self.speak(time.monotonic())
        heard = []
        ready, _, _ = zmq.select([self.feed, self.recovery, self.orders], [], [], seconds)
        for socket in ready:
            take = self.take_report if socket is self.orders else self.take_market
            with suppress(zmq.Again):
                while True:
                    heard += take(msgpack.unpackb(socket.recv(zmq.NOBLOCK))) or []
        return heard

    def speak(self, now):
        if now - self.asked > ASK_S and (not self.symbols or self.next_seq < self.known):
            self.asked = now
            lost = ["W", self.next_seq, min(self.known - self.next_seq, 8192)]
            send(self.recovery, msgpack.packb(lost if self.symbols else ["J", PROTOCOL, SCHEMA]))
        if not self.attached and now - self.said_hello > PATIENCE_S:
            self.said_hello = now
            hello = ["H", PROTOCOL, SCHEMA, self.account, None, "", -1, self.heard, False]
            send(self.orders, msgpack.packb(hello))
        if self.attached and now - self.beaten > BEAT_S:
            self.beaten = now
            send(self.orders, msgpack.packb(["T", -1, time.time_ns()]))
            for cid, (frame, sent) in self.in_hand.items():
                if now - sent > PATIENCE_S:
                    self.in_hand[cid] = frame, now
                    send(self.orders, frame)

    def take_market(self, message):
        """A message of the feed, published or asked for. Fields after those named belong to later minor versions."""
        match message:
            case ["M", _, _, _, _, known, _, _, _, manifest, *_]:
                self.symbols = [one["symbol"] for one in json.loads(manifest)["instruments"]]
                self.known = max(self.known, known)
            case ["B", _, _, first, n, _, rows, *_] if self.symbols:
                self.known = max(self.known, first + max(n, 0))
                if first <= self.next_seq < first + n:  # else it came before, or early and is asked for
                    self.take_rows(first, rows)
            case ["R", reason, text, *_]:
                raise SystemExit(f"the feed refuses: {text} ({reason})")

    def take_rows(self, number, rows):
        for *_, bid, bid_size, ask, ask_size, instrument, kind, _, _, _ in ROW.iter_unpack(rows):
            if kind == QUOTE and number >= self.next_seq:
                self.quotes[self.symbols[instrument]] = bid, bid_size, ask, ask_size
            number += kind != CLOCK  # which takes no number
        self.next_seq = number
        self.asked = float("-inf")  # what is still missing may be asked for at once

    def take_report(self, message):
        """A message of the broker."""
        match message:
            case ["W", _, _, _, _, reports, _, *_]:  # Welcome
                if reports < self.heard:
                    raise SystemExit("the broker has lost reports that it gave us: do not trade on")
                self.attached = True
                for frame, _ in self.in_hand.values():
                    send(self.orders, frame)
            case ["R", _, cid, *_]:  # Received
                self.in_hand.pop(cid, None)
            case ["E", number, _, event, position, *_]:
                if number == self.heard + 1:
                    self.heard = number
                    self.positions[event["symbol"]] = position
                    return [event]
                self.attached &= number <= self.heard  # one is missing: Hello says which
            case ["T", last, *_]:  # Beat; one that counts more twice tells of a report that was lost
                self.attached &= not self.behind or last < self.heard
                self.behind = last >= self.heard
            case ["X", "NOT_ATTACHED" | "ALREADY_ATTACHED", *_]:  # forgotten, or still known from before a cut
                self.attached = False
            case ["X", reason, text, _, cid, *_]:
                if self.in_hand.pop(cid, None) is None:
                    raise SystemExit(f"the broker refuses: {text} ({reason})")
                print(f"{cid} refused: {text} ({reason})")
            case ["Z", *_]:
                self.ended = True


def connect(context, kind, address, keys, role):
    """A socket that notices a dead peer, keeps nothing for one that is away, and proves who it is."""
    socket = context.socket(kind)
    socket.linger = 0
    socket.tcp_keepalive, socket.tcp_keepalive_idle, socket.tcp_keepalive_intvl, socket.tcp_keepalive_cnt = 1, 1, 1, 2
    socket.tcp_maxrt = 3_000
    if keys:
        pair = tomllib.loads((Path(keys) / "secrets" / role / "local.key_secret").read_text())
        socket.curve_publickey, socket.curve_secretkey = pair["public"].encode(), pair["secret"].encode()
        socket.curve_serverkey = pair["server"].encode()
    if kind == zmq.SUB:
        socket.subscribe(b"")
    else:
        socket.immediate = True
    socket.connect(address)
    return socket


def send(socket, frame):
    """Now or not at all: what is missed is said again."""
    with suppress(zmq.Again):
        socket.send(frame, zmq.NOBLOCK)


def buy_and_sell(client, size, seconds):
    """Buy at the ask of the first symbol, sell at the bid; what was filled."""
    until, sides, working, fills = time.monotonic() + seconds, [1, -1], None, []
    while time.monotonic() < until and (sides or working):
        for event in client.poll(0.1):
            print(event)
            fills += [event] if event["type"] == "Filled" else []
            if event["type"] != "Accepted" and not event.get("leaves"):
                working = None  # filled, refused or over
        if client.attached and client.quotes and not working:
            symbol, (bid, bid_size, ask, ask_size) = next(iter(client.quotes.items()))
            if bid_size and ask_size and sides:
                side = sides.pop(0)
                working = client.limit(symbol, side, size, ask if side > 0 else bid)
    client.leave()
    return fills


if __name__ == "__main__":
    who, keys, *_ = [*sys.argv[1:], None, None]
    feed, recovery, orders = (f"tcp://127.0.0.1:{port}" for port in (5701, 5702, 5703))
    buy_and_sell(PlainClient(who or "desk", feed, recovery, orders, keys), size=100, seconds=30)
