"""Messages of every kind, named: what the golden bytes are made of, and what the fuzzer mutates.

``python tests/live/sample_messages.py`` writes ``golden_messages.json`` anew. That is right when a message is new, or
when PROTOCOL has changed: bytes of the same version that differ are another protocol, and other people's programs
speak the old one. Bytes of earlier minor versions stay in the file, and have to be read for as long as the major lasts.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from engine import events
from engine.live import messages as m
from engine.tape import ROW, Flag, Kind

GOLDEN = Path(__file__).with_name("golden_messages.json")
MOMENT = 1_767_623_400_000_000_000  # 2026-01-05 14:30 UTC
DIGEST = bytes(range(16))
SCHEMA = bytes(range(16, 32))  # stands for any; the real one is held by a test of its own


def rows(*kinds: Kind) -> bytes:
    """A row of each kind, 100 ms apart."""
    made = np.zeros(len(kinds), ROW)
    made["ts_event"] = made["ts_recv"] = MOMENT + 100_000_000 * np.arange(len(kinds))
    made["kind"], made["flags"] = [int(kind) for kind in kinds], Flag.LAST
    made["price"], made["size"], made["price2"], made["size2"] = 999_900, 300, 1_000_100, 200
    return made.tobytes()


ORDER = m.Order(instrument=0, side=1, kind=1, tif=0, flags=1, price=999_900, size=100, stop=0, display=0, expire_ts=0)
WAKE = m.WakeTerms(
    every_ns=1_000_000_000,
    on_quote=True,
    on_trade=False,
    on_depth=False,
    on_bar=False,
    on_close=True,
    on_status=False,
    mid_moved_ticks=2,
    symbols=("XYZ", "USD.RATES"),
    fills=True,
    orders=False,
    signal="up",
    above=4_603_579_539_098_121_011,  # 0.6
    probes=(m.ProbeTerms("XYZ", "trade", "c0ffee"),),
)
FILLED = events.Filled(
    ts_event=MOMENT, order_id=7, symbol="XYZ", side=-1, price=1_000_100, size=60, leaves=40, maker=True, fee=-12_000
)
SIGNAL = events.Signal(ts_event=MOMENT, symbol="XYZ", tick=201, numbers=np.arange(21, dtype="<f8").tobytes())
HAPPENED = {
    "Started": events.Started(ts_event=0),
    "Quote": events.Quote(ts_event=MOMENT, symbol="XYZ", bid=999_900, ask=1_000_100, bid_size=300, ask_size=200),
    "Trade": events.Trade(ts_event=MOMENT, symbol="XYZ", side=-1, price=999_900, size=50, flags=1),
    "Depth": events.Depth(ts_event=MOMENT, symbol="XYZ", side=1, price=999_800, size=0),
    "Bar": events.Bar(ts_event=MOMENT, symbol="XYZ", open=1, high=4, low=1, close=2, volume=70_000),
    "Close": events.Close(ts_event=MOMENT, symbol="USD.RATES", panel_day=259),
    "Status": events.Status(ts_event=MOMENT, symbol="XYZ", state=4, price=0, volume=0, imbalance=-5),
    "Signal": SIGNAL,
    "Timer": events.Timer(ts_event=MOMENT),
    "Accepted": events.Accepted(ts_event=MOMENT, order_id=7, symbol="XYZ", replaced=True),
    "Rejected": events.Rejected(ts_event=MOMENT, order_id=7, symbol="XYZ", reason="COLLAR"),
    "Cancelled": events.Cancelled(ts_event=MOMENT, order_id=7, symbol="XYZ", size=40, reason="REQUESTED"),
    "Expired": events.Expired(ts_event=MOMENT, order_id=7, symbol="XYZ", size=40, reason="SESSION_END"),
    "Filled": FILLED,
}
VIEW = m.View(
    positions=(0, -60),
    cash=(0, 9_999_940_000_000),
    volumes=(0, 123_456),
    shifts=(0, -100),
    days=(1, 259),
    orders=np.arange(5, dtype="<i8").tobytes(),
    contracts=b"\x01\x02",
    signals=(SIGNAL,),
)


def watermark(wake: int, event: events.AnyEvent, view: m.View) -> m.Watermark:
    return m.Watermark(wake=wake, seq=1_234, ts=MOMENT, cause=(0, 1_233), reports=3, event=event, view=view)


FEED_MESSAGES = {
    "Batch": m.Batch("main", 3, 1_000, 1, MOMENT, rows(Kind.QUOTE, Kind.CLOCK)),
    "Batch heartbeat": m.Batch("main", 3, 1_001, 0, MOMENT, b""),
    "Batch end": m.Batch("main", 3, 1_001, -1, MOMENT, b""),
    "PanelPart": m.PanelPart("main", 3, "USD.RATES.swap_rate", 259, 0, 1, DIGEST, np.arange(3.0).tobytes()),
    "PanelPart axis": m.PanelPart("main", 3, "USD.RATES.axis_tenor", -1, 1, 2, DIGEST, b"\x00\x00\x80\x3f"),
}
FEED_REQUESTS = {
    "Join": m.Join(m.PROTOCOL, SCHEMA),
    "WantRows": m.WantRows(1_001, 512),
    "WantPanel": m.WantPanel("USD.RATES.swap_rate", 259, 0),
    "Push": m.Push(17, rows(Kind.TRADE)),
}
FEED_REPLIES = {
    "Market": m.Market(
        protocol=m.PROTOCOL,
        schema=SCHEMA,
        stream="main",
        epoch=3,
        next_seq=1_001,
        ended=False,
        speed=1_000,
        content="",
        manifest=b'{"instruments":[{"symbol":"XYZ"}]}',
        average_days=b"{}",
        panels=[m.PanelShape("USD.RATES.swap_rate", "<f8", (15,), 260)],
    ),
    "Batch": FEED_MESSAGES["Batch"],
    "PanelPart": FEED_MESSAGES["PanelPart"],
    "Pushed": m.Pushed(17, 1_002, {"CROSSED": 1}),
    "Refused": m.Refused("VERSION", "the peer speaks protocol 2.0, this side 1.0"),
}
BROKER_REQUESTS = {
    "Hello strategy": m.Hello(m.PROTOCOL, SCHEMA, "maker", WAKE, "c0ffee", 41, 3, False),
    "Hello program": m.Hello(m.PROTOCOL, SCHEMA, "desk", None, "", -1, 3, False),
    "Progress nothing": m.Progress(42, []),
    "Progress": m.Progress(
        43,
        [
            ORDER,
            m.Cancel(7),
            m.CancelAll(-1),
            m.Replace(8, 999_800, 50),
            m.WakeAt(MOMENT),
            m.Deal((2, 3, -4), -1, 10**8),
        ],
        True,
    ),
    "Progress end": m.Progress(43, [m.Cancel(9)], False, 6),
    "Orders": m.Orders("a1b2.1", [ORDER], MOMENT + 2_000_000_000),
    "Beat": m.Beat(43, MOMENT),
    "Done": m.Done(b"[]", {"KILLED": 2}),
    "Goodbye": m.Goodbye(),
}
BROKER_REPLIES = {
    "Welcome": m.Welcome(m.PROTOCOL, "paper-demo", 1, 43, 3, False),
    **{f"Watermark {name}": watermark(42, event, m.View()) for name, event in HAPPENED.items()},
    "Watermark view": watermark(43, HAPPENED["Timer"], VIEW),
    "Received": m.Received(-1, "a1b2.1", 7, False, False),
    "Report": m.Report(4, MOMENT, FILLED, -60, 1_234),
    "Reject": m.Reject("DUPLICATE_ID", "a1b2.1 was another order", cid="a1b2.1"),
    "Reconcile": m.Reconcile(43, 4, DIGEST),
    "Beat": BROKER_REQUESTS["Beat"],
    "End": m.End(1_000, "ab" * 32, 0, 0),
}
ADMIN_REQUESTS = {
    "Kill": m.Kill("", "drill"),
    "Rearm": m.Rearm(1),
    "Ask": m.Ask(),
    "Shutdown": m.Shutdown(),
}
ADMIN_REPLIES = {
    "Standing": m.Standing(b"{}"),
    "Obeyed": m.Obeyed(1, "killed"),
    "Reject": BROKER_REPLIES["Reject"],
}
SAMPLES = {
    "feed_message": FEED_MESSAGES,
    "feed_request": FEED_REQUESTS,
    "feed_reply": FEED_REPLIES,
    "broker_request": BROKER_REQUESTS,
    "broker_reply": BROKER_REPLIES,
    "admin_request": ADMIN_REQUESTS,
    "admin_reply": ADMIN_REPLIES,
}  # by the decoder that reads them
VERSION = f"{m.PROTOCOL[0]}.{m.PROTOCOL[1]}"


def golden() -> dict[str, dict[str, dict[str, str]]]:
    """version -> decoder -> name -> hex."""
    return json.loads(GOLDEN.read_text())["messages"]


def write() -> None:
    """Put the bytes of the version that is in ``engine.live.messages`` into the golden file, beside the others."""
    kept = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {"schema": {}, "messages": {}}
    kept["schema"][VERSION] = m.schema_digest().hex()
    kept["messages"][VERSION] = {
        decoder: {name: m.encode(message).hex() for name, message in samples.items()}
        for decoder, samples in SAMPLES.items()
    }
    GOLDEN.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    write()
