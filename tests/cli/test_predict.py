"""`tick predict SYMBOL` against a server that responds like the API."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace

import pytest

from tests.support.loopback import serving

OK = {
    "symbol": "V:A",
    "status": "ok",
    "prediction_bps": 1.25,
    "horizon_s": 60,
    "model_name": "tick-model",
    "model_version": "3",
    "feature_time_us": 1,
    "age_s": 0.5,
    "stale": False,
}
REFUSED = {"symbol": "V:B", "status": "unknown_symbol", "reason": "no row of V:B"}


@pytest.fixture
def api() -> Iterator[SimpleNamespace]:
    """Responds with `status` and `response`; keeps what was requested."""
    server = SimpleNamespace(status=200, response={"results": [OK]}, requests=[], port=0)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.requests.append((self.path, json.loads(body), dict(self.headers)))
            data = json.dumps(server.response).encode()
            self.send_response(server.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Do not log."""

    with serving(Handler) as server.port:
        yield server


@pytest.fixture
def predict(tick, api, make_settings, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TICK_API_KEY", "secret-key")
    settings = make_settings(api_port=api.port)

    def run(*arguments: str):
        result = tick(settings, "predict", *arguments)
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result

    return run


@pytest.mark.parametrize("words", [("V:A",), ("symbols", "V:A")])
def test_the_word_symbols_may_be_left_out(predict, api, words):
    result = predict(*words)
    assert result.exit_code == 0, result.output
    assert "+1.250" in result.stdout and "tick-model v3" in result.stdout
    [(_, body, headers)] = api.requests
    assert "V:A" in json.dumps(body)
    assert "secret-key" in "".join(headers.values())
    assert "secret-key" not in result.output


def test_a_symbol_without_a_prediction_is_exit_code_1(predict, api):
    api.response = {"results": [OK, REFUSED]}
    result = predict("V:A", "V:B")
    assert result.exit_code == 1
    assert "+1.250" in result.stdout
    assert "unknown_symbol: no row of V:B" in result.stdout


def test_json_is_the_response_of_the_api(predict, api):
    api.response = {"results": [OK, REFUSED | {"reason": "[/red] ünknown"}]}
    result = predict("V:A", "V:B", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == api.response
    assert "\x1b" not in result.stdout


def test_features_are_requested_and_printed(predict, api):
    api.response = {"results": [OK | {"features": {"volume_10s": 1.5}}]}
    result = predict("V:A", "--features")
    assert "V:A  volume_10s = 1.5" in result.stdout
    path, body, _ = api.requests[0]
    assert "features" in path + json.dumps(body)


@pytest.mark.parametrize(
    ("status", "problem", "shown"),
    [
        (401, {"detail": "wrong key", "hint": "set TICK_API_KEY"}, ("wrong key", "TICK_API_KEY")),
        (
            422,
            {"detail": "invalid", "errors": [{"field": "symbols", "message": "is too long"}]},
            ("invalid", "symbols: is too long"),
        ),
    ],
)
def test_a_refused_request_has_its_reason_and_its_hint(predict, api, status, problem, shown):
    api.status, api.response = status, problem
    result = predict("V:A")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert all(words in result.stderr for words in shown)


def test_without_a_symbol_the_help_is_printed(predict, api):
    result = predict()
    assert result.exit_code == 2
    assert "VENUE:SYMBOL" in result.output
    assert api.requests == []


@pytest.mark.parametrize("word", ["--help", "mnist --help", "power --help"])
def test_a_word_of_the_group_is_not_a_symbol(predict, api, word):
    assert predict(*word.split()).exit_code == 0
    assert api.requests == []
