"""HTTP load against a real server on loopback: what is sent, what is counted, what is refused."""

import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import psutil
import pytest

from bench.cost.process import measure_cost
from bench.errors import BenchError
from bench.load import http_load
from bench.load.http_load import Load, request, send_requests
from tests.support.loopback import serving

HERE = psutil.Process()


def recording(statuses=(200,)):
    """A handler that keeps connections open and answers with these statuses in turn."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet, which no delayed acknowledgement holds back
        bodies, connections, headers_seen = [], set(), []

        def do_POST(self):
            self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.connections.add(self.client_address)
            self.headers_seen.append(self.headers)
            self.send_response(statuses[(len(self.bodies) - 1) % len(statuses)])
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    return Handler


@contextmanager
def answering(response):
    """A server that reads one request, sends these bytes and closes; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(response)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/predict"
        thread.join()


def test_a_request_is_a_complete_http_message():
    raw = request("http://host:81/v2/predict?x=1", b'{"a": 1}', {"X-API-Key": "secret"})
    head, _, body = raw.partition(b"\r\n\r\n")
    assert body == b'{"a": 1}'
    assert head.split(b"\r\n") == [
        b"POST /v2/predict HTTP/1.1",
        b"Host: host:81",
        b"Content-Type: application/json",
        b"Content-Length: 8",
        b"X-API-Key: secret",
    ]


def test_a_real_server_reads_the_body_and_the_key():
    handler = recording()
    with serving(handler) as port:
        url = f"http://127.0.0.1:{port}/predict"
        send_requests(url, [request(url, b"[1]", {"X-API-Key": "k"})], 1, 1, HERE)
    assert handler.bodies == [b"[1]"]
    assert handler.headers_seen[0]["X-API-Key"] == "k"


@pytest.mark.parametrize(("clients", "requests"), [(1, 1), (1, 7), (3, 20)])
def test_as_many_requests_as_asked_are_sent_and_counted(clients, requests):
    handler = recording()
    with serving(handler) as port:
        url = f"http://127.0.0.1:{port}/predict"
        load = send_requests(url, [request(url, b"{}", {})], clients, requests, HERE)
    assert len(handler.bodies) == len(load.ms) == requests
    assert load.statuses == {200: requests}


def test_each_client_keeps_one_connection():
    handler = recording()
    with serving(handler) as port:
        url = f"http://127.0.0.1:{port}/predict"
        send_requests(url, [request(url, b"{}", {})], 3, 30, HERE)
    assert len(handler.connections) == 3


def test_a_client_sends_the_messages_in_turn_and_starts_over():
    handler = recording()
    with serving(handler) as port:
        url = f"http://127.0.0.1:{port}/predict"
        messages = [request(url, body, {}) for body in (b"a", b"b", b"c")]
        send_requests(url, messages, 1, 7, HERE)
    assert handler.bodies == [b"a", b"b", b"c", b"a", b"b", b"c", b"a"]


def test_clients_start_with_different_messages():
    handler = recording()
    with serving(handler) as port:
        url = f"http://127.0.0.1:{port}/predict"
        messages = [request(url, body, {}) for body in (b"a", b"b", b"c")]
        send_requests(url, messages, 3, 3, HERE)
    assert sorted(handler.bodies) == [b"a", b"b", b"c"]


def test_responses_are_counted_by_status():
    with serving(recording((200, 503, 503))) as port:
        url = f"http://127.0.0.1:{port}/predict"
        load = send_requests(url, [request(url, b"{}", {})], 1, 9, HERE)
    assert load.statuses == {200: 3, 503: 6}


def test_until_ends_a_load_before_its_number_is_reached():
    handler = recording()
    with serving(handler) as port:
        url = f"http://127.0.0.1:{port}/predict"
        load = send_requests(
            url, [request(url, b"{}", {})], 1, 10**9, HERE, lambda: len(handler.bodies) >= 5
        )
    assert len(load.ms) == 5


def test_latencies_fit_into_the_wall_time_of_the_load():
    with serving(recording()) as port:
        url = f"http://127.0.0.1:{port}/predict"
        load = send_requests(url, [request(url, b"{}", {})], 1, 5, HERE)
    assert all(each > 0 for each in load.ms)
    assert sum(load.ms) / 1e3 <= load.wall_s


def test_requests_per_core_are_those_per_second_of_the_server_cpu():
    assert Load(ms=[1.0] * 300, cpu_s=1.5, wall_s=60.0).per_core == 200


def test_a_closed_connection_is_an_error_of_the_bench():
    with (
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf") as url,
        pytest.raises(BenchError, match="closed a connection"),
    ):
        send_requests(url, [request(url, b"{}", {})], 1, 1, HERE)


def test_a_server_that_is_not_there_is_an_error_of_the_bench():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/predict"
    with pytest.raises(BenchError, match="closed a connection: .*refused|Connect call failed"):
        send_requests(url, [request(url, b"{}", {})], 1, 1, HERE)


def test_a_chunked_response_cannot_be_measured():
    with (
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") as url,
        pytest.raises(BenchError, match="no Content-Length"),
    ):
        send_requests(url, [request(url, b"{}", {})], 1, 1, HERE)


def test_a_server_that_never_answers_is_named_with_the_limit(monkeypatch):
    monkeypatch.setattr(http_load, "RESPONSE_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/predict"
        with pytest.raises(BenchError, match="did not respond within 0.05 s"):
            send_requests(url, [request(url, b"{}", {})], 1, 1, HERE)


def test_a_server_that_has_died_is_an_error_of_the_bench():
    child = subprocess.Popen([sys.executable, "-c", ""])
    server = psutil.Process(child.pid)
    child.wait()
    with pytest.raises(BenchError, match=f"process {child.pid} died"):
        send_requests("http://127.0.0.1:1/predict", [b""], 1, 1, server)


def test_the_cpu_of_the_server_counts_and_not_that_of_the_clients():
    idle = "print(flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", idle], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    child.stdout.readline()
    try:
        with serving(recording()) as port, measure_cost() as own:
            url = f"http://127.0.0.1:{port}/predict"
            load = send_requests(url, [request(url, b"{}", {})], 2, 100, psutil.Process(child.pid))
    finally:
        child.communicate(b"\n")
    assert load.cpu_s < own.cpu_s / 2
