"""OpenTelemetry tracing, when the settings name a collector: one span per request (shadow scoring
included), with its route, status and request id.
"""

import threading
from collections.abc import Callable

from fastapi import FastAPI

from contracts.config.groups.serving import ServingSettings

SERVICE_NAME = "lakehouse-tick-api"
UNTRACED_URLS = r"^https?://[^/]*/(?:healthz|readyz|metrics)$"
QUEUE_SPANS_MAX = 2048
EXPORT_TIMEOUT_S = 5
SHUTDOWN_S_MAX = 3  # shutdown waits this long for the export of the last spans


def install_tracing(app: FastAPI, settings: ServingSettings) -> Callable[[], None]:
    """Trace the requests of `app`. Returns the function that exports the last spans at shutdown.

    A caller's `traceparent` is continued. While the collector is unavailable spans are lost, but
    every request is answered. Without a collector in the settings OpenTelemetry is not imported.
    """
    if settings.api_otel is None:
        return lambda: None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    exporter = OTLPSpanExporter(
        f"{settings.api_otel.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S
    )
    provider = TracerProvider(
        ParentBasedTraceIdRatio(settings.api_otel_sample),
        Resource.create({"service.name": SERVICE_NAME}),
    )
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUE_SPANS_MAX))
    FastAPIInstrumentor.instrument_app(
        app,
        tracer_provider=provider,
        excluded_urls=UNTRACED_URLS,
        http_capture_headers_server_response=["x-request-id"],
        exclude_spans=["receive", "send"],
    )
    return lambda: _shut_down(provider.shutdown)


def _shut_down(shutdown: Callable[[], None]) -> None:
    thread = threading.Thread(target=shutdown, daemon=True)
    thread.start()
    thread.join(SHUTDOWN_S_MAX)
