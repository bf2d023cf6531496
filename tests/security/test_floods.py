"""Floods of bodies over the cap (S2): the memory of the API process stays flat."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from contracts.config.settings import Settings
from tests.conftest import free_ports
from tests.serving.conftest import KEY, UNREACHED
from tests.serving.test_api_process import Process

MB = 1 << 20
CONNECTIONS = 16  # at the same time
REQUESTS = 320
SENT_MAX = 4 * MB  # of one body, if the API reads that much
PIECE = b"%x\r\n%s\r\n" % (0x8000, b" " * 0x8000)
# What the process may grow by for other reasons: buffers of connections, fragments of the heap.
ALLOWANCE = 12 * MB


@pytest.fixture(scope="module")
def api(tmp_path_factory) -> Iterator[Process]:
    """An API without a model, Redis and Kafka: a body over the cap never reaches them."""
    unreached = dict.fromkeys(("redis_port", "kafka_port", "flink_port"), UNREACHED)
    home = tmp_path_factory.mktemp("flooded")
    settings = Settings(home=home, api_key=KEY, api_port=free_ports()["api_port"], **unreached)
    process = Process(settings)
    yield process
    process.stop()


def memory(process: Process, name: str) -> int:
    """A figure of /proc/PID/status in bytes: VmRSS is the memory in use, VmHWM its peak."""
    lines = Path(f"/proc/{process.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def growth(process: Process, work) -> int:
    """How far the memory rises above its present level during `work()`, in bytes."""
    Path(f"/proc/{process.process.pid}/clear_refs").write_text("5")  # the peak starts from now
    before = memory(process, "VmRSS")
    work()
    return memory(process, "VmHWM") - before


def connect(settings: Settings, path: str, length: str, key: str = KEY) -> socket.socket:
    connection = socket.create_connection((settings.host, settings.api_port), timeout=30)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n{length}\r\n\r\n"
    connection.sendall(head.encode())
    return connection


def send_body(settings: Settings, length: str, key: str, _number: int) -> bytes:
    """Send a body until the API answers or hangs up; returns the status code."""
    with connect(settings, "/predict", length, key) as connection:
        with suppress(ConnectionError, TimeoutError):
            for _ in range(SENT_MAX // len(PIECE)):
                connection.sendall(PIECE)
        with suppress(ConnectionError):
            return connection.recv(65_536).split(b" ")[1]
        return b"reset"


def flood(settings: Settings, length: str, key: str, requests: int = REQUESTS) -> set[bytes]:
    send = partial(send_body, settings, length, key)
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        return set(threads.map(send, range(requests)))


@pytest.mark.parametrize("key", [KEY, "wrong"])
@pytest.mark.parametrize("length", [f"Content-Length: {SENT_MAX}", "Transfer-Encoding: chunked"])
def test_memory_is_flat_under_bodies_over_the_cap(api, length, key):
    flood(api.settings, length, key, CONNECTIONS)  # the first requests load code and fill pools
    statuses: set[bytes] = set()
    grown = growth(api, lambda: statuses.update(flood(api.settings, length, key)))
    assert grown <= CONNECTIONS * api.settings.body_bytes_max + ALLOWANCE
    # A reset: the API has closed the connection while the body was still being sent.
    assert statuses <= {b"413" if key == KEY else b"401", b"reset"}
    assert api.http.get("/healthz").status_code == 200


def test_the_measure_sees_bodies_that_are_kept(api):
    """Bodies within the larger cap of batches are kept until they are complete."""

    def keep() -> None:
        with ExitStack() as stack:
            for _ in range(CONNECTIONS):
                length = f"Content-Length: {SENT_MAX}"
                connection = connect(api.settings, "/predict/batch", length)
                stack.enter_context(connection).sendall(b" " * (SENT_MAX - 1))
            assert api.http.get("/healthz").status_code == 200

    assert growth(api, keep) > CONNECTIONS * api.settings.body_bytes_max + ALLOWANCE
