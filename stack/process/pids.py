"""PID files: which process is a service, so that a process with a recycled PID is never mistaken
for it, also after the wall clock was set.

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

from contracts.errors import ServiceError
from contracts.files import replace_atomically

CLOCK_TICK_S = 0.01  # the kernel's resolution of a process' creation time
POLL_S = 0.05
# SIGKILL takes effect at once, except on a process that waits for a device (state D).
KILL_TIMEOUT_S = 10.0
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Field 22 of /proc/PID/stat, counted after the name of the program, which may contain spaces.
START_TICKS_FIELD = 22 - 3


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A started process. On Linux it is recognised by `start_ticks` (clock ticks between the boot
    and its start) and the id of the boot: the kernel derives the wall-clock time of a start from
    the current time, so that one moves whenever the clock is set.

    `created_s` is that time, in seconds since 1970, when the record was made. It identifies the
    process where there is no boot id (macOS) and in PID files of earlier versions.
    """

    pid: int
    created_s: float
    start_ticks: int | None = None
    boot_id: str | None = None

    @classmethod
    def from_pid(cls, pid: int) -> "ProcessRecord":
        """The record of a running process. Raises psutil.NoSuchProcess."""
        created_s = psutil.Process(pid).create_time()
        boot_id = _boot_id()
        return cls(pid, created_s, _start_ticks(pid) if boot_id else None, boot_id)

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
            same = self._is_start_of(process)
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def members(self) -> list[psutil.Process]:
        """Running processes of the recorded session. Empty when its PID has been recycled, and
        after a reboot.
        """
        if self.boot_id not in (None, _boot_id()):
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            if not self._is_start_of(psutil.Process(self.pid)):
                return []
        return [process for process in psutil.process_iter() if self._leads(process)]

    def started_s(self) -> float:
        """When the process started, in seconds since 1970 by the current wall clock."""
        try:
            return float(psutil.Process(self.pid).create_time())
        except psutil.NoSuchProcess:
            return self.created_s

    def _is_start_of(self, process: psutil.Process) -> bool:
        """Whether this process started when the recorded one did. Raises psutil.NoSuchProcess."""
        if self.start_ticks is None:
            return bool(abs(process.create_time() - self.created_s) <= CLOCK_TICK_S)
        return self.boot_id == _boot_id() and self.start_ticks == _start_ticks(process.pid)

    def _leads(self, process: psutil.Process) -> bool:
        """Whether a process belongs to the session of the recorded one."""
        try:
            return (
                os.getsid(process.pid) == self.pid
                and self._is_earlier_than(process)
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except (psutil.Error, OSError):  # ended in the meantime, or access is denied
            return False

    def _is_earlier_than(self, process: psutil.Process) -> bool:
        if self.start_ticks is None:
            return bool(process.create_time() >= self.created_s - CLOCK_TICK_S)
        return _start_ticks(process.pid) >= self.start_ticks


def _boot_id() -> str | None:
    """An id that changes with every boot; None on systems without one."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return None


def _start_ticks(pid: int) -> int:
    """Clock ticks between the boot and the start of a process. Raises psutil.NoSuchProcess."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError as error:  # ended, also while the file was read
        raise psutil.NoSuchProcess(pid) from error
    return int(stat.rpartition(")")[2].split()[START_TICKS_FIELD])


def reap_child(pid: int) -> None:
    """Collect the exit status of a dead child; otherwise it stays a zombie until we end."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def end_session(record: ProcessRecord, timeout_s: float) -> None:
    """Send SIGTERM to the leader, and after `timeout_s` SIGKILL to the rest of its session.

    Raises ServiceError when a process still exists KILL_TIMEOUT_S after SIGKILL.
    """
    process = record.process()
    if process is not None:
        _terminate(process, record, timeout_s)
    deadline = time.monotonic() + KILL_TIMEOUT_S
    while members := record.members():
        if time.monotonic() > deadline:
            raise _unkillable(members)
        for member in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        reap_child(record.pid)
        time.sleep(POLL_S)


def _unkillable(members: list[psutil.Process]) -> ServiceError:
    pids = ", ".join(str(member.pid) for member in members)
    return ServiceError(
        f"process {pids} has not ended {KILL_TIMEOUT_S:.0f} s after SIGKILL",
        "it waits for a device (state D in `ps`): check the disk or network mount that it uses,"
        " then repeat `tick down`",
    )


def _terminate(process: psutil.Process, record: ProcessRecord, timeout_s: float) -> None:
    """Send SIGTERM, and wait until the process has ended, for `timeout_s` at most."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while record.process() is not None and time.monotonic() < deadline:
        time.sleep(POLL_S)
