"""The client against the running API, and against a server that is unavailable, overloaded or not
the API.
"""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from contracts.features import CORE
from serving.client import ApiError, Client
from tests.serving.conftest import KEY, SYMBOL
from tests.serving.test_api_process import Process, fed, live  # noqa: F401 - fixtures


@pytest.fixture(scope="module")
def api(live):  # noqa: F811
    process = Process(live)
    yield process
    process.stop()


@pytest.fixture
def client(api, fed):  # noqa: F811
    return Client(api.settings.api_url, KEY)


class TestRunningApi:
    def test_predictions_are_typed_and_refusals_are_answers(self, client):
        good, unknown = client.predict(SYMBOL, "SYNTH:NOPE", features=True)
        assert (
            good.status == "ok"
            and good.prediction_bps is not None
            and set(good.features) == set(CORE)
        )
        assert (unknown.status, unknown.prediction_bps) == ("unknown_symbol", None)
        (alone,) = client.predict("SYNTH:NOPE")
        assert alone.status == "unknown_symbol"

    def test_all_routes_give_the_same_predictions(self, client):
        rows = np.random.default_rng(1).normal(size=(4, len(CORE)))
        columns = {name: rows[:, at].tolist() for at, name in enumerate(CORE)}
        assert client.batch(columns) == pytest.approx(
            [1e4 * y for y in client.infer("tick-model", rows.tolist())]
        )
        assert client.features(SYMBOL)["features"]["log_return_1m"] == 0.01
        assert (
            next(client.stream(SYMBOL)).prediction_bps == client.predict(SYMBOL)[0].prediction_bps
        )

    def test_a_refused_request_is_an_error(self, client, api):
        with pytest.raises(ApiError, match="symbols.0") as error:
            client.predict("not a symbol")
        assert (error.value.status, error.value.code) == (422, "invalid_request")
        with pytest.raises(ApiError) as error:
            Client(api.settings.api_url, "wrong").predict(SYMBOL)
        assert error.value.status == 401


class ScriptedServer(BaseHTTPRequestHandler):
    """Sends the responses of `script`, one per request, and then repeats the last one."""

    script: list[tuple[int, bytes, str]] = []
    requests = 0

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).requests += 1
        status, body, after = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.send_response(status)
        self.send_header("Retry-After", after)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


BUSY = (503, b'{"code": "overloaded", "detail": "too many", "status": 503}', "0")
GOOD = (
    200,
    b'{"results": [{"symbol": "A:B", "status": "ok", "prediction_bps": 1.5, "new_field": 1}]}',
    "0",
)


@pytest.fixture
def server():
    ScriptedServer.requests = 0
    http_server = ThreadingHTTPServer(("127.0.0.1", 0), ScriptedServer)
    thread = threading.Thread(target=http_server.serve_forever, daemon=True)
    thread.start()
    yield Client(f"http://127.0.0.1:{http_server.server_port}", "k")
    http_server.shutdown()
    http_server.server_close()
    thread.join(5)


class TestScriptedServer:
    def test_an_overloaded_server_is_retried(self, server):
        ScriptedServer.script = [BUSY, BUSY, GOOD]
        assert server.predict("A:B")[0].prediction_bps == 1.5
        assert ScriptedServer.requests == 3

    def test_retries_are_limited(self, server):
        ScriptedServer.script = [BUSY]
        with pytest.raises(ApiError, match="too many"):
            server.predict("A:B")
        assert ScriptedServer.requests == 3

    def test_a_refusal_is_not_retried(self, server):
        ScriptedServer.script = [(422, b'{"code": "wrong_features", "detail": "no"}', "0")]
        with pytest.raises(ApiError):
            server.predict("A:B")
        assert ScriptedServer.requests == 1

    def test_another_service_on_the_port_is_named(self, server):
        ScriptedServer.script = [(404, b"<html>", "x")]
        with pytest.raises(ApiError, match="not a problem document"):
            server.predict("A:B")

    def test_a_server_that_is_not_running_is_an_error(self):
        with pytest.raises(ApiError, match="does not answer") as error:
            Client("http://127.0.0.1:9", "k", tries=2).predict("A:B")
        assert error.value.status == 0
