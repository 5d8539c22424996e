"""Recorded feed latency is simulated only where it was recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.broker.models import BrokerConfig, Latency
from engine.errors import ConfigError
from engine.receive_times import check_receive_times
from engine.tape import Tape
from feeds.replay import TapeFeed


def test_recorded_latency_needs_receive_times(small_tape: Path) -> None:
    tape = Tape.load(small_tape)
    recorded = BrokerConfig(latency=Latency(feed="recorded"))
    with pytest.raises(ConfigError, match="no row of this tape was received later"):
        check_receive_times(recorded, TapeFeed(tape))
    check_receive_times(BrokerConfig(), TapeFeed(tape))
    rows = tape.rows.copy()
    rows["ts_recv"][300] += 5
    check_receive_times(recorded, TapeFeed(Tape(rows, tape.manifest)))
