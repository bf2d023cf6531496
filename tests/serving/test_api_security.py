"""Keys, limits and security headers, on every route."""

import asyncio
import base64
import hashlib
import os
from pathlib import Path

import pytest
from starlette.responses import Response
from starlette.routing import Mount

from contracts.config.settings import Settings
from contracts.errors import ServiceError
from serving.web import auth
from serving.web.auth import load_api_keys
from serving.web.limits import OPERATION, STREAM, LimitBody, LimitConcurrency
from tests.serving.conftest import KEY, SYMBOL

OPEN = {"api_key": None, "api_open": True}


def problem(response, status: int, code: str) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code


def every_route(api) -> list[tuple[str, str]]:
    mounted = [
        ("GET", f"{route.path}/swagger-ui.css")
        for route in api.app.routes
        if isinstance(route, Mount)
    ]
    return mounted + [
        (method, route.path)
        for route in api.app.routes
        if not isinstance(route, Mount)
        for method in sorted(route.methods)
    ]


def test_every_route_but_liveness_needs_a_key(api):
    routes = every_route(api)
    expected_paths = {
        "/healthz",
        "/readyz",
        "/metrics",
        "/predict",
        "/predict/batch",
        "/docs",
        "/openapi.json",
        "/live",
        "/v1/live",
    }
    assert expected_paths < {path for _, path in routes}
    for method, path in [
        *routes,
        ("GET", "/elsewhere"),
        ("POST", "/healthz/"),
        ("GET", "//healthz"),
    ]:
        for key in ("", KEY[:-1], KEY + "x", "né".encode()):
            response = api.request(method, path, headers={"X-API-Key": key})
            if path == "/healthz":
                assert response.status_code == 200
                continue
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "X-API-Key"


def test_two_key_headers_are_401(api):
    twice = api.runner.run(
        api.client.send(
            api.client.build_request(
                "GET", "/metrics", headers=[("X-API-Key", KEY), ("X-API-Key", "y")]
            )
        )
    )
    problem(twice, 401, "unauthorized")


def test_several_keys_are_accepted(make_api, tmp_path: Path):
    file = tmp_path / "keys"
    file.write_text("second-key\n\n third-key \n")
    api = make_api(api_keys_file=file)
    for key, status in (
        (KEY, 200),
        ("second-key", 200),
        ("third-key", 200),
        ("", 401),
        (" third-key ", 401),
    ):
        assert api.get("/metrics", headers={"X-API-Key": key}).status_code == status


def test_keys_are_not_kept_in_clear():
    assert KEY.encode() not in repr(vars(load_api_keys(Settings(api_key=KEY)))).encode()


@pytest.mark.parametrize(
    "fields, words",
    [
        ({}, "no key"),
        ({"api_key": ""}, "no key"),
        ({"api_open": True, "host": "0.0.0.0"}, "would serve everyone"),
        ({"api_open": True, "host": "example.org"}, "would serve everyone"),
        ({"api_keys_file": Path("/nowhere/keys")}, "cannot be read"),
    ],
)
def test_without_a_key_nothing_is_served_unless_open_on_loopback(fields, words, monkeypatch):
    monkeypatch.delenv("TICK_API_KEY", raising=False)
    with pytest.raises(ServiceError, match=words):
        load_api_keys(Settings(**fields))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_the_open_setting_needs_a_loopback_address(host, monkeypatch):
    monkeypatch.delenv("TICK_API_KEY", raising=False)
    assert len(load_api_keys(Settings(api_open=True, host=host))) == 0


def test_the_open_setting_serves_without_a_key_on_loopback(make_api):
    api = make_api(**OPEN)
    for path in ("/docs", "/openapi.json", "/metrics"):
        assert api.get(path, headers={"X-API-Key": ""}).status_code == 200


def test_the_open_setting_with_a_key_opens_only_the_docs(make_api):
    api = make_api(api_open=True)
    assert api.get("/docs", headers={"X-API-Key": ""}).status_code == 200
    problem(api.get("/metrics", headers={"X-API-Key": ""}), 401, "unauthorized")


def body_of(length: int) -> bytes:
    text = b'{"symbols": ["%s"]}' % SYMBOL.encode()
    return text + b" " * (length - len(text))


async def pieces(body: bytes, size: int = 1000):
    for at in range(0, len(body), size):
        yield body[at : at + size]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("over", [0, 1, 1_000_000])
def test_a_body_over_the_cap_is_refused_before_parsing(api, feeder, chunked, over):
    feeder.put()
    body = body_of(65_536 + over)
    content = pieces(body) if chunked else body
    response = api.post("/predict", content=content, headers={"Content-Type": "application/json"})
    assert ("content-length" in response.request.headers) is not chunked
    if over:
        problem(response, 413, "body_too_large")
    else:
        assert response.status_code == 200


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 5000, "", "٣"])
def test_an_invalid_content_length_is_refused(length):
    """uvicorn refuses these itself; the middleware does not rely on that."""
    assert run(LimitBody(never, 10, 10, 1.0), headers=[(b"content-length", length.encode())]) == 413


def test_a_body_that_does_not_arrive_is_408():
    async def silent():
        await asyncio.sleep(60)

    assert run(LimitBody(never, 10, 10, 0.01), receive=silent) == 408


@pytest.mark.parametrize(
    ("busy", "shed"), [("/predict", ["/predict", "/v1/live"]), (STREAM, [STREAM])]
)
def test_requests_and_streams_have_separate_limits(busy, shed):
    """One slot of each kind; the one of `busy` is taken."""
    started = asyncio.Event()

    async def handler(scope, receive, send):
        if not started.is_set():
            started.set()
            await asyncio.sleep(60)
        await Response()(scope, receive, send)

    async def story() -> tuple[dict[str, int], int]:
        limit = LimitConcurrency(handler, 1, 1)
        first = asyncio.create_task(limit({"type": "http", "path": busy}, None, None))
        await started.wait()
        paths = ["/predict", "/v1/live", STREAM, *OPERATION]
        answers = {path: await status_of(limit, path=path) for path in paths}
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        return answers, limit.requests.taken + limit.streams.taken

    answers, taken = asyncio.run(story())
    assert [path for path, status in answers.items() if status == 503] == shed
    assert {status for path, status in answers.items() if path not in shed} == {200}
    assert taken == 0


async def never(scope, receive, send):
    raise AssertionError("the request must not get this far")


async def status_of(app, headers=(), receive=None, path="/predict") -> int:
    sent = []

    async def send(message):
        sent.append(message)

    await app(
        {"type": "http", "path": path, "method": "POST", "headers": list(headers)}, receive, send
    )
    return sent[0]["status"]


def run(app, **options) -> int:
    return asyncio.run(status_of(app, **options))


def test_every_answer_carries_the_security_headers(api):
    for response in (
        api.get("/healthz"),
        api.get("/readyz"),
        api.get("/elsewhere"),
        api.get("/metrics", headers={"X-API-Key": "no"}),
    ):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in response.headers["content-security-policy"]


def test_unknown_paths_and_methods_are_problems(api):
    problem(api.get("/elsewhere"), 404, "not_found")
    problem(api.get("/predict"), 405, "method_not_allowed")


def test_the_documentation_has_examples_and_every_status(api):
    assert api.get("/docs").status_code == 200
    described = api.get("/openapi.json").json()
    operation = described["paths"]["/predict"]["post"]
    assert set(operation["responses"]) == {"200", "400", "401", "404", "413", "422", "429", "503"}
    examples = described["components"]["schemas"]["PredictRequest"]["examples"]
    assert api.post("/predict", json=examples[1]).status_code == 200


class TestKeyLocations:
    def basic(self, text):
        return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}

    @pytest.fixture
    def bare(self, api):
        del api.client.headers["X-API-Key"]
        return api

    def test_a_bearer_token_and_a_basic_password_are_accepted(self, bare):
        assert bare.get("/readyz", headers={"Authorization": f"Bearer {KEY}"}).status_code == 503
        assert bare.get("/readyz", headers=self.basic(f"any-name:{KEY}")).status_code == 503

    @pytest.mark.parametrize(
        "value", ["Bearer", "Bearer wrong", "Basic !!!", "Basic", "Digest x", "Basic " + "QQ=="]
    )
    def test_anything_else_is_401(self, bare, value):
        assert bare.get("/readyz", headers={"Authorization": value}).status_code == 401

    def test_a_key_header_and_a_token_are_401(self, api):
        assert api.get("/readyz", headers={"Authorization": f"Bearer {KEY}"}).status_code == 401

    def test_a_browser_prompts_for_the_password(self, bare):
        assert (
            bare.get("/live", headers={"Accept": "text/html"})
            .headers["www-authenticate"]
            .startswith("Basic realm=")
        )
        assert bare.get("/live").headers["www-authenticate"] == "X-API-Key"


def test_keys_are_rotated_without_a_restart(make_api, tmp_path, monkeypatch):
    monkeypatch.setattr(auth, "KEYS_RELOAD_S", 0.0)
    file = tmp_path / "keys"
    file.write_text("# callers\nold\n")
    api = make_api(api_keys_file=file)
    assert api.get("/metrics", headers={"X-API-Key": "old"}).status_code == 200
    file.write_text(f"sha256:{hashlib.sha256(b'new').hexdigest()}\n")
    os.utime(file, ns=(1, 1))
    assert [
        api.get("/metrics", headers={"X-API-Key": key}).status_code for key in ("old", "new", KEY)
    ] == [401, 200, 200]
    file.unlink()
    assert api.get("/metrics", headers={"X-API-Key": "new"}).status_code == 200


def test_an_empty_or_corrupt_key_file_accepts_no_new_key(make_api, tmp_path, monkeypatch):
    monkeypatch.setattr(auth, "KEYS_RELOAD_S", 0.0)
    file = tmp_path / "keys"
    file.write_text("only\n")
    api = make_api(api_keys_file=file, api_key=None)

    def statuses():
        return [
            api.get("/metrics", headers={"X-API-Key": key}).status_code
            for key in ("only", "", "other")
        ]

    assert statuses() == [200, 401, 401]
    file.write_text("sha256:" + "z" * 64)
    os.utime(file, ns=(1, 1))
    assert statuses() == [200, 401, 401], "what cannot be read changes nothing"
    file.write_text("")
    os.utime(file, ns=(2, 2))
    assert statuses() == [401, 401, 401]
    file.write_text("other\n")
    os.utime(file, ns=(3, 3))
    assert statuses() == [401, 401, 200]


@pytest.fixture
def limited_api(make_api, tmp_path):
    """An API with two keys, `KEY` and `other`, and five requests per second for each."""
    file = tmp_path / "keys"
    file.write_text("other\n")
    return make_api(requests_per_s_max=5, api_keys_file=file)


def test_every_key_has_its_own_rate(limited_api):
    answers = [limited_api.get("/elsewhere") for _ in range(12)]
    limited = [answer for answer in answers if answer.status_code == 429]
    assert 5 <= len(limited) <= 7
    assert limited[0].json()["code"] == "rate_limited"
    assert limited[0].headers["retry-after"] == "1"
    assert limited_api.get("/elsewhere", headers={"X-API-Key": "other"}).status_code == 404


def test_the_operation_routes_answer_a_key_that_is_at_its_limit(limited_api):
    """They neither wait for a token nor take one."""
    states = {path: limited_api.get(path).status_code for path in sorted(OPERATION) * 3}
    assert 429 not in states.values()
    assert limited_api.get("/elsewhere").status_code == 404, "no token was taken"
    assert any(limited_api.get("/elsewhere").status_code == 429 for _ in range(100))
    assert {path: limited_api.get(path).status_code for path in sorted(OPERATION) * 3} == states
