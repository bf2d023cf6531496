"""An answer is wrong when it is undocumented, or hides that its features are old."""

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat

import orjson
import pytest

from bench.load.http_load import request
from tests.chaos.predict_client import CUT, REFUSED, Answer, Client, check, read, summarise

WAITS = {"retry-after": "5"}


def body(**result):
    return orjson.dumps({"results": [{"status": "ok", "age_s": 1.0, "stale": False} | result]})


@pytest.mark.parametrize(
    ("status", "headers", "content", "problem"),
    [
        (200, {}, body(), ""),
        (200, {}, body(age_s=61.0, stale=True), ""),
        (200, {}, body(age_s=61.0), "unmarked stale features"),
        (503, WAITS, b"", ""),
        (503, {}, b"", "no Retry-After"),
        (500, WAITS, b"", "status 500"),
        (404, {}, b"", "status 404"),
    ],
)
def test_what_is_wrong_with_an_answer(status, headers, content, problem):
    assert check(status, headers, content, fresh_s=60) == problem


def test_answers_are_read_back_without_a_line_that_is_being_written(tmp_path):
    answers = [Answer(1.0, 2.5, 200), Answer(2.0, 0.0, CUT, "no answer, at all")]
    file = tmp_path / "answers"
    file.write_text("".join(one.line() for one in answers) + "3.0,1")
    assert read(file) == answers
    assert read(tmp_path / "none") == []


def test_a_summary_has_the_answers_of_its_intervals():
    answers = [Answer(n, float(n), 200) for n in range(1, 101)]
    answers += [Answer(50, 300.0, 503, "no Retry-After"), Answer(51, 10.0, 503)]
    found = summarise([*answers, Answer(500, 9999.0, 200)], [(1, 60), (40, 100)])
    assert found.statuses == {200: 100, 503: 2} and found.problems == {"no Retry-After": 1}
    assert (found.p50_ms, found.p99_ms, found.slow_refusals) == (51.0, 100.0, 1)
    assert summarise([], [(0, 1)]).p99_ms is None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    replies = iter(())

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        status = next(self.replies, 0)
        if status == 0:  # end the connection without an answer
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Retry-After", "1")
        content = body() if status == 200 else b""
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def port():
    Handler.replies = iter((200, 503, 0, 200))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


async def send(port, file, count):
    message = request(f"http://127.0.0.1:{port}/predict", b"{}", {})
    with file.open("a", buffering=1) as out:
        task = asyncio.create_task(Client("127.0.0.1", port, 60, out).run(repeat(message), 0))
        while len(read(file)) < count:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_client_records_each_answer_and_connects_again_after_a_cut(port, tmp_path):
    asyncio.run(send(port, tmp_path / "answers", 4))
    assert [one.status for one in read(tmp_path / "answers")][:4] == [200, 503, CUT, 200]


def test_a_client_without_a_server_goes_on_trying(tmp_path):
    asyncio.run(send(1, tmp_path / "answers", 2))
    assert {one.status for one in read(tmp_path / "answers")} == {REFUSED}
