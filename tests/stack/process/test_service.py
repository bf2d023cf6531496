"""The life of a service: spawned once, its status, restarted after a kill, stopped; its port is
checked before the start, its log is kept.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.errors import ServiceError
from stack.process.log_files import log_tail
from stack.process.pids import ProcessRecord
from stack.process.ports import UNNAMED_HOLDER, accepts_connections, find_listener, require_free
from stack.process.service import (
    Service,
    clear_session,
    is_ready,
    require_alive,
    service_status,
    spawn,
    stop,
)

SERVER = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
time.sleep(600)
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path, port: int) -> Iterator[Callable[..., Service]]:
    """Describes a small server; whatever was started is stopped at the end."""
    pid_file = tmp_path / "run" / "server.json"

    def describe(code: str = SERVER, **fields) -> Service:
        command = (sys.executable, "-c", code, str(port))
        return Service(
            "server",
            "1",
            command,
            lambda: accepts_connections("127.0.0.1", port),
            tmp_path,
            {port: "TICK_SERVER_PORT"},
            **fields,
        )

    yield describe
    stop(pid_file, timeout_s=5)


def _wait(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.02)


def test_a_service_lives_from_spawn_to_stop(server, port):
    service = server(memory_mb=64)
    assert service_status(service, time.time()).state == "off"
    spawn(service)
    _wait(lambda: is_ready(service))
    status = service_status(service, time.time())
    assert (status.name, status.version, status.state, status.ports, status.memory_limit_mb) == (
        "server",
        "1",
        "ready",
        (port,),
        64,
    )
    assert status.pid == ProcessRecord.from_file(service.pid_file).pid
    assert status.memory_mb > 0
    assert 0 <= status.uptime_s < 60
    assert log_tail(service.log) == "listening"
    assert stop(service.pid_file, timeout_s=5)
    assert service_status(service, time.time()).state == "off"
    assert find_listener(port) is None


def test_a_second_spawn_changes_nothing(server):
    service = server()
    spawn(service)
    before = ProcessRecord.from_file(service.pid_file)
    spawn(service)
    assert ProcessRecord.from_file(service.pid_file) == before


def test_a_killed_service_is_reported_and_restarted(server):
    service = server()
    spawn(service)
    first = ProcessRecord.from_file(service.pid_file)
    os.kill(first.pid, signal.SIGKILL)
    _wait(lambda: service_status(service, time.time()).state == "died")
    spawn(service)
    _wait(lambda: is_ready(service))
    assert ProcessRecord.from_file(service.pid_file) != first


def test_a_service_that_does_not_respond_is_not_ready(server):
    service = server("import time; time.sleep(600)")
    spawn(service)
    assert service_status(service, time.time()).state == "not ready"
    assert not is_ready(service)


def test_a_service_that_dies_shows_the_end_of_its_log(server):
    service = server("raise SystemExit('no such table')")
    spawn(service)
    _wait(lambda: service.process() is None)
    with pytest.raises(ServiceError, match="server died while starting:\nno such table") as caught:
        require_alive(service)
    assert str(service.log) in caught.value.hint


def test_a_port_in_use_names_port_setting_and_process(server, port):
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ServiceError) as caught:
        spawn(server())
    assert f"port {port} (server) is in use by PID {os.getpid()}" in caught.value.message
    assert "TICK_SERVER_PORT" in caught.value.hint
    assert find_listener(port) is None
    require_free("server", port, "TICK_SERVER_PORT")


def test_the_port_of_a_dying_process_gets_a_moment(port):
    """A socket that is in flight between the ends of a socket pair belongs to no process, like that
    of a killed process whose threads have not ended.
    """
    here, there = socket.socketpair()
    with socket.create_server(("127.0.0.1", port)) as held:
        socket.send_fds(here, [b"x"], [held.fileno()])
    assert find_listener(port) == UNNAMED_HOLDER
    there_closed = threading.Timer(0.3, lambda: (here.close(), there.close()))
    there_closed.start()
    require_free("server", port, "TICK_SERVER_PORT")
    there_closed.join()


def test_a_missing_program_is_named(tmp_path):
    with pytest.raises(ServiceError, match="program no-such-program not found"):
        spawn(Service("ghost", "1", ("no-such-program",), lambda: True, tmp_path))
    assert not (tmp_path / "run" / "ghost.json").exists()


def test_prepare_and_environment_come_before_the_process(server, tmp_path):
    code = "import os, pathlib; print(pathlib.Path(os.environ['PREPARED']).read_text())"
    service = server(
        code,
        env={"PREPARED": str(tmp_path / "prepared")},
        prepare=lambda: (tmp_path / "prepared").write_text("first"),
    )
    spawn(service)
    _wait(lambda: service.process() is None)
    assert log_tail(service.log) == "first"


def test_a_service_that_cannot_be_restarted_is_still_meant_to_run(server, port):
    """Its PID file stays, so that the next attempt to restart it finds it."""
    service = server()
    spawn(service)
    record = ProcessRecord.from_file(service.pid_file)
    os.kill(record.pid, signal.SIGKILL)
    _wait(lambda: service.process() is None and find_listener(port) is None)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ServiceError, match="in use"):
        spawn(service)
    assert ProcessRecord.from_file(service.pid_file) == record
    assert service_status(service, time.time()).state == "died"


def test_a_service_that_is_given_up_is_failed_until_it_is_started_or_stopped(server):
    service = server("raise SystemExit(1)")
    spawn(service)
    _wait(lambda: service.process() is None)
    service.failed_file.write_text("5 restarts\n")
    assert service_status(service, time.time()).state == "FAILED"
    spawn(service)
    assert not service.failed_file.exists()
    service.failed_file.write_text("5 restarts\n")
    stop(service.pid_file, timeout_s=5)
    assert service_status(service, time.time()).state == "off"
    assert not service.failed_file.exists()


def test_stopping_without_a_record_does_nothing(tmp_path):
    assert not stop(tmp_path / "none.json", timeout_s=1)
    (tmp_path / "bad.json").write_text("{")
    assert not stop(tmp_path / "bad.json", timeout_s=1)
    assert not (tmp_path / "bad.json").exists()
    clear_session(tmp_path / "bad.json")
