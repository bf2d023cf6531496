"""A Slack webhook and a mail server on loopback that keep what they receive."""

import email
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

WEBHOOK_PATH = "/services/T0/B0/hook"


class Webhook(HTTPServer):
    """Incoming webhook: `posts` are the decoded bodies. Answers `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.posts: list[dict[str, Any]] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{WEBHOOK_PATH}"


class _Post(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        expected = self.path == WEBHOOK_PATH and self.headers["Content-Type"] == "application/json"
        if expected:
            self.server.posts.append(json.loads(body))
        self.send_response(self.server.status if expected else 404)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: Any) -> None:
        pass


class MailServer(socketserver.ThreadingTCPServer):
    """SMTP without TLS and login: `messages` are the parsed mails, `recipients` the envelope's."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.messages: list[EmailMessage] = []
        self.recipients: list[str] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Session(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self._reply("220 loopback")
        while line := self.rfile.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            if verb.upper() == "DATA":
                self._reply("354 end with a dot")
                self._receive()
            elif verb.upper() == "QUIT":
                return self._reply("221 bye")
            elif rest.upper().startswith("TO:"):
                self.server.recipients.append(rest[3:].strip("<> "))
            self._reply("250 ok")
        return None

    def _receive(self) -> None:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        message = email.message_from_bytes(b"".join(lines), policy=default)
        assert isinstance(message, EmailMessage)
        self.server.messages.append(message)

    def _reply(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@contextmanager
def served(server: Any) -> Iterator[Any]:
    """Run the server in a thread until the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


def connections(webhook: Webhook, mail: MailServer) -> dict[str, dict[str, Any]]:
    """The two connections that alerts use, by id, with Airflow's field names."""
    extra = {
        "to": "team@example.org",
        "from_email": "tick@example.org",
        "disable_ssl": True,
        "disable_tls": True,
    }
    return {
        "tick_alerts_slack": {"conn_type": "http", "password": webhook.url},
        "tick_alerts_email": {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": mail.port,
            "extra": json.dumps(extra),
        },
    }
