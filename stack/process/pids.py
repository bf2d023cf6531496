"""PID files: PID and creation time of a service, so that a process with a recycled PID is never
mistaken for it.

Every service leads a session; all processes of that session belong to the service, even after the
leader died.
"""

import contextlib
import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from contracts.files import replace_atomically

CLOCK_TICK_S = 0.01  # the kernel's resolution of a process' creation time
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A started process: `created_s` is seconds since 1970 as psutil reports it."""

    pid: int
    created_s: float

    @classmethod
    def from_pid(cls, pid: int) -> "ProcessRecord":
        """The record of a running process. Raises psutil.NoSuchProcess."""
        return cls(pid, psutil.Process(pid).create_time())

    @classmethod
    def from_file(cls, file: Path) -> "ProcessRecord | None":
        """The record in a PID file; None when the file is missing or damaged."""
        try:
            return cls(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, file: Path) -> None:
        """Write the PID file atomically."""
        with replace_atomically(file) as partial:
            partial.write_text(json.dumps(asdict(self)))

    def process(self) -> psutil.Process | None:
        """The recorded process if it still runs, not another one with its PID; a zombie counts as
        dead.
        """
        reap_child(self.pid)
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created_s) <= CLOCK_TICK_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def members(self) -> list[psutil.Process]:
        """Running processes of the recorded session. Empty when its PID has been recycled."""
        with contextlib.suppress(psutil.NoSuchProcess):
            if abs(psutil.Process(self.pid).create_time() - self.created_s) > CLOCK_TICK_S:
                return []
        return [process for process in psutil.process_iter() if _in_session(process, self)]


def _in_session(process: psutil.Process, record: ProcessRecord) -> bool:
    try:
        started_later = process.create_time() >= record.created_s - CLOCK_TICK_S
        return (
            started_later
            and os.getsid(process.pid) == record.pid
            and process.status() != psutil.STATUS_ZOMBIE
        )
    except (psutil.Error, OSError):  # ended in the meantime, or access is denied
        return False


def reap_child(pid: int) -> None:
    """Collect the exit status of a dead child; otherwise it stays a zombie until we end."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def end_session(record: ProcessRecord, timeout_s: float) -> None:
    """Send SIGTERM to the leader, and after `timeout_s` SIGKILL to the rest of its session."""
    process = record.process()
    if process is not None:
        _terminate(process, record, timeout_s)
    for member in record.members():
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    while record.members():
        reap_child(record.pid)
        time.sleep(POLL_S)


def _terminate(process: psutil.Process, record: ProcessRecord, timeout_s: float) -> None:
    """Send SIGTERM, and wait until the process has ended, for `timeout_s` at most."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while record.process() is not None and time.monotonic() < deadline:
        time.sleep(POLL_S)
