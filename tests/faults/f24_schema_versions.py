"""F24: peers of older and newer versions: another minor works where it may, another major is refused everywhere.

A feed and a broker are spoken to as peers of each version would, with fields appended as a newer minor has them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from procedure import Trial, main

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "live"))
from broker_bench import Bench, config_of, hello, small_day

from engine.live import messages as m
from engine.live.feed_core import FeedCore
from engine.live.receiver import StreamBroken, StreamReceiver
from engine.live.role import Frame, Send, Tick
from engine.live.sources import TapeSource

MAJOR, MINOR = m.PROTOCOL
OTHERS = {"older major": (MAJOR - 1, 9), "newer major": (MAJOR + 1, 0), "newer minor": (MAJOR, MINOR + 1)}
FOREIGN = bytes(16)  # a schema that is not ours


def schema_versions(trial: Trial) -> str:
    day = small_day(100)
    for name, version in OTHERS.items():
        may_follow = name == "newer minor"
        answer = asked_of_feed(FeedCore(TapeSource(day), stream="s", epoch=1), m.Join(version, FOREIGN))
        assert isinstance(answer, m.Market if may_follow else m.Refused), f"{name}: the feed answers {answer}"
        assert follows(day, version) == may_follow, f"{name}: a follower of a feed of that version"
        bench = Bench(config_of("desk"), day)
        bench.join()
        (refused,) = bench.say(hello("desk", wake=None, protocol=version, schema=FOREIGN), b"d")
        assert refused.reason == "PROTOCOL", f"{name}: the broker answers {refused}"
    same = asked_of_feed(FeedCore(TapeSource(day), stream="s", epoch=1), m.Join(m.PROTOCOL, m.schema_digest()))
    assert isinstance(same, m.Market)
    other = asked_of_feed(FeedCore(TapeSource(day), stream="s", epoch=1), m.Join(m.PROTOCOL, FOREIGN))
    assert isinstance(other, m.Refused), "the same version with other messages was let in"
    extended = appended(trial)
    return f"3 other versions at feed, follower and broker; {extended} fields appended to market data passed over"


def asked_of_feed(core: FeedCore, request: m.FeedRequest) -> object:
    """What a feed answers."""
    out = [*core.advance(1, Frame("recovery", b"p", "", m.encode(request))), *core.advance(2, Tick())]
    (answer,) = [one for one in out if isinstance(one, Send) and one.link == "recovery"]
    return m.feed_reply(answer.data)


def follows(day, version: tuple[int, int]) -> bool:
    """Whether a receiver joins a feed of that version."""
    manifest = msgspec.json.encode(day.manifest)
    market = m.Market(version, FOREIGN, "s", 1, 0, False, 0, "", manifest, b"{}", [])
    try:
        StreamReceiver().join(0, market)
    except StreamBroken as error:
        return error.reason != "PROTOCOL"
    return True


def appended(trial: Trial) -> int:
    """Batches with fields of a later minor behind their own, decoded as if they were not there."""
    tried = 10 if trial.quick else 1_000
    for _ in range(tried):
        batch = m.Batch("s", 1, trial.rng.randrange(1 << 40), 0, trial.rng.randrange(1 << 60), b"")
        fields = msgspec.msgpack.decode(m.encode(batch))
        more = [trial.rng.randrange(9), "later", None, [1, 2]][: trial.rng.randrange(1, 5)]
        assert m.feed_message(msgspec.msgpack.encode(fields + more)) == batch
    return tried


if __name__ == "__main__":
    main(schema_versions)
