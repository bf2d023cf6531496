"""Ids, the log and the traces of requests; spans arrive at a real collector's endpoint, over HTTP
as protobuf.
"""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from contracts.config import logs
from tests.serving.conftest import KEY, SYMBOL

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Collector(ThreadingHTTPServer):
    """Keeps the spans that come to /v1/traces."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.services, self.spans = set(), []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
        for resource in (
            ExportTraceServiceRequest.FromString(body).resource_spans
            if self.path == "/v1/traces"
            else ()
        ):
            self.server.services |= {
                each.value.string_value
                for each in resource.resource.attributes
                if each.key == "service.name"
            }
            self.server.spans += [span for scope in resource.scope_spans for span in scope.spans]
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector():
    server = Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def attributes(span) -> dict[str, object]:
    return {each.key: each.value for each in span.attributes}


def test_a_request_is_a_span_with_its_route_its_id_and_its_callers_trace(collector, make_api):
    api = make_api(api_otel=f"http://127.0.0.1:{collector.server_port}")
    api.post(
        "/predict",
        json={"symbols": [SYMBOL]},
        headers={"traceparent": CALLER, "X-Request-ID": "mine"},
    )
    api.get("/healthz")
    api.close()
    assert collector.services == {"lakehouse-tick-api"}
    (span,) = collector.spans
    assert span.name == "POST /predict"
    assert span.trace_id.hex() == CALLER.split("-")[1]
    assert (
        attributes(span)["http.response.header.x_request_id"].array_value.values[0].string_value
        == "mine"
    )
    assert KEY not in str(span)


def test_a_collector_that_is_away_costs_no_answer(make_api, feeder):
    feeder.put()
    api = make_api(api_otel="http://127.0.0.1:9")
    assert api.predict(SYMBOL).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/metrics"])
def test_every_answer_has_an_id(make_api, path):
    api = make_api()
    first, second = (api.get(path).headers.get_list("x-request-id") for _ in range(2))
    assert len(first) == len(second) == 1 and first != second


def test_an_unexpected_failure_has_its_id_too(make_api, capsys):
    async def fail() -> None:
        raise RuntimeError

    logs.configure()
    api = make_api()
    api.app.add_api_route("/fail", fail)
    api.client._transport.raise_app_exceptions = False
    response = api.get("/fail", headers={"X-Request-ID": "mine"})
    structlog.reset_defaults()
    assert (response.status_code, response.headers.get_list("x-request-id")) == (500, ["mine"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["request_id"] for line in lines if line["event"] == "unexpected"] == ["mine"]


def test_a_request_is_a_line_of_the_log_when_asked_for(make_api, feeder, capsys):
    feeder.put()
    logs.configure()
    api = make_api(api_log=True)
    api.post("/predict", json={"symbols": [SYMBOL]}, headers={"X-Request-ID": "mine"})
    structlog.reset_defaults()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (line,) = (line for line in lines if line["event"] == "request")
    assert (line["request_id"], line["method"], line["route"], line["status"], line["level"]) == (
        "mine",
        "POST",
        "/predict",
        200,
        "info",
    )
