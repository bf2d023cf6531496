"""The prediction API: routes only translate between HTTP and the predictor; everything dangerous is
refused before them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from contracts.config import logs
from contracts.config.settings import Settings, settings
from serving.routes import live, open_inference, pages, predict
from serving.routes.health import readiness
from serving.state.metrics import MeasureRequests, Metrics
from serving.state.production_model import resolve
from serving.state.service import Resolve, Service
from serving.web import problems, tracing
from serving.web.request_id import Identify
from serving.web.schemas import Readiness
from serving.web.security import (
    CapBody,
    LimitConcurrency,
    LimitRate,
    RequireKey,
    SecurityHeaders,
    api_keys,
)
from serving.web.strict_json import StrictRoute

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is not JSON, or names a key twice.", **problems.SCHEMA},
    401: {"description": "No valid API key.", **problems.SCHEMA},
    413: {"description": "The body is too long.", **problems.SCHEMA},
    422: {"description": "The request has not the documented form.", **problems.SCHEMA},
    429: {
        "description": "Too many requests of this key; Retry-After says when to go on.",
        **problems.SCHEMA,
    },
}
ROUTERS = (predict.router, live.router, open_inference.router)


def create_app(given: Settings, registry: Resolve = resolve) -> FastAPI:
    """The application for `given` settings. Raises ServiceError when it would serve without a key
    and is not allowed to.
    """
    keys = api_keys(given)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = Service(given, metrics, registry)
        app.state.service = service
        try:
            await service.start()
            yield
            await service.stop()
        finally:
            await asyncio.to_thread(end_tracing)

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
    problems.install(app)
    _add_routes(app)
    pages.install(app)
    public = frozenset({pages.DOCS, pages.OPENAPI, *pages.ASSET_FILES} if given.api_open else ())
    app.add_middleware(
        CapBody,
        bytes_max=given.body_bytes_max,
        batch_bytes_max=given.batch_bytes_max,
        timeout_s=given.body_timeout_s,
    )
    app.add_middleware(
        LimitConcurrency, requests_max=given.api_requests_max, streams_max=given.streams_max
    )
    app.add_middleware(LimitRate, requests_per_s_max=given.requests_per_s_max)
    app.add_middleware(
        RequireKey, keys=keys, public=public, open_to_all=given.api_open and not len(keys)
    )
    app.add_middleware(SecurityHeaders, policies=pages.policies())
    app.add_middleware(MeasureRequests, metrics=metrics, log_all=given.api_log)
    app.add_middleware(Identify)  # outermost
    end_tracing = tracing.install(app, given)
    return app


def factory() -> FastAPI:
    """The application of this process' settings, for uvicorn."""
    logs.configure()
    return create_app(settings())


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

    The check `job` tells of the live job behind them. It is not required: predictions may be right
    without it.
    """
    found = await readiness(request.app.state.service)
    return Response(
        found.model_dump_json(), 200 if found.ready else 503, media_type="application/json"
    )


async def metrics_page(request: Request) -> Response:
    """Figures in Prometheus text format."""
    service: Service = request.app.state.service
    service.recorder.poll()
    return service.metrics.exposition(await service.figures.read(), service.job_watch.newest())
