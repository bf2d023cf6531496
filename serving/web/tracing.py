"""OpenTelemetry, when the settings name a collector: a span per request (and per shadow), with its
route, its status and its id.
"""

import threading
from collections.abc import Callable

from fastapi import FastAPI

from contracts.config.settings import Settings

SERVICE = "lakehouse-tick-api"
UNTRACED = r"^https?://[^/]*/(?:healthz|readyz|metrics)$"
QUEUE_MAX = 2048
EXPORT_TIMEOUT_S = 5
END_S_MAX = 3  # the last spans may take so long at the end


def install(app: FastAPI, settings: Settings) -> Callable[[], None]:
    """Trace the requests of `app`; returns what to call at the end, which sends the last spans.
    Without a collector nothing is loaded.

    A caller's `traceparent` is followed. A collector that is away costs spans, never an answer.
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
        Resource.create({"service.name": SERVICE}),
    )
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUE_MAX))
    FastAPIInstrumentor.instrument_app(
        app,
        tracer_provider=provider,
        excluded_urls=UNTRACED,
        http_capture_headers_server_response=["x-request-id"],
        exclude_spans=["receive", "send"],
    )
    return lambda: _end(provider.shutdown)


def _end(shutdown: Callable[[], None]) -> None:
    last = threading.Thread(target=shutdown, daemon=True)
    last.start()
    last.join(END_S_MAX)
