"""A local service as data, and what can be done with any of them: spawn, look, stop. Everything
goes by recorded PID.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from contracts.errors import ServiceError
from stack.process.pids import Record, end
from stack.process.ports import require_free

LOG_TAIL_LINES = 12
LOG_BYTES_MAX = (
    64 * 2**20
)  # a log larger than this is set aside (one generation) when its service starts
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Service:
    """How to start one process and how to see that it works. `ports` maps a port to the setting
    that moves it.
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
        """Where the PID is recorded while the service is meant to run."""
        return self.home / "run" / f"{self.name}.json"

    def process(self) -> psutil.Process | None:
        """Its living process, if any."""
        record = Record.read(self.pid_file)
        return record.process() if record else None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `tick status`. State: ready, not ready (lives, does not answer), died (PID file
    without process), off.
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
    """Start the process in a separate session and record its PID; a living one is left alone.

    Raises ServiceError when a port is taken or the command cannot be run.
    """
    if service.process() is not None:
        return
    clear(service.pid_file)
    for port, setting in service.ports.items():
        require_free(service.name, port, setting)
    service.prepare()
    Record.of(_spawn(service)).write(service.pid_file)


def _spawn(service: Service) -> int:
    # posix_spawn rather than Popen: the service outlives us, and there is no object that would
    # complain about it.
    program = shutil.which(service.command[0])
    if program is None:
        raise ServiceError(
            f"{service.name}: {service.command[0]} is not there", "run `tick doctor`"
        )
    service.log.parent.mkdir(parents=True, exist_ok=True)
    if service.log.exists() and service.log.stat().st_size > LOG_BYTES_MAX:
        service.log.replace(service.log.with_suffix(".log.1"))
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(service.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(
        program, service.command, {**os.environ, **service.env}, file_actions=files, setsid=True
    )


def is_ready(service: Service) -> bool:
    """Whether its process lives and answers."""
    return service.process() is not None and service.ready()


def require_alive(service: Service) -> None:
    """Raises ServiceError with the end of the log when the process died while starting."""
    if service.process() is None:
        raise ServiceError(
            f"{service.name} died while starting:\n{tail(service.log)}", f"see {service.log}"
        )


def row(service: Service, now_s: float) -> Row:
    """What `tick status` shows; `now_s` is seconds since 1970."""
    process, ports = service.process(), tuple(service.ports)
    if process is None:
        state = "died" if service.pid_file.exists() else "off"
        return Row(
            service.name,
            service.version,
            state,
            ports,
            service.log,
            memory_limit_mb=service.memory_mb,
        )
    state = "ready" if service.ready() else "not ready"
    try:
        memory_mb, uptime_s = process.memory_info().rss // MIB, now_s - process.create_time()
    except psutil.NoSuchProcess:
        return Row(
            service.name,
            service.version,
            "died",
            ports,
            service.log,
            memory_limit_mb=service.memory_mb,
        )
    return Row(
        service.name,
        service.version,
        state,
        ports,
        service.log,
        process.pid,
        memory_mb,
        service.memory_mb,
        uptime_s,
    )


def stop(pid_file: Path, timeout_s: float) -> bool:
    """End the recorded process and what it started, then forget it. False when there was nothing to
    end.
    """
    record = Record.read(pid_file)
    if record is None:
        clear(pid_file)
        return False
    alive = bool(record.members())
    end(record, timeout_s)
    clear(pid_file)
    return alive


def clear(pid_file: Path) -> None:
    """Forget a PID; ends what a dead leader left in its session."""
    record = Record.read(pid_file)
    if record is not None and record.members():
        end(record, 0)
    pid_file.unlink(missing_ok=True)


def tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log."""
    if not log.exists():
        return "(no log)"
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 65_536))
        return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])
