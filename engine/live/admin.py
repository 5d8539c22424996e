"""An operator's line to a paper broker, and the list of sessions that this user runs on this machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine import clock
from engine.config import Config
from engine.errors import RunError
from engine.live import messages as m
from engine.live import standing
from engine.live.session import live_of, wires
from engine.live_config import Live

ANSWER_MS = 2_000
AGAIN_MS = 20  # while the socket connects: what cannot leave at once is not queued


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A broker that runs, or did when it left this."""

    pid: int
    folder: str
    kill_file: str
    started: int  # ns UTC
    live: Live


class Admin:
    """A connection to a broker's admin socket.

    Parameters
    ----------
    live : Live
    answer_ms : int
        How long to wait for an answer.
    """

    def __init__(self, live: Live, *, answer_ms: int = ANSWER_MS) -> None:
        self._live, self._answer_ms = live, answer_ms
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Admin:
        made = self._stack.enter_context(wires(self._live))
        self._socket = self._stack.enter_context(contextlib.closing(made.client("admin")))
        return self

    def __exit__(self, *ended: object) -> None:
        self._stack.close()

    def ask(self, request: m.AdminRequest) -> m.Standing | m.Obeyed:
        """The broker's answer.

        Raises
        ------
        RunError
            If it refuses, or does not answer in time.
        """
        import zmq

        until = clock.monotonic_ns() + self._answer_ms * 1_000_000
        is_sent = False
        while (left := (until - clock.monotonic_ns()) // 1_000_000) > 0:
            if not is_sent:
                with contextlib.suppress(zmq.Again):
                    self._socket.send(m.encode(request), zmq.NOBLOCK)
                    is_sent = True
            if self._socket.poll(left if is_sent else min(left, AGAIN_MS)):
                answer = m.admin_reply(self._socket.recv())
                if isinstance(answer, m.Reject):
                    raise RunError(f"the broker refuses: {answer.text} ({answer.reason})")
                return answer
        raise RunError(f"no broker answers at {self._live.admin}; is it running, and may this user's key come in?")

    def standing(self) -> standing.Standing:
        """How the broker stands; raises as ``ask``."""
        answer = self.ask(m.Ask())
        return standing.parse(answer.json if isinstance(answer, m.Standing) else b"")


def sessions_folder() -> Path:
    """Where brokers leave word of themselves: this user's own runtime folder."""
    root = os.environ.get("XDG_RUNTIME_DIR") or os.path.join(tempfile.gettempdir(), f"tickwright-{os.geteuid()}")
    return Path(root) / ("tickwright" if os.environ.get("XDG_RUNTIME_DIR") else "sessions")


@contextlib.contextmanager
def announced(config: Config, folder: Path, kill_file: Path) -> Iterator[None]:
    """Leave word of a session while it lasts; where that is not possible, go on without."""
    session = Session(
        pid=os.getpid(),
        folder=str(folder.absolute()),
        kill_file=str(kill_file.absolute()),
        started=clock.wall_ns(),
        live=live_of(config),
    )
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(_word_of(session))
        yield


@contextlib.contextmanager
def _word_of(session: Session) -> Iterator[None]:
    """A file that is locked from the moment it has its name until its process ends, in whatever way it does."""
    path = sessions_folder() / f"{session.pid}-{session.started}.json"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unnamed = path.with_suffix(".new")
    with unnamed.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(msgspec.json.encode(session))
        file.flush()
        unnamed.rename(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def running_sessions() -> list[Session]:
    """Of this user on this machine, the one that began last first."""
    found: list[Session] = []
    for path in sorted(sessions_folder().glob("*.json")):
        with contextlib.suppress(OSError, msgspec.DecodeError):
            if path.stat().st_uid == os.geteuid() and _is_held(path):
                found.append(msgspec.json.decode(path.read_bytes(), type=Session))
    return sorted(found, key=lambda session: -session.started)


def _is_held(path: Path) -> bool:
    """Whether the process that left this word still runs; what a dead one left is cleared away."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        path.unlink(missing_ok=True)
        return False
