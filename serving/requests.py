"""Every request has an id: the caller's X-Request-ID or a new one, in the answer, in its records, and in every line of the log about it."""

import os
import re
import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ID = "tick.request_id"
HEADER = b"x-request-id"
_PLAIN = re.compile(rb"[A-Za-z0-9_.\-]{1,64}")

log = structlog.get_logger("serving")


class Identify:
    """Gives a request its id and, when `log_all`, a line in the log: method, route, status and ms."""

    def __init__(self, app: ASGIApp, log_all: bool) -> None:
        self.app, self.log_all = app, log_all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        scope[ID] = request_id = _id(scope)
        status, begun = 500, time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (HEADER, request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                return await self.app(scope, receive, sending)
            finally:
                if self.log_all:
                    route = getattr(scope.get("route"), "path", "other")
                    took_ms = round((time.perf_counter() - begun) * 1e3, 2)
                    log.info("request", method=scope["method"], route=route, status=status, ms=took_ms)


def _id(scope: Scope) -> str:
    """What the caller sent, if it is a plain one: anything else would be repeated in logs and headers."""
    sent = next((value for name, value in scope["headers"] if name == HEADER), b"")
    return sent.decode() if _PLAIN.fullmatch(sent) else os.urandom(16).hex()
