"""Request ids: the caller's X-Request-ID or a new id, in the response, in the records of topic
`predictions`, and in every log line of the request.
"""

import os
import re

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.web.headers import find_header
from serving.web.http_middleware import HttpMiddleware

REQUEST_ID_KEY = "tick.request_id"
REQUEST_ID_HEADER = b"x-request-id"
_PLAIN_ID = re.compile(rb"[A-Za-z0-9_.\-]{1,64}")


class AssignRequestId(HttpMiddleware):
    """Stores the id in the scope, in the response header, and in the log context."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = _request_id(scope)
        scope[REQUEST_ID_KEY] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (REQUEST_ID_HEADER, request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            return await self.app(scope, receive, send_with_id)


def _request_id(scope: Scope) -> str:
    """The caller's id if it is a plain one, else a new id: it is copied into logs and headers."""
    caller_id = find_header(scope, REQUEST_ID_HEADER)
    return caller_id.decode() if _PLAIN_ID.fullmatch(caller_id) else os.urandom(16).hex()
