"""Every request has an id: the caller's X-Request-ID or a new one, in the answer, in its records,
and in every line of the log about it.
"""

import os
import re

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ID = "tick.request_id"
HEADER = b"x-request-id"
_PLAIN = re.compile(rb"[A-Za-z0-9_.\-]{1,64}")


class Identify:
    """Gives a request its id, its answer the header, and every line logged meanwhile the field
    `request_id`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        scope[ID] = request_id = _id(scope)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (HEADER, request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            return await self.app(scope, receive, sending)


def _id(scope: Scope) -> str:
    """What the caller sent, if it is a plain one: anything else would be repeated in logs and
    headers.
    """
    sent = next((value for name, value in scope["headers"] if name == HEADER), b"")
    return sent.decode() if _PLAIN.fullmatch(sent) else os.urandom(16).hex()
