"""A loopback server that plays Flink's REST API from a script, with errors and lost connections."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.loopback import serving

LOST = 0  # instead of a status: the connection ends without an answer
TRUNCATED = -1  # the body is shorter than announced


@dataclass
class Script:
    """Responses to `/jobs/ID` in order, the last one repeated, and one for every other request."""

    job: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    overview: tuple[int, dict[str, Any]] = (200, {"jobs": []})
    exceptions: tuple[int, dict[str, Any]] = (200, {})
    cancel: tuple[int, dict[str, Any]] = (202, {})
    savepoint: tuple[int, dict[str, Any]] = (200, {})
    cancelled: int = 0
    port: int = 0

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        if path.endswith("/exceptions"):
            return self.exceptions
        if path == "/jobs/overview":
            return self.overview
        if "/savepoints/" in path:
            return self.savepoint
        return self.job[0] if len(self.job) == 1 else self.job.pop(0)


@contextmanager
def scripted_flink() -> Iterator[Script]:
    """Serve the script on a free port until the end of the block."""
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(*script.get(self.path))

        def do_POST(self) -> None:
            self._answer(202, {"request-id": "r"})

        def do_PATCH(self) -> None:
            script.cancelled += 1
            self._answer(*script.cancel)

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            if status == LOST:
                return
            content = json.dumps(body).encode()
            self.send_response(200 if status == TRUNCATED else status)
            self.send_header("Content-Length", str(len(content) + 10 * (status == TRUNCATED)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Do not log."""

    with serving(Handler) as script.port:
        yield script
