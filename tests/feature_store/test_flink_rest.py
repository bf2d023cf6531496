"""Waiting for a streaming job, against a server that answers as Flink's REST interface does."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from contracts.errors import JobError
from contracts.settings import Settings
from feature_store import flink_rest


@pytest.fixture
def flink() -> Iterator[tuple[Settings, list[dict]]]:
    """Settings of a server on loopback that answers with the jobs of the list, the last one for ever."""
    answers: list[dict] = []

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made = {} if "exceptions" in self.path else answers[0] if len(answers) == 1 else answers.pop(0)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(made).encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Settings(flink_port=server.server_port), answers
    server.shutdown()
    thread.join()
    server.server_close()


def job(state: str, *tasks: str) -> dict:
    return {"state": state, "vertices": [{"status": status} for status in tasks]}


def test_a_bounded_reader_that_has_ended_does_not_keep_a_job_from_running(flink):
    settings, answers = flink
    answers += [job("CREATED"), job("RUNNING", "DEPLOYING", "FINISHED"), job("RUNNING", "RUNNING", "FINISHED")]
    flink_rest.wait_running(settings, "j", 10)
    assert len(answers) == 1


@pytest.mark.parametrize("ended", ["FAILED", "CANCELED"])
def test_a_job_that_ended_is_said_at_once(flink, ended):
    settings, answers = flink
    answers.append(job(ended, "RUNNING"))
    with pytest.raises(JobError, match=f"is {ended}, not running"):
        flink_rest.wait_running(settings, "j", 60)


def test_one_that_never_runs_is_given_up(flink):
    settings, answers = flink
    answers.append(job("RESTARTING", "CREATED"))
    with pytest.raises(JobError, match="RESTARTING"):
        flink_rest.wait_running(settings, "j", 0.2)
