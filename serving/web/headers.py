"""Headers: those of a request by name, and the security headers on every response."""

from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

FIXED_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
DENY_ALL_POLICY = b"default-src 'none'; frame-ancestors 'none'"


def find_header(scope: Scope, name: bytes, default: bytes = b"") -> bytes:
    """The first value of a request header; `name` in lower case."""
    values = (value for header, value in scope["headers"] if header == name)
    return next(values, default)


class SecurityHeaders:
    """Adds headers that forbid content sniffing, framing and caching, and the path's content
    security policy (`policies` by path; every other path may load nothing).
    """

    def __init__(self, app: ASGIApp, policies: Mapping[str, bytes]) -> None:
        self.app = app
        self.policies = policies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        policy = self.policies.get(scope.get("path", ""), DENY_ALL_POLICY)
        headers: tuple[Any, ...] = (*FIXED_HEADERS, (b"content-security-policy", policy))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await self.app(scope, receive, send_with_headers)
