"""What ``tickwright broker`` does: open what is on disk, open the sockets, run the paper broker, seal the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine import run_folder
from engine.cli import OK, Output
from engine.cli import say as answer
from engine.config import Config
from engine.live import paper_run
from engine.live.admin import announced
from engine.live.admin_commands import KILL_FILE
from engine.live.broker_role import BrokerRole
from engine.live.broker_standing import standing_of
from engine.live.disk import disk_is_low, release_ballast, set_ballast_aside
from engine.live.durable_log import DurableLog
from engine.live.metrics import metrics_of
from engine.live.role import EX_OK
from engine.live.role_disk import RoleDisk
from engine.live.segments import Segments
from engine.live.session import (
    Wires,
    broker_links,
    choose_folder,
    guarded,
    ignore_interrupts,
    is_unfinished,
    live_config,
    live_of,
)
from engine.live.session import wires as opened
from engine.live.session_verify import inputs_from_outside
from engine.live.shell import Shell, is_supervised, say
from engine.reports.summary import summary
from engine.result import Result


def broker_command(name: str, sets: list[str], out: Path | None, new: bool, output: Output) -> int:
    """Run the paper broker of a config until its market ends."""
    config = live_config(name, sets)
    if out is not None and is_supervised() and (out / "manifest.json").exists() and not is_unfinished(out):
        say(f"{out} was sealed before this broker was killed; nothing is left to do")
        return OK
    folder = choose_folder(config, out, new=new)
    say(f"run folder {folder}")
    return guarded(lambda: _run(config, folder, output))


def _run(config: Config, folder: Path, output: Output) -> int:
    live = live_of(config)
    paper_run.begin(folder, config)
    with (
        DurableLog.open(folder / "log.sqlite", durable=live.durable) as log,
        Segments(folder / "segments", durable=live.durable) as segments,
    ):
        with opened(live, "broker") as made:
            role, code = _serve(config, folder, log, segments, made)
        if code != EX_OK:
            return code
        if role.core is None:
            run_folder.abandon(folder, run_folder.read_manifest(folder), "ended before the market began")
            return OK
        ignore_interrupts()
        result = paper_run.seal(folder, role, _entries(log), segments)
    if not output.quiet:
        answer(output, {"result": result}, last_words(folder, result))
    return OK


def _serve(config: Config, folder: Path, log: DurableLog, segments: Segments, made: Wires) -> tuple[BrokerRole, int]:
    live = live_of(config)

    def rows(first: int, n: int) -> NDArray[np.void]:
        return segments.read(first, n)

    role = BrokerRole(
        config,
        log_entries=_entries(log),
        rows=rows,
        kept_rows=segments.rows,
        hold_ns=live.hold_ns,
        may_trade=made.may_trade,
    )
    disk = RoleDisk(log, segments)
    set_ballast_aside(folder)
    kill_file = Path(live.kill_file) if live.kill_file else folder / KILL_FILE
    with metrics_of(live.metrics_port) as watch, announced(config, folder, kill_file):
        shell = Shell(
            role,
            broker_links(made),
            disk=disk,
            kill_file=kill_file,
            is_disk_low=lambda: disk_is_low(folder),
            reload_keys=made.reload,
            answers=made.answers,
            each_second=lambda: watch(lambda: standing_of(role), disk),
        )
        code = shell.run()
    release_ballast(folder)
    return role, code


def _entries(log: DurableLog) -> list[tuple[int, bytes]]:
    return [(entry.kind, entry.payload) for entry in log.entries()]


def last_words(folder: Path, result: Result) -> list[str]:
    """What a session came to, and how to prove it."""
    lines = ["", *summary(result)]
    if outside := inputs_from_outside(folder):
        lines.append(f"{'outside':<12}{outside}; a verification takes them from the log")
    return [*lines, f"{'to verify':<12}tickwright verify {folder}"]
