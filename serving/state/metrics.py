"""What an operator watches: rate, errors and duration of requests, ages of the features, the model,
dropped records.
"""

import os
import time

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger("serving")
_LATENCY_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_AGE_S = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900)


class Metrics:
    """One registry per application; with several workers the figures of all are summed
    (PROMETHEUS_MULTIPROC_DIR).
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made = self.registry
        self.requests = Counter(
            "tick_requests_total",
            "requests by route and status",
            ("method", "route", "status"),
            registry=made,
        )
        self.duration = Histogram(
            "tick_request_seconds", "time to answer", ("route",), buckets=_LATENCY_S, registry=made
        )
        self.at_work = Gauge(
            "tick_requests_at_work", "requests at work", registry=made, multiprocess_mode="livesum"
        )
        self.results = Counter(
            "tick_results_total", "symbols answered, by status", ("status",), registry=made
        )
        self.stale = Counter(
            "tick_results_stale_total", "symbols answered from stale features", registry=made
        )
        self.age = Histogram(
            "tick_feature_age_seconds",
            "age of the features of an answer",
            buckets=_AGE_S,
            registry=made,
        )
        self.model = Gauge(
            "tick_model",
            "1 for the model being served",
            ("name", "version"),
            registry=made,
            multiprocess_mode="livemax",
        )
        self.trained = Gauge(
            "tick_model_trained_to_seconds",
            "end of its last training label, s since 1970",
            registry=made,
            multiprocess_mode="livemax",
        )
        self.swaps = Counter(
            "tick_model_swaps_total", "models put in place, the first one included", registry=made
        )
        self.dropped = Counter(
            "tick_predictions_dropped_total", "answers that could not be recorded", registry=made
        )

    def exposition(self, *platform: Collector) -> Response:
        """The figures in Prometheus text format, those of the platform behind those of the API."""
        own, around = self.registry, CollectorRegistry()
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            own = CollectorRegistry()
            MultiProcessCollector(own)  # type: ignore[no-untyped-call]
        for part in platform:
            around.register(part)
        return Response(
            generate_latest(own) + generate_latest(around), media_type=CONTENT_TYPE_LATEST
        )


class MeasureRequests:
    """Counts and times every request by its route's template (never by the raw path, which callers
    choose).

    When `log_all`, each is a line of the log too: method, route, status and ms.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, log_all: bool) -> None:
        self.app, self.metrics, self.log_all = app, metrics, log_all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        begun = time.perf_counter()
        self.metrics.at_work.inc()
        try:
            return await self.app(scope, receive, sending)
        finally:
            self.metrics.at_work.dec()
            route, took_s = (
                getattr(scope.get("route"), "path", "other"),
                time.perf_counter() - begun,
            )
            self.metrics.requests.labels(_method(scope), route, status).inc()
            self.metrics.duration.labels(route).observe(took_s)
            if self.log_all:
                log.info(
                    "request",
                    method=scope["method"],
                    route=route,
                    status=status,
                    ms=round(took_s * 1e3, 2),
                )


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return (
        method
        if method in {"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}
        else "other"
    )
