"""A local service as data, and the operations on any service: spawn, status, stop. A process is
always identified by its recorded PID.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from contracts.errors import ServiceError
from stack.process.log_files import MIB, log_tail
from stack.process.pids import ProcessRecord, end_session
from stack.process.ports import require_free


@dataclass(frozen=True, slots=True)
class Service:
    """How to start one process and how to check that it works. `ports` maps each port to the
    setting that changes it.
    """

    name: str
    version: str
    command: tuple[str, ...]
    ready: Callable[[], bool]
    home: Path
    ports: Mapping[int, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    memory_mb: int = 0
    prepare: Callable[[], None] = lambda: None
    after_ready: Callable[[], object] = lambda: None

    @property
    def log(self) -> Path:
        """Standard output and error of the process."""
        return self.home / "logs" / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        """The PID file; exists from the start of the service until it is stopped."""
        return self.home / "run" / f"{self.name}.json"

    @property
    def failed_file(self) -> Path:
        """Exists while the supervisor does not restart the service any more."""
        return self.pid_file.with_suffix(".failed")

    def process(self) -> psutil.Process | None:
        """The running process, if any."""
        record = ProcessRecord.from_file(self.pid_file)
        return record.process() if record else None


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One row of `tick status`. State: ready, not ready (runs, but does not respond), died (a PID
    file without a process), FAILED (died, and the supervisor does not restart it any more), off.
    """

    name: str
    version: str
    state: str
    ports: tuple[int, ...]
    log: Path
    pid: int | None = None
    memory_mb: int | None = None
    memory_limit_mb: int = 0
    uptime_s: float | None = None


def spawn(service: Service) -> None:
    """Start the process in a separate session and record its PID, unless it runs already.

    Raises ServiceError when a port is in use or the program is missing. The PID file of a process
    that died stays then: the service is still meant to run.
    """
    if service.process() is not None:
        return
    _end_leftovers(service.pid_file)
    for port, setting in service.ports.items():
        require_free(service.name, port, setting)
    service.prepare()
    ProcessRecord.from_pid(_spawn_process(service)).write(service.pid_file)
    service.failed_file.unlink(missing_ok=True)


def _spawn_process(service: Service) -> int:
    # posix_spawn instead of Popen: the service outlives us, and a Popen object would emit a
    # ResourceWarning for it.
    program = shutil.which(service.command[0])
    if program is None:
        raise ServiceError(
            f"{service.name}: program {service.command[0]} not found", "run `tick doctor`"
        )
    service.log.parent.mkdir(parents=True, exist_ok=True)
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(service.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(
        program, service.command, {**os.environ, **service.env}, file_actions=files, setsid=True
    )


def is_ready(service: Service) -> bool:
    """Whether its process runs and responds."""
    return service.process() is not None and service.ready()


def require_alive(service: Service) -> None:
    """Raises ServiceError with the end of the log when the process died while starting."""
    if service.process() is None:
        raise ServiceError(
            f"{service.name} died while starting:\n{log_tail(service.log)}", f"see {service.log}"
        )


def service_status(service: Service, now_s: float) -> ServiceStatus:
    """The row of `tick status` for a service; `now_s` is seconds since 1970."""
    process = service.process()
    if process is None:
        return _status(service, _state_without_process(service))
    status = _status(service, "ready" if service.ready() else "not ready")
    try:
        return replace(
            status,
            pid=process.pid,
            memory_mb=process.memory_info().rss // MIB,
            uptime_s=now_s - process.create_time(),
        )
    except psutil.NoSuchProcess:
        return replace(status, state="died")


def _state_without_process(service: Service) -> str:
    if not service.pid_file.exists():
        return "off"
    return "FAILED" if service.failed_file.exists() else "died"


def _status(service: Service, state: str) -> ServiceStatus:
    return ServiceStatus(
        service.name,
        service.version,
        state,
        tuple(service.ports),
        service.log,
        memory_limit_mb=service.memory_mb,
    )


def stop(pid_file: Path, timeout_s: float, *, forget: bool = True) -> bool:
    """End the recorded process with its session and, if `forget`, remove the PID file. False when
    no process was running.
    """
    record = ProcessRecord.from_file(pid_file)
    if record is None:
        clear_session(pid_file)
        return False
    was_running = bool(record.members())
    end_session(record, timeout_s)
    if forget:
        clear_session(pid_file)
    return was_running


def clear_session(pid_file: Path) -> None:
    """Remove a PID file, and kill the processes that a dead leader left in its session."""
    _end_leftovers(pid_file)
    pid_file.unlink(missing_ok=True)
    pid_file.with_suffix(".failed").unlink(missing_ok=True)


def _end_leftovers(pid_file: Path) -> None:
    record = ProcessRecord.from_file(pid_file)
    if record is not None and record.members():
        end_session(record, 0)
