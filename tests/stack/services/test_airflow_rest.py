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


RUNS = "/api/v2/dags/d/dagRuns"
BACKFILL = "/api/v2/backfills/7"


def test_the_progress_of_a_backfill_is_its_runs_that_have_ended(server, client):
    interval = {"from_date": "2026-01-01T00:00:00+00:00", "to_date": "2026-01-04T00:00:00+00:00"}
    server.script = {
        BACKFILL: [(200, interval)],
        RUNS: [(200, {"total_entries": 3}), (200, {"total_entries": 10})],
    }
    assert client.backfill_progress("d", 7) == (7, 10)


@pytest.mark.parametrize(("completed_at", "completed"), [(None, False), ("2026-01-01", True)])
def test_a_backfill_has_completed_when_airflow_says_when(server, client, completed_at, completed):
    server.script = {BACKFILL: [(200, {"completed_at": completed_at})]}
    assert client.backfill_has_completed(7) is completed


def test_a_backfill_is_created_once_and_has_its_own_id(server, client):
    server.script = {"/api/v2/backfills": [(200, {"id": 7})]}
    assert client.create_backfill("d", "2026-01-01", "2026-01-04", {}) == 7
    assert server.requests == [("POST", "/api/v2/backfills")]


def test_a_list_without_an_end_is_an_error_with_a_way_out(server, client, monkeypatch):
    monkeypatch.setattr(airflow_rest, "PAGES_MAX", 3)
    server.script = {"/api/v2/dags": [(200, {"dags": [{"dag_id": "d"}], "total_entries": 99})]}
    with pytest.raises(ServiceError, match="lists more than 3 dags") as caught:
        client.dags()
    assert "shorter range of days" in caught.value.hint


def test_a_list_that_shrinks_while_it_is_read_ends(server, client):
    pages = [(200, {"dags": rows, "total_entries": 2}) for rows in ([{"dag_id": "d"}], [])]
    server.script = {"/api/v2/dags": pages}
    assert client.dags() == [{"dag_id": "d"}]


@pytest.mark.parametrize("content", ["down for repair", {"title": "no detail"}, [1]])
def test_a_refusal_without_a_detail_shows_its_text(server, client, content):
    server.script = {RUNS + "/r": [(500, content)]}
    with pytest.raises(airflow_rest.AirflowError) as caught:
        client.get_run("d", "r")
    assert caught.value.status == 500
    assert json.dumps(content) in caught.value.message


def test_a_run_id_with_special_characters_is_one_part_of_the_path(server, client):
    server.script = {RUNS + "/manual__2026-01-01T00%3A00%3A00%2B00%3A00": [(200, RUN)]}
    assert client.get_run("d", "manual__2026-01-01T00:00:00+00:00") == RUN


def test_a_manual_run_has_no_logical_date_and_returns_its_id(server, client):
    server.script = {RUNS: [(200, {"dag_run_id": "manual__1"})]}
    assert client.trigger("d", {"days": 1}) == "manual__1"


def test_a_dag_is_unpaused_by_a_patch(server, client, monkeypatch):
    monkeypatch.setattr(Handler, "do_PATCH", Handler.do_POST, raising=False)
    server.script = {"/api/v2/dags/d": [(200, {})]}
    client.unpause("d")
    assert server.requests == [("PATCH", "/api/v2/dags/d")]
