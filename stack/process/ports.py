"""TCP ports: which process listens on a port, so that an error about a port in use can name it."""

import socket
import time

import psutil

from contracts.errors import ServiceError

UNNAMED_HOLDER = "a process of another user"
ALL_INTERFACES = ("0.0.0.0", "::")  # a container binds these; never our default
# A killed JVM keeps its ports until its last thread has ended; until then psutil reports no PID.
DYING_PROCESS_S = 5.0
POLL_S = 0.05


def find_listener(port: int) -> str | None:
    """The process listening on a TCP port as `PID 123 (java)`; None when the port is free."""
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
            return _describe_process(connection.pid)
    return None


def _describe_process(pid: int | None) -> str:
    try:
        return f"PID {pid} ({psutil.Process(pid).name()})" if pid else UNNAMED_HOLDER
    except psutil.NoSuchProcess:
        return f"PID {pid}"


def listening_ports(process: psutil.Process) -> set[int]:
    """TCP ports on which this process listens; empty when it ended or access is denied."""
    try:
        return {
            connection.laddr.port
            for connection in process.net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN
        }
    except psutil.Error:
        return set()


def require_free(service: str, port: int, setting: str) -> None:
    """Raises ServiceError with the port and the process that holds it. A process without a name may
    be dying: wait up to DYING_PROCESS_S for it.
    """
    deadline = time.monotonic() + DYING_PROCESS_S
    while (holder := find_listener(port)) == UNNAMED_HOLDER and time.monotonic() < deadline:
        time.sleep(POLL_S)
    if holder is not None:
        raise ServiceError(
            f"port {port} ({service}) is in use by {holder}",
            f"stop that process, or set {setting} to a free port",
        )


def accepts_connections(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Whether TCP connections to this address are accepted."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return True
    except OSError:
        return False
