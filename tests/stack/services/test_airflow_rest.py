"""Airflow's REST client on a server that answers late, expires tokens, or refuses."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from contracts.errors import ServiceError
from stack.services import airflow_rest

TIMEOUT_S = 0.3


class Handler(BaseHTTPRequestHandler):
    """Answers from `server.script`: per path, what each request in turn gets."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/auth/token":
            self.reply(201, {"access_token": "token"})
        else:
            self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = urlsplit(self.path).path
        self.server.requests.append((self.command, path))
        answers = self.server.script[path]
        step = answers.pop(0) if len(answers) > 1 else answers[0]
        if step == "late":
            time.sleep(3 * TIMEOUT_S)
            return
        self.reply(*step)

    def reply(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(airflow_rest, "TIMEOUT_S", TIMEOUT_S)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.script, server.requests = {}, []
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def client(server, make_settings):
    return airflow_rest.Client(make_settings(airflow_port=server.server_address[1]))


RUN = {"state": "running"}


def test_a_get_without_an_answer_is_repeated(server, client):
    server.script = {"/api/v2/dags/d/dagRuns/r": ["late", "late", (200, RUN)]}
    assert client.get_run("d", "r") == RUN
    assert len(server.requests) == 3


def test_a_get_that_is_never_answered_is_an_error_with_the_command(server, client):
    server.script = {"/api/v2/dags/d/dagRuns/r": ["late"]}
    with pytest.raises(ServiceError, match="does not respond") as caught:
        client.get_run("d", "r")
    assert len(server.requests) == airflow_rest.GET_TRIES
    assert "`tick airflow up`" in caught.value.hint


def test_what_changes_something_is_sent_once(server, client):
    server.script = {"/api/v2/dags/d/dagRuns": ["late"]}
    with pytest.raises(ServiceError, match="does not respond"):
        client.trigger("d", {})
    assert server.requests == [("POST", "/api/v2/dags/d/dagRuns")]


def test_a_refusal_is_not_repeated(server, client):
    server.script = {"/api/v2/dags/d/dagRuns/r": [(404, {"detail": "no such run"})]}
    with pytest.raises(airflow_rest.AirflowError, match="404: no such run"):
        client.get_run("d", "r")
    assert len(server.requests) == 1


def test_an_expired_token_is_renewed_once(server, client):
    server.script = {"/api/v2/dags/d/dagRuns/r": [(401, {"detail": "expired"}), (200, RUN)]}
    assert client.get_run("d", "r") == RUN


def test_a_list_is_read_page_by_page(server, client):
    pages = [
        (200, {"dags": [{"dag_id": name} for name in names], "total_entries": 3})
        for names in ("ab", "c")
    ]
    server.script = {"/api/v2/dags": pages}
    assert [dag["dag_id"] for dag in client.dags()] == ["a", "b", "c"]
