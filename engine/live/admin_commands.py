"""What ``tickwright kill`` and ``tickwright rearm`` do."""

from __future__ import annotations

from pathlib import Path

from engine.cli import CURABLE, OK, Output
from engine.cli import say as answer
from engine.errors import ConfigError, RunError
from engine.live import messages as m
from engine.live.admin import Admin, running_sessions
from engine.live.session import live_config, live_of
from engine.live_config import Live

KILL_FILE = "KILL"  # in the run folder, where the config names none


def kill_command(config: str, all_: bool, account: str, why: str, output: Output) -> int:
    """Latch the kill switch of one session, or of all that run."""
    if bool(config) == all_:
        raise ConfigError("kill: name a config or a run folder, or say --all")
    if all_:
        chosen = [(session.folder, session.live, Path(session.kill_file)) for session in running_sessions()]
    else:
        found = live_config(config)
        chosen = [(config, live_of(found), _kill_file(config, live_of(found)))]
    if not chosen:
        answer(output, {"killed": []}, ["no session of this user runs on this machine"])
        return OK
    done = [_kill(name, live, file, account, why) for name, live, file in chosen]
    answer(output, {"killed": done}, [f"{one['session']}: {one['text']}" for one in done])
    return OK if all(one["killed"] for one in done) else CURABLE


def rearm_command(config: str, latch: int, output: Output) -> int:
    """Release one latch."""
    with Admin(live_of(live_config(config))) as admin:
        obeyed = admin.ask(m.Rearm(latch))
    assert isinstance(obeyed, m.Obeyed)
    answer(output, {"latch": obeyed.latch, "text": obeyed.text}, [obeyed.text])
    return OK


def _kill(name: str, live: Live, file: Path | None, account: str, why: str) -> dict[str, object]:
    """By the admin socket; where nobody answers and all accounts are meant, by the kill file."""
    try:
        with Admin(live) as admin:
            obeyed = admin.ask(m.Kill(account, why))
        assert isinstance(obeyed, m.Obeyed)
        text = f"{obeyed.text}; `tickwright rearm {name} {obeyed.latch}` lets it trade again"
        return {"session": name, "killed": True, "latch": obeyed.latch, "text": text}
    except (RunError, ConfigError) as error:
        if file is None or account:
            return {"session": name, "killed": False, "latch": 0, "text": str(error)}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{why}\n", encoding="utf-8")
    text = f"no answer, so {file} is written: the broker sees it within 50 ms, or when it starts; remove it to rearm"
    return {"session": name, "killed": True, "latch": 0, "text": text}


def _kill_file(config: str, live: Live) -> Path | None:
    """Where the broker looks; unknown for a config without a name for it, whose run folder may be any."""
    if live.kill_file:
        return Path(live.kill_file)
    return Path(config) / KILL_FILE if Path(config).is_dir() else None
