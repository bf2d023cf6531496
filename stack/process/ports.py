"""Who listens where: finds the process behind a port, so that a clash names it."""

import socket
import time

import psutil

from contracts.errors import ServiceError

NAMELESS = "a process of another user"
EVERYWHERE = ("0.0.0.0", "::")  # what a container binds; never our default
# A killed JVM keeps its ports, and shows no process behind them, until its last thread is gone.
DYING_S = 5.0
POLL_S = 0.05


def listener(port: int) -> str | None:
    """The process listening on a TCP port as `PID 123 (java)`; None when the port is free."""
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
            return _name(connection.pid)
    return None


def _name(pid: int | None) -> str:
    try:
        return f"PID {pid} ({psutil.Process(pid).name()})" if pid else NAMELESS
    except psutil.NoSuchProcess:
        return f"PID {pid}"


def listening(process: psutil.Process) -> set[int]:
    """TCP ports on which this process listens; empty when it is gone or not ours to look at."""
    try:
        return {
            connection.laddr.port
            for connection in process.net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN
        }
    except psutil.Error:
        return set()


def require_free(service: str, port: int, setting: str) -> None:
    """Raises ServiceError naming the port and the process that holds it; one that cannot be named
    may be dying, and gets a moment.
    """
    deadline = time.monotonic() + DYING_S
    while (holder := listener(port)) == NAMELESS and time.monotonic() < deadline:
        time.sleep(POLL_S)
    if holder is not None:
        raise ServiceError(
            f"port {port} ({service}) is in use by {holder}",
            f"stop that process, or set {setting} to a free port",
        )


def answers(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Whether someone accepts TCP connections there."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return True
    except OSError:
        return False
