"""An api-server of Airflow that answers from a script."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.loopback import serving


class AirflowServer:
    """Responses by path below /api/v2; a list is a response per request, the last one repeats."""

    def __init__(self) -> None:
        self.port = 0
        self.responses: dict[str, Any] = {}
        self.requests: list[tuple[str, str, Any]] = []

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/auth/token":
            return 201, {"access_token": "token"}
        parts = urlsplit(path.removeprefix("/api/v2"))
        self.requests.append((method, parts.path, body or parse_qs(parts.query)))
        responses = self.responses.get(f"{method} {parts.path}", [(404, {"detail": "not found"})])
        return responses.pop(0) if len(responses) > 1 else responses[0]

    def add(self, request: str, *responses: Any) -> None:
        """Respond with these; a number is a status without content."""
        self.responses[request] = [
            (each, {"detail": "scripted"}) if isinstance(each, int) else (200, each)
            for each in responses
        ]

    def add_list(self, request: str, name: str, *lists: list[dict]) -> None:
        """Respond with these lists, each as one page."""
        self.add(request, *({name: rows, "total_entries": len(rows)} for rows in lists))

    def bodies(self, request: str) -> list[Any]:
        """What was sent with these requests."""
        return [body for method, path, body in self.requests if f"{method} {path}" == request]


@pytest.fixture
def airflow() -> Iterator[AirflowServer]:
    server = AirflowServer()

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, content = server.answer(self.command, self.path, body)
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = respond

        def log_message(self, *_: object) -> None:
            """Do not log."""

    with serving(Handler) as server.port:
        yield server


@pytest.fixture
def command(tick, airflow, make_settings, monkeypatch):
    """Runs `tick airflow …` against that server; returns exit code and all output."""
    monkeypatch.setenv("COLUMNS", "160")
    settings = make_settings(airflow_port=airflow.port)

    def run(*arguments: str) -> tuple[int, str]:
        result = tick(settings, "airflow", *arguments)
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result.exit_code, result.output

    return run
