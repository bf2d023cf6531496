"""Which process is ours: a PID file keeps PID and creation time, so that a recycled PID is never
taken for a service.

Every service leads its own session; whoever is in that session belongs to it, also after its leader
died.
"""

import contextlib
import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from contracts.files import replacing

CLOCK_TICK_S = 0.01  # the kernel's resolution of a process' creation time
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Record:
    """A started process: `created_s` is seconds since 1970 as psutil reports it."""

    pid: int
    created_s: float

    @classmethod
    def of(cls, pid: int) -> "Record":
        """The record of a living process. Raises psutil.NoSuchProcess."""
        return cls(pid, psutil.Process(pid).create_time())

    @classmethod
    def read(cls, file: Path) -> "Record | None":
        """The record in a PID file; None when there is none or it is damaged."""
        try:
            return cls(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, file: Path) -> None:
        """Write the PID file whole or not at all."""
        with replacing(file) as partial:
            partial.write_text(json.dumps(asdict(self)))

    def process(self) -> psutil.Process | None:
        """The very process that was recorded, if it lives; zombies don't."""
        reap(self.pid)
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created_s) <= CLOCK_TICK_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def members(self) -> list[psutil.Process]:
        """Living processes of the recorded session. Empty when its number belongs to someone else
        by now.
        """
        with contextlib.suppress(psutil.NoSuchProcess):
            if abs(psutil.Process(self.pid).create_time() - self.created_s) > CLOCK_TICK_S:
                return []
        return [process for process in psutil.process_iter() if _in_session(process, self)]


def _in_session(process: psutil.Process, record: Record) -> bool:
    try:
        started_later = process.create_time() >= record.created_s - CLOCK_TICK_S
        return (
            started_later
            and os.getsid(process.pid) == record.pid
            and process.status() != psutil.STATUS_ZOMBIE
        )
    except (psutil.Error, OSError):  # gone meanwhile, or not ours to look at
        return False


def reap(pid: int) -> None:
    """Collect a dead child of this very process; without this it would stay a zombie while we
    live."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def end(record: Record, timeout_s: float) -> None:
    """SIGTERM to the leader, SIGKILL to whoever of its session is left after `timeout_s`."""
    process = record.process()
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + timeout_s
        while record.process() is not None and time.monotonic() < deadline:
            time.sleep(POLL_S)
    for member in record.members():
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    while record.members():
        reap(record.pid)
        time.sleep(POLL_S)
