"""Ports: who listens, and what a person is told when a port is in use."""

import os
import socket

import psutil
import pytest

from contracts.errors import ServiceError
from stack.process import ports


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_the_holder_of_a_port_is_named_with_pid_and_program(listener):
    assert ports.find_listener(listener) == f"PID {os.getpid()} ({psutil.Process().name()})"


def test_a_free_port_has_no_holder():
    assert ports.find_listener(free_port()) is None


def test_a_connection_to_a_port_is_not_a_listener(listener):
    with socket.create_connection(("127.0.0.1", listener)) as client:
        assert ports.find_listener(client.getsockname()[1]) is None


def test_a_holder_that_ended_meanwhile_is_named_by_its_pid():
    pid_max = 2**22  # the largest PID on Linux
    assert ports._describe_process(pid_max + 1) == f"PID {pid_max + 1}"
    assert ports._describe_process(None) == ports.UNNAMED_HOLDER


def test_a_port_that_stays_taken_by_an_unknown_process_is_an_error(monkeypatch):
    monkeypatch.setattr(ports, "find_listener", lambda _port: ports.UNNAMED_HOLDER)
    monkeypatch.setattr(ports, "DYING_PROCESS_S", 0.0)
    with pytest.raises(ServiceError) as caught:
        ports.require_free("redis", 6379, "TICK_REDIS_PORT")
    assert caught.value.message == "port 6379 (redis) is in use by a process of another user"
    assert caught.value.hint == "stop that process, or set TICK_REDIS_PORT to a free port"


def test_the_ports_of_a_process_are_those_on_which_it_listens(listener):
    with socket.create_connection(("127.0.0.1", listener)) as client:
        own = ports.listening_ports(psutil.Process())
        assert listener in own
        assert client.getsockname()[1] not in own


def test_a_process_that_ended_listens_nowhere():
    child = psutil.Popen(["true"])
    child.wait()
    assert ports.listening_ports(child) == set()


def test_connections_are_accepted_only_while_someone_listens(listener):
    assert ports.accepts_connections("127.0.0.1", listener)
    assert not ports.accepts_connections("127.0.0.1", free_port())
    assert not ports.accepts_connections("name.invalid", listener)
