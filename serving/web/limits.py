"""Limits per request, as ASGI middleware: rate per key, body size, concurrent requests.

They run before routing and parsing, so that a flood of requests costs as little as possible.
"""

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.web.auth import CALLER, LIVENESS
from serving.web.headers import find_header
from serving.web.http_middleware import HttpMiddleware
from serving.web.problems import ProblemError

OPERATION = frozenset({LIVENESS, "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})
STREAM = "/v1/predictions/stream"
BATCH_SUFFIXES = ("/predict/batch", "/infer")


class LimitRate:
    """Answers 429 beyond `requests_per_s_max` requests per second and key; 0 = no limit.

    One token bucket per key; it holds the tokens of one second. Operation routes have no limit and
    take no token: a caller at its limit would otherwise hide the state of the process.
    """

    def __init__(self, app: ASGIApp, requests_per_s_max: float) -> None:
        self.app = app
        self.requests_per_s_max = requests_per_s_max
        self._buckets: dict[int, tuple[float, float]] = {}  # caller → (tokens, time of refill)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            self.requests_per_s_max <= 0
            or CALLER not in scope
            or scope["path"] in OPERATION
            or self._take_token(scope[CALLER], time.monotonic())
        ):
            return await self.app(scope, receive, send)
        problem = ProblemError(
            429,
            "rate_limited",
            f"More than {self.requests_per_s_max:g} requests per second with this key.",
            "Request several symbols at once.",
            {"Retry-After": "1"},
        )
        return await problem.response()(scope, receive, send)

    def _take_token(self, caller: int, now_s: float) -> bool:
        capacity = max(1.0, self.requests_per_s_max)
        tokens, refilled_s = self._buckets.get(caller, (capacity, now_s))
        tokens = min(capacity, tokens + (now_s - refilled_s) * self.requests_per_s_max)
        self._buckets[caller] = (tokens - 1 if tokens >= 1 else tokens, now_s)
        return tokens >= 1


class LimitBody(HttpMiddleware):
    """Answers 413 to a body over `bytes_max`, with or without Content-Length, and 408 to a body
    that takes longer than `timeout_s` to arrive.

    Routes that take many rows per request have their own limit, `batch_bytes_max`.
    """

    def __init__(
        self, app: ASGIApp, bytes_max: int, batch_bytes_max: int, timeout_s: float
    ) -> None:
        super().__init__(app)
        self.bytes_max = bytes_max
        self.batch_bytes_max = batch_bytes_max
        self.timeout_s = timeout_s

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            message = await self._receive_body(scope, receive)
        except ProblemError as problem:
            return await problem.response()(scope, receive, send)
        return await self.app(scope, _replay(message, receive), send)

    async def _receive_body(self, scope: Scope, receive: Receive) -> Message:
        """The whole body as one ASGI message."""
        content_length = find_header(scope, b"content-length", b"0")
        is_batch = scope["path"].endswith(BATCH_SUFFIXES)
        bytes_max = self.batch_bytes_max if is_batch else self.bytes_max
        if not content_length.isdigit() or int(content_length[:20]) > bytes_max:
            raise _body_too_large(bytes_max)
        try:
            async with asyncio.timeout(self.timeout_s):
                return await _join_chunks(receive, bytes_max)
        except TimeoutError:
            raise ProblemError(
                408,
                "body_timeout",
                "The request body did not arrive in time.",
                headers={"Connection": "close"},
            ) from None


async def _join_chunks(receive: Receive, bytes_max: int) -> Message:
    body = bytearray()
    more_body = True
    while more_body:
        message = await receive()
        if message["type"] != "http.request":
            return message
        body += message.get("body", b"")
        if len(body) > bytes_max:
            raise _body_too_large(bytes_max)
        more_body = message.get("more_body", False)
    return {"type": "http.request", "body": bytes(body), "more_body": False}


def _body_too_large(bytes_max: int) -> ProblemError:
    return ProblemError(
        413,
        "body_too_large",
        f"The request body is longer than {bytes_max} bytes.",
        "Split it into several requests.",
        {"Connection": "close"},
    )


def _replay(message: Message, receive: Receive) -> Receive:
    """A `receive` that returns `message` first, then what `receive` returns."""
    pending = [message]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


class Slots:
    """A fixed number of slots in this process, and the problem response when all are taken."""

    def __init__(self, count: int, problem: ProblemError) -> None:
        self.count = count
        self.problem = problem
        self.taken = 0


class LimitConcurrency(HttpMiddleware):
    """Answers 503 with Retry-After beyond `requests_max` concurrent requests or `streams_max` open
    event streams.

    Streams have separate slots: one stays open for up to `stream_s_max` and would block requests
    for that long. Operation routes have no limit, so that an overloaded process still reports its
    state.
    """

    def __init__(self, app: ASGIApp, requests_max: int, streams_max: int) -> None:
        super().__init__(app)
        self.requests = Slots(
            requests_max,
            ProblemError(
                503,
                "overloaded",
                "Too many concurrent requests.",
                "Retry in a second.",
                {"Retry-After": "1"},
            ),
        )
        self.streams = Slots(
            streams_max,
            ProblemError(
                503,
                "too_many_streams",
                "Too many open streams.",
                "Close one.",
                {"Retry-After": "10"},
            ),
        )

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in OPERATION:
            return await self.app(scope, receive, send)
        slots = self.streams if scope["path"] == STREAM else self.requests
        if slots.taken >= slots.count:
            return await slots.problem.response()(scope, receive, send)
        # There is no await since the check, so two requests cannot take the same slot.
        slots.taken += 1
        try:
            return await self.app(scope, receive, send)
        finally:
            slots.taken -= 1
