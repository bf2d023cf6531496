"""HTTP probes: only a healthy answer counts, and none of the others raises."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from stack.process.probe import fetch_json, returns_ok
from tests.support.loopback import serving

ANSWERS = {
    "/ok": (200, b'{"state": "up"}'),
    "/text": (200, b"up"),
    "/bytes": (200, b"\xff\xfe"),
    "/created": (201, b"{}"),
    "/missing": (404, b'{"state": "up"}'),
    "/broken": (500, b"{}"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/silent":
                ended.wait(30)
                return
            if self.path == "/hangup":
                return
            status, body = ANSWERS[self.path]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Do not log."""

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}"
        ended.set()


def test_a_json_object_is_returned(server):
    assert fetch_json(f"{server}/ok", 5) == {"state": "up"}


@pytest.mark.parametrize("path", ["/text", "/bytes", "/missing", "/broken", "/hangup"])
def test_what_is_not_a_good_json_answer_is_none(server, path):
    assert fetch_json(f"{server}{path}", 5) is None


@pytest.mark.parametrize("probe", [fetch_json, returns_ok])
def test_a_silent_server_is_given_up(server, probe):
    assert not probe(f"{server}/silent", 0.05)


@pytest.mark.parametrize("probe", [fetch_json, returns_ok])
@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://name.invalid/", "no url"])
def test_an_address_without_a_server_is_not_an_error(probe, url):
    assert not probe(url, 5)


@pytest.mark.parametrize(
    ("path", "ok"),
    [("/ok", True), ("/text", True), ("/created", False), ("/missing", False), ("/broken", False)],
)
def test_only_status_200_is_ok(server, path, ok):
    assert returns_ok(f"{server}{path}", 5) is ok
