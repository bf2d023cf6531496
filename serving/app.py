"""The ASGI application: middleware that authenticates and limits requests, then the routes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from contracts.config import logs
from contracts.config.groups.serving import ServingSettings
from contracts.config.settings import Settings, settings
from serving.routes import live, open_inference, pages, predict
from serving.routes.health import check_readiness
from serving.state.metrics import MeasureRequests, Metrics
from serving.state.registry_state import ReadRegistry, read_registry
from serving.state.service import Service
from serving.web import problems
from serving.web.auth import ApiKeys, RequireKey, load_api_keys
from serving.web.headers import SecurityHeaders
from serving.web.limits import LimitBody, LimitConcurrency, LimitRate
from serving.web.request_id import AssignRequestId
from serving.web.schemas import Readiness
from serving.web.strict_json import StrictRoute
from serving.web.tracing import install_tracing

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is not valid JSON, or has a duplicate key.", **problems.SCHEMA},
    401: {"description": "No valid API key.", **problems.SCHEMA},
    413: {"description": "The body is too long.", **problems.SCHEMA},
    422: {"description": "The request does not match the schema.", **problems.SCHEMA},
    429: {
        "description": "Too many requests with this key; Retry-After says when to retry.",
        **problems.SCHEMA,
    },
}
ROUTERS = (predict.router, live.router, open_inference.router)


def create_app(settings: Settings, registry: ReadRegistry = read_registry) -> FastAPI:
    """The application for `settings`; `registry` reads the model registry.

    Raises ServiceError when there is no API key and `api_open` does not allow that.
    """
    metrics = Metrics()
    keys = load_api_keys(settings, metrics.keys_readable.set)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = Service(settings, metrics, registry)
        app.state.service = service
        try:
            await service.start()
            yield
            await service.stop()
        finally:
            await asyncio.to_thread(shut_down_tracing)

    app = FastAPI(
        title="lakehouse-tick",
        summary="Expected returns from the Production model on live features",
        version="0.1.0",
        lifespan=lifespan,
        docs_url=None,
        openapi_url=pages.OPENAPI,
        redoc_url=None,
        redirect_slashes=False,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.router.route_class = StrictRoute
    problems.install_handlers(app)
    _add_routes(app)
    pages.install_docs(app)
    _add_middleware(app, settings, keys, metrics)
    shut_down_tracing = install_tracing(app, settings)
    return app


def create_default_app() -> FastAPI:
    """The application for the settings of this process; uvicorn's factory."""
    logs.configure()
    return create_app(settings())


def _add_middleware(
    app: FastAPI, settings: ServingSettings, keys: ApiKeys, metrics: Metrics
) -> None:
    """Add the middleware, innermost first: the last one added is the first to see a request."""
    docs_paths = frozenset({pages.DOCS, pages.OPENAPI, *pages.ASSET_FILES})
    app.add_middleware(
        LimitBody,
        bytes_max=settings.body_bytes_max,
        batch_bytes_max=settings.batch_bytes_max,
        timeout_s=settings.body_timeout_s,
    )
    app.add_middleware(
        LimitConcurrency,
        requests_max=settings.api_requests_max,
        streams_max=settings.streams_max,
    )
    app.add_middleware(LimitRate, requests_per_s_max=settings.requests_per_s_max)
    app.add_middleware(
        RequireKey,
        keys=keys,
        public=docs_paths if settings.api_open else frozenset(),
        open_to_all=settings.api_open and not len(keys),
    )
    app.add_middleware(SecurityHeaders, policies=pages.content_security_policies())
    app.add_middleware(MeasureRequests, metrics=metrics, log_all=settings.api_log)
    app.add_middleware(AssignRequestId)


def _add_routes(app: FastAPI) -> None:
    app.add_api_route(
        "/healthz", healthz, tags=["operation"], summary="Liveness: the process answers"
    )
    app.add_api_route(
        "/readyz",
        readyz,
        tags=["operation"],
        response_model=Readiness,
        responses={503: {"model": Readiness}},
    )
    app.add_api_route("/metrics", metrics_page, tags=["operation"], response_class=Response)
    for router in ROUTERS:
        app.include_router(router, responses=REFUSALS)


async def healthz() -> dict[str, str]:
    """Liveness: this process answers. Needs no key."""
    return {"status": "alive"}


async def readyz(request: Request) -> Response:
    """Readiness: model loaded, Redis reachable, pipeline lag within its limit; 503 when one of them
    fails.

    The check `job` reports the health of the live job. It is not required: predictions can be
    correct while the job has a problem.
    """
    readiness = await check_readiness(request.app.state.service)
    return Response(
        readiness.model_dump_json(),
        200 if readiness.ready else 503,
        media_type="application/json",
    )


async def metrics_page(request: Request) -> Response:
    """Metrics of the API and of the platform, in Prometheus text format."""
    service: Service = request.app.state.service
    service.recorder.poll()
    platform = await service.platform_metrics.read()
    return service.metrics.exposition(platform, service.job_watch.latest())
