"""The gate before every route: API key, body cap, concurrency limit and response headers, as plain
ASGI middleware.

They run before routing and parsing, so that a stranger or a flood costs nothing but this file.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import ipaddress
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.config.settings import Settings
from contracts.errors import ServiceError
from serving.web.problems import ProblemError

LIVENESS = "/healthz"
OPERATION = frozenset({LIVENESS, "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})
STREAM = "/v1/predictions/stream"
KEY_HEADER = b"x-api-key"
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
NOTHING = b"default-src 'none'; frame-ancestors 'none'"
BATCHES = ("/predict/batch", "/infer")
CALLER = "tick.caller"
KEYS_LOOK_S = 5.0


class ApiKeys:
    """Accepted keys, held only as SHA-256; comparing takes the same time for every key and every
    guess.

    The file of keys is looked at again every few seconds: a key that is added or taken out counts
    without a restart. A line may be `sha256:` and the hex digest of a key instead of the key.
    """

    def __init__(self, keys: Iterable[str], file: Path | None = None) -> None:
        self._fixed = tuple(_digest(key) for key in keys)
        self._file, self._stamp, self._look_s = file, 0, 0.0
        self._digests = self._fixed
        self._reload()

    def __len__(self) -> int:
        return len(self._digests)

    def accept(self, presented: bytes) -> int | None:
        """Which of the keys `presented` is, or None."""
        if self._file is not None and time.monotonic() >= self._look_s:
            with contextlib.suppress(
                ServiceError
            ):  # a file that is away for a moment locks no one out
                self._reload()
        digest = hashlib.sha256(presented).digest()
        found = [hmac.compare_digest(digest, known) for known in self._digests]
        return found.index(True) if any(found) else None

    def _reload(self) -> None:
        self._look_s = time.monotonic() + KEYS_LOOK_S
        if self._file is None:
            return
        try:
            stamp = self._file.stat().st_mtime_ns
            if stamp != self._stamp:
                lines = [line.strip() for line in self._file.read_text().splitlines()]
                self._digests = self._fixed + tuple(
                    _digest(line) for line in lines if line and not line.startswith("#")
                )
        except (OSError, ValueError) as error:
            raise ServiceError(
                f"the API keys in {self._file} cannot be read: {error}", "check TICK_API_KEYS_FILE"
            ) from error
        self._stamp = stamp


def _digest(key: str) -> bytes:
    kind, _, text = key.partition(":")
    if kind == "sha256" and len(text) == 64:
        return bytes.fromhex(text)
    return hashlib.sha256(key.encode()).digest()


def api_keys(settings: Settings) -> ApiKeys:
    """The keys of `settings`. Raises ServiceError without any, unless `api_open` allows that and
    the address is loopback.
    """
    named = [settings.api_key.get_secret_value()] if settings.api_key else []
    keys = ApiKeys((key for key in named if key), settings.api_keys_file)
    if settings.api_open and not _loopback(settings.host):
        raise ServiceError(
            f"TICK_API_OPEN on {settings.host} would answer strangers",
            "it is for development on loopback only",
        )
    if len(keys) or settings.api_open:
        return keys
    raise ServiceError(
        "the API has no key",
        "set TICK_API_KEY; on loopback TICK_API_OPEN=true serves without one, for development only",
    )


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class RequireKey:
    """401 for every path but the liveness check without an accepted key; `public` paths need none
    (dev setting).

    A key comes as X-API-Key, as a bearer token, or, from a browser that asked its user, as the
    password of Basic.
    """

    def __init__(
        self, app: ASGIApp, keys: ApiKeys, public: frozenset[str], open_to_all: bool = False
    ) -> None:
        self.app, self.keys, self.public, self.open_to_all = (
            app,
            keys,
            public | {LIVENESS},
            open_to_all,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.open_to_all or scope["path"] in self.public:
            return await self.app(scope, receive, send)
        presented = _presented(scope)
        which = None if presented is None else self.keys.accept(presented)
        if which is None:
            return await self._refusal(scope).response()(scope, receive, send)
        scope[CALLER] = which
        return await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> ProblemError:
        person = any(
            name == b"accept" and b"text/html" in value for name, value in scope["headers"]
        )
        how = 'Basic realm="lakehouse-tick", charset="UTF-8"' if person else "X-API-Key"
        return ProblemError(
            401,
            "unauthorized",
            "A valid X-API-Key header is needed.",
            headers={"WWW-Authenticate": how},
        )


def _presented(scope: Scope) -> bytes | None:
    """The key that a request brings; None when it brings none, or several."""
    found = [value for name, value in scope["headers"] if name == KEY_HEADER]
    found += [_authorized(value) for name, value in scope["headers"] if name == b"authorization"]
    return found[0] if len(found) == 1 else None


def _authorized(value: bytes) -> bytes:
    kind, _, rest = value.partition(b" ")
    if kind.lower() == b"bearer":
        return rest.strip()
    if kind.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(rest, validate=True).partition(b":")[2]
    except ValueError:
        return b""


class LimitRate:
    """429 beyond `requests_per_s_max` requests a second of one key (0: no limit): a bucket per key
    that holds one second's worth.
    """

    def __init__(self, app: ASGIApp, requests_per_s_max: float) -> None:
        self.app, self.requests_per_s_max = app, requests_per_s_max
        self._buckets: dict[int, tuple[float, float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            self.requests_per_s_max <= 0
            or CALLER not in scope
            or self._take(scope[CALLER], time.monotonic())
        ):
            return await self.app(scope, receive, send)
        detail = f"More than {self.requests_per_s_max:g} requests a second came with this key."
        refusal = ProblemError(
            429, "rate_limited", detail, "Ask for several symbols at once.", {"Retry-After": "1"}
        )
        return await refusal.response()(scope, receive, send)

    def _take(self, caller: int, now_s: float) -> bool:
        size = max(1.0, self.requests_per_s_max)
        level, seen_s = self._buckets.get(caller, (size, now_s))
        level = min(size, level + (now_s - seen_s) * self.requests_per_s_max)
        self._buckets[caller] = (level - 1 if level >= 1 else level, now_s)
        return level >= 1


class CapBody:
    """413 before any parsing for a body over `bytes_max`, declared or chunked; 408 when it does not
    arrive in `timeout_s`.

    Paths that take many rows at once have a separate limit, `batch_bytes_max`.
    """

    def __init__(
        self, app: ASGIApp, bytes_max: int, batch_bytes_max: int, timeout_s: float
    ) -> None:
        self.app, self.bytes_max, self.batch_bytes_max, self.timeout_s = (
            app,
            bytes_max,
            batch_bytes_max,
            timeout_s,
        )

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
        declared = next(
            (value for name, value in scope["headers"] if name == b"content-length"), b"0"
        )
        bytes_max = self.batch_bytes_max if scope["path"].endswith(BATCHES) else self.bytes_max
        if not declared.isdigit() or int(declared[:20]) > bytes_max:
            raise _too_large(bytes_max)
        try:
            async with asyncio.timeout(self.timeout_s):
                return await _read(receive, bytes_max)
        except TimeoutError:
            raise ProblemError(
                408,
                "body_timeout",
                "The request body did not arrive in time.",
                headers={"Connection": "close"},
            ) from None


async def _read(receive: Receive, bytes_max: int) -> Message:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return message
        body += message.get("body", b"")
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
        more = message.get("more_body", False)
    return {"type": "http.request", "body": bytes(body), "more_body": False}


def _too_large(bytes_max: int) -> ProblemError:
    detail = f"The request body is longer than {bytes_max} bytes."
    return ProblemError(
        413, "body_too_large", detail, "Ask for less at once.", {"Connection": "close"}
    )


def _replay(first: Message, receive: Receive) -> Receive:
    pending = [first]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed


class Slots:
    """A number of places in one process, and the refusal of whoever finds them all taken."""

    def __init__(self, count: int, refusal: ProblemError) -> None:
        self.count, self.refusal, self.taken = count, refusal, 0


class LimitConcurrency:
    """503 with Retry-After beyond `requests_max` requests or `streams_max` event streams at work.

    Streams are counted apart, because one lasts up to `stream_s_max` and would keep requests out
    for that long. Operation routes always get through: an overloaded instance must still say how it
    is.
    """

    def __init__(self, app: ASGIApp, requests_max: int, streams_max: int) -> None:
        retry = "Retry a little later."
        self.app = app
        self.requests = Slots(
            requests_max,
            ProblemError(
                503, "overloaded", "Too many requests at work.", retry, {"Retry-After": "1"}
            ),
        )
        self.streams = Slots(
            streams_max,
            ProblemError(
                503,
                "too_many_streams",
                "Too many streams are open.",
                "Close one.",
                {"Retry-After": "10"},
            ),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPERATION:
            return await self.app(scope, receive, send)
        slots = self.streams if scope["path"] == STREAM else self.requests
        if slots.taken >= slots.count:
            return await slots.refusal.response()(scope, receive, send)
        slots.taken += (
            1  # no await since the check: requests that arrive together cannot share a slot
        )
        try:
            return await self.app(scope, receive, send)
        finally:
            slots.taken -= 1


class SecurityHeaders:
    """Adds the headers that keep browsers from guessing, framing, caching, or loading anything that
    a page does not name.
    """

    def __init__(self, app: ASGIApp, policies: Mapping[str, bytes]) -> None:
        self.app, self.policies = app, policies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        policy = self.policies.get(scope.get("path", ""), NOTHING)
        added: tuple[Any, ...] = (*HEADERS, (b"content-security-policy", policy))

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *added]
            await send(message)

        await self.app(scope, receive, sending)
