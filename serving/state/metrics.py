"""Prometheus metrics of the API: rate, errors and duration of requests, age of the features, the
served model, dropped records.
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

from serving.web.http_middleware import HttpMiddleware

log = structlog.get_logger("serving")
_LATENCY_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_AGE_S = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900)


class Metrics:
    """The metrics of one application. With several workers, the values of all of them are summed
    (PROMETHEUS_MULTIPROC_DIR).
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._add_request_metrics(self.registry)
        self._add_result_metrics(self.registry)
        self._add_model_metrics(self.registry)

    def _add_request_metrics(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "tick_requests_total",
            "requests by method, route and status",
            ("method", "route", "status"),
            registry=registry,
        )
        self.duration = Histogram(
            "tick_request_seconds",
            "duration of a request",
            ("route",),
            buckets=_LATENCY_S,
            registry=registry,
        )
        self.in_progress = Gauge(
            "tick_requests_in_progress",
            "requests in progress",
            registry=registry,
            multiprocess_mode="livesum",
        )

        self.keys_readable = Gauge(
            "tick_api_keys_readable",
            "0 while TICK_API_KEYS_FILE cannot be read",
            registry=registry,
            multiprocess_mode="livemin",
        )

    def _add_result_metrics(self, registry: CollectorRegistry) -> None:
        self.results = Counter(
            "tick_results_total", "results by status", ("status",), registry=registry
        )
        self.stale = Counter(
            "tick_results_stale_total", "results from stale features", registry=registry
        )
        self.feature_age = Histogram(
            "tick_feature_age_seconds",
            "age of the features of a result",
            buckets=_AGE_S,
            registry=registry,
        )
        self.dropped = Counter(
            "tick_predictions_dropped_total",
            "predictions that could not be recorded",
            registry=registry,
        )

    def _add_model_metrics(self, registry: CollectorRegistry) -> None:
        self.model = Gauge(
            "tick_model",
            "1 for the served model version",
            ("name", "version"),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.trained_to = Gauge(
            "tick_model_trained_to_seconds",
            "end of the last training label of the served model, s since 1970",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.swaps = Counter(
            "tick_model_swaps_total",
            "changes of the served model, the first one included",
            registry=registry,
        )

    def exposition(self, *platform: Collector) -> Response:
        """Text format: the metrics of the API, followed by those of `platform`."""
        own_registry = self.registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            own_registry = CollectorRegistry()
            MultiProcessCollector(own_registry)  # type: ignore[no-untyped-call]
        platform_registry = CollectorRegistry()
        for collector in platform:
            platform_registry.register(collector)
        return Response(
            generate_latest(own_registry) + generate_latest(platform_registry),
            media_type=CONTENT_TYPE_LATEST,
        )


class MeasureRequests(HttpMiddleware):
    """Counts and times every request by its route template. The raw path would let callers create
    time series.

    With `log_all`, every request is also a log line with method, route, status and ms.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, log_all: bool) -> None:
        super().__init__(app)
        self.metrics = metrics
        self.log_all = log_all

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 500

        async def send_and_keep_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        start_s = time.perf_counter()
        self.metrics.in_progress.inc()
        try:
            return await self.app(scope, receive, send_and_keep_status)
        finally:
            self.metrics.in_progress.dec()
            duration_s = time.perf_counter() - start_s
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(_known_method(scope), route, status).inc()
            self.metrics.duration.labels(route).observe(duration_s)
            if self.log_all:
                log.info(
                    "request",
                    method=scope["method"],
                    route=route,
                    status=status,
                    ms=round(duration_s * 1e3, 2),
                )


def _known_method(scope: Scope) -> str:
    method: str = scope["method"]
    return (
        method
        if method in {"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}
        else "other"
    )
