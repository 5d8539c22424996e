"""The protocol as data: what happens, line by line, and all that the receiving end makes of it (README.md here)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.instruments import Instrument
from engine.live import panel_parts
from engine.live.messages import (
    PROTOCOL,
    Batch,
    Join,
    Market,
    Message,
    PanelPart,
    Refused,
    WantPanel,
    WantRows,
    schema_digest,
)
from engine.live.panel_parts import parts_of, shapes_of
from engine.live.receiver import StreamBroken, StreamReceiver
from engine.tape import ROW, Flag, Kind, Manifest

HERE = Path(__file__).parent
SCRIPTS = sorted(HERE.glob("*.txt"))
INSTRUMENTS = [Instrument(symbol="A"), Instrument(symbol="USD.RATES", kind="rates", book="NONE", levels=0)]
PANELS = {"level": np.arange(6.0).reshape(3, 2), "axis_tenor": np.array([2.0, 5.0])}
PART_BYTES = 8  # so that a day of level comes in two parts
UNCOUNTED = {"ROWS", "REQUESTS"}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_receiving_end_follows_the_script(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel_parts, "PANEL_PART", PART_BYTES)
    lines = [line.rstrip() for line in script.read_text().splitlines() if line[:1] in (">", "<")]
    assert performed([line[2:] for line in lines if line[0] == ">"]) == lines


def test_there_are_enough_of_them() -> None:
    assert len(SCRIPTS) >= 40


def performed(inputs: list[str]) -> list[str]:
    """The script with what was brought about; nothing is after a broken stream."""
    receiver, now, lines, ended = StreamReceiver(), 0, [], False
    for text in inputs:
        lines.append(f"> {text}")
        before = receiver.counters.copy()
        word, *rest = text.split()
        try:
            if word == "@":
                now = int(rest[0]) * 1_000_000
            for message in messages(word, rest):
                receiver.hear(now, message)  # type: ignore[arg-type]
            taken = receiver.take()
            wanted = receiver.wants(now)
        except StreamBroken as error:
            return [*lines, f"< broken {error.reason}"]
        counted = {code: n - before[code] for code, n in receiver.counters.items() if n != before[code]}
        lines += [f"< count {code} {n}" for code, n in sorted(counted.items()) if code not in UNCOUNTED]
        lines += [f"< take {' '.join(map(shown, taken))}"] if len(taken) else []
        lines += [f"< want {asked(one)}" for one in wanted]
        lines += ["< ended"] if receiver.ended and not ended else []
        ended = receiver.ended
    return lines


def messages(word: str, rest: list[str]) -> list[Message]:
    options = dict(one.split("=") for one in rest if "=" in one)
    flags = {one for one in rest if one in ("ended", "panels", "assets", "cut", "*")}
    plain = [one for one in rest if "=" not in one and one not in flags]
    stream, epoch = options.get("stream", "s"), int(options.get("epoch", "1"))
    match word:
        case "market":
            return [market(int(options.get("next", "0")), epoch, flags)]
        case "rows":
            rows = b"".join(row(one).tobytes() for one in plain[1:])
            n = int(options.get("n", str(sum(not one.startswith("|") for one in plain[1:]))))
            return [Batch(stream, epoch, int(plain[0]), n, 0, rows[:-1] if "cut" in flags else rows)]
        case "beat" | "end":
            return [Batch(stream, epoch, int(plain[0]), -1 if word == "end" else 0, 0, b"")]
        case "axis":
            return [*parts_of(PANELS, "axis_tenor", panel_parts.AXIS, stream=stream, epoch=epoch)]
        case "panel":
            return [panel(plain, flags, stream, epoch)]
        case "refused":
            return [Refused(plain[0], "because")]
    assert word == "@", word
    return []


def market(next_seq: int, epoch: int, flags: set[str]) -> Market:
    named = INSTRUMENTS[:1] if "assets" in flags else INSTRUMENTS
    manifest = msgspec.json.encode(Manifest(instruments=named))
    shapes = shapes_of(PANELS) if "panels" in flags else []
    return Market(
        PROTOCOL, schema_digest(), "s", epoch, next_seq, "ended" in flags, 0, "", manifest, b"{}", shapes
    )  # fmt: skip


def panel(plain: list[str], flags: set[str], stream: str, epoch: int) -> PanelPart:
    name, day, part = plain[0], int(plain[1]), int(plain[2].split("/")[0])
    panels = {**PANELS, name: PANELS[name] + 1} if "*" in flags else PANELS
    found = list(parts_of(panels, name, day, stream=stream, epoch=epoch))[part]
    return msgspec.structs.replace(found, data=found.data[:-1]) if "cut" in flags else found


def row(text: str) -> np.ndarray:
    one = np.zeros(1, ROW)
    time = text.strip("|c*?").split(":")[0].split("@")[0]
    one["ts_event"] = one["ts_recv"] = one["price"] = int(time)
    one["flags"], one["kind"] = Flag.LAST, Kind.QUOTE
    if text.startswith("|"):
        one["kind"] = Kind.CLOCK
    if text.startswith("c"):
        one["kind"], one["instrument"], one["order_id"] = Kind.CLOSE, 1, int(text.split(":")[1])
    if "@" in text:
        one["instrument"] = int(text.split("@")[1])
    one["kind"] += 200 * text.endswith("?")
    one["price"] += text.endswith("*")
    return one


def shown(one: np.void) -> str:
    mark = {Kind.CLOCK: "|", Kind.CLOSE: "c"}.get(one["kind"], "")
    return f"{mark}{one['ts_event']}" + (f":{one['order_id']}" if mark == "c" else "")


def asked(want: Join | WantRows | WantPanel) -> str:
    match want:
        case WantRows(first, n):
            return f"rows {first} {n}"
        case WantPanel(name, day, part):
            return f"panel {name} {day} {part}"
        case Join():
            return "join"
