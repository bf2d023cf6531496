"""The gate before every route: API key, body cap, concurrency limit and response headers, as plain ASGI middleware.

They run before routing and parsing, so that a stranger or a flood costs nothing but this file.
"""

import asyncio
import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.errors import ServiceError
from contracts.settings import Settings
from serving.problems import ProblemError

LIVENESS = "/healthz"
KEY_HEADER = b"x-api-key"
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
# The docs page loads Swagger UI from its CDN; everything else loads nothing.
CSP = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
DOCS = "/docs"


class ApiKeys:
    """Accepted keys, held only as SHA-256; comparing takes the same time for every key and every guess."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(hashlib.sha256(key.encode()).digest() for key in keys)

    def __len__(self) -> int:
        return len(self._digests)

    def accept(self, presented: bytes) -> bool:
        """Whether `presented` is one of the keys."""
        digest = hashlib.sha256(presented).digest()
        return sum([hmac.compare_digest(digest, known) for known in self._digests]) > 0


def api_keys(settings: Settings) -> ApiKeys:
    """The keys of `settings`. Raises ServiceError without any, unless `api_open` allows that and the address is loopback."""
    named = [settings.api_key.get_secret_value()] if settings.api_key else []
    keys = ApiKeys(key for key in named + _keys_of(settings.api_keys_file) if key)
    if settings.api_open and not _loopback(settings.host):
        raise ServiceError(f"TICK_API_OPEN on {settings.host} would answer strangers", "it is for development on loopback only")
    if len(keys) or settings.api_open:
        return keys
    raise ServiceError("the API has no key", "set TICK_API_KEY; on loopback TICK_API_OPEN=true serves without one, for development only")


def _keys_of(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        return [line.strip() for line in file.read_text().splitlines()]
    except OSError as error:
        raise ServiceError(f"the API keys in {file} cannot be read: {error.strerror}", "check TICK_API_KEYS_FILE") from error


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class RequireKey:
    """401 for every path but the liveness check without an accepted X-API-Key; `public` paths need none (dev setting)."""

    def __init__(self, app: ASGIApp, keys: ApiKeys, public: frozenset[str]) -> None:
        self.app, self.keys, self.public = app, keys, public | {LIVENESS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not len(self.keys) or scope["path"] in self.public or self._accepted(scope):
            return await self.app(scope, receive, send)
        refusal = ProblemError(401, "unauthorized", "A valid X-API-Key header is needed.", headers={"WWW-Authenticate": "X-API-Key"})
        return await refusal.response()(scope, receive, send)

    def _accepted(self, scope: Scope) -> bool:
        sent = [value for name, value in scope["headers"] if name == KEY_HEADER]
        return len(sent) == 1 and self.keys.accept(sent[0])


class CapBody:
    """413 before any parsing for a body over `bytes_max`, declared or chunked; 408 when it does not arrive in `timeout_s`."""

    def __init__(self, app: ASGIApp, bytes_max: int, timeout_s: float) -> None:
        self.app, self.bytes_max, self.timeout_s = app, bytes_max, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        try:
            first = await self._whole(scope, receive)
        except ProblemError as refusal:
            return await refusal.response()(scope, receive, send)
        return await self.app(scope, _replay(first, receive), send)

    async def _whole(self, scope: Scope, receive: Receive) -> Message:
        """The body as one message, however it was cut."""
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not declared.isdigit() or int(declared[:20]) > self.bytes_max:
            raise self._too_large()
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._read(receive)
        except TimeoutError:
            raise ProblemError(408, "body_timeout", "The request body did not arrive in time.", headers={"Connection": "close"}) from None

    async def _read(self, receive: Receive) -> Message:
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return message
            body += message.get("body", b"")
            if len(body) > self.bytes_max:
                raise self._too_large()
            more = message.get("more_body", False)
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    def _too_large(self) -> ProblemError:
        detail = f"The request body is longer than {self.bytes_max} bytes."
        return ProblemError(413, "body_too_large", detail, "Ask for fewer symbols at once.", {"Connection": "close"})


def _replay(first: Message, receive: Receive) -> Receive:
    pending = [first]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed


class LimitConcurrency:
    """503 with Retry-After beyond `requests_max` requests at work, so that overload sheds instead of queueing."""

    def __init__(self, app: ASGIApp, requests_max: int) -> None:
        self.app, self.requests_max, self.at_work = app, requests_max, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == LIVENESS:
            return await self.app(scope, receive, send)
        if self.at_work >= self.requests_max:
            refusal = ProblemError(503, "overloaded", "Too many requests at work.", "Retry a little later.", {"Retry-After": "1"})
            return await refusal.response()(scope, receive, send)
        self.at_work += 1
        try:
            return await self.app(scope, receive, send)
        finally:
            self.at_work -= 1


class SecurityHeaders:
    """Adds the headers that keep browsers from guessing, framing, caching or loading anything."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        added: tuple[Any, ...] = HEADERS if scope.get("path") == DOCS else (*HEADERS, CSP)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *added]
            await send(message)

        await self.app(scope, receive, sending)
