"""Middleware on ASGI messages that HTTP requests through a client do not produce."""

import asyncio

import pytest

from serving.state.metrics import MeasureRequests, Metrics
from serving.web.auth import ApiKeys, RequireKey
from serving.web.headers import SecurityHeaders
from serving.web.limits import LimitBody, LimitConcurrency, LimitRate
from serving.web.request_id import AssignRequestId

MIDDLEWARE = {
    "keys": lambda app: RequireKey(app, ApiKeys(["key"]), frozenset()),
    "rate": lambda app: LimitRate(app, 1),
    "body": lambda app: LimitBody(app, 10, 10, 1.0),
    "concurrency": lambda app: LimitConcurrency(app, 0, 0),
    "headers": lambda app: SecurityHeaders(app, {}),
    "id": AssignRequestId,
    "metrics": lambda app: MeasureRequests(app, Metrics(), log_all=True),
}


@pytest.mark.parametrize("name", MIDDLEWARE)
def test_a_scope_other_than_http_passes_unchanged(name):
    calls = []

    async def app(scope, receive, send):
        calls.append(scope)
        await send({"type": "lifespan.startup.complete"})

    async def send(message):
        calls.append(message)

    asyncio.run(MIDDLEWARE[name](app)({"type": "lifespan"}, None, send))
    assert calls == [{"type": "lifespan"}, {"type": "lifespan.startup.complete"}]


def test_a_client_that_disconnects_during_its_body_is_seen_by_the_application():
    incoming = [
        {"type": "http.request", "body": b"12345", "more_body": True},
        {"type": "http.disconnect"},
    ]
    received = []

    async def receive():
        return incoming.pop(0)

    async def app(scope, receive, send):
        received.append(await receive())

    scope = {"type": "http", "path": "/predict", "headers": []}
    asyncio.run(LimitBody(app, 10, 10, 1.0)(scope, receive, None))
    assert received == [{"type": "http.disconnect"}]


def test_an_unknown_method_is_counted_as_other():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 405, "headers": []})

    async def send(_message):
        pass

    metrics = Metrics()
    scope = {"type": "http", "path": "/predict", "method": "BREW", "headers": []}
    asyncio.run(MeasureRequests(app, metrics, log_all=False)(scope, None, send))
    text = metrics.exposition().body.decode()
    assert 'tick_requests_total{method="other",route="other",status="405"} 1.0' in text
    assert "tick_requests_in_progress 0.0" in text
