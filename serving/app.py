"""The prediction API: routes only translate between HTTP and the predictor; everything dangerous is refused before them."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI, Request
from starlette.responses import Response

from contracts.clock import now_us
from contracts.settings import Settings, settings
from serving import problems
from serving.health import readiness
from serving.metrics import MeasureRequests, Metrics
from serving.predictor import Answer, Predictor, UnknownFeaturesError
from serving.problems import MEDIA_TYPE, ProblemError, plain
from serving.production import resolve
from serving.schemas import PredictRequest, PredictResponse, ProblemDocument, Readiness
from serving.security import DOCS, CapBody, LimitConcurrency, RequireKey, SecurityHeaders, api_keys
from serving.service import Resolve, Service
from serving.status import Status
from serving.strict_json import StrictRoute

OPENAPI = "/openapi.json"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.\-]{1,64}")
_PROBLEM = {"content": {MEDIA_TYPE: {"schema": ProblemDocument.model_json_schema()}}}
PREDICT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "At least one symbol answered, or symbols refused for different reasons: see each `status`."},
    400: {"description": "The body is not JSON, or names a key twice.", **_PROBLEM},
    401: {"description": "No valid X-API-Key.", **_PROBLEM},
    404: {"description": "Every symbol asked is unknown; `results` has each.", **_PROBLEM},
    413: {"description": "The body is too long.", **_PROBLEM},
    422: {"description": "The request has not the documented form, or its features are not the model's.", **_PROBLEM},
    503: {"description": "No features or no model now: `code` says which, Retry-After when to ask again.", **_PROBLEM},
}


def create_app(given: Settings, registry: Resolve = resolve) -> FastAPI:
    """The application for `given` settings. Raises ServiceError when it would serve without a key and is not allowed to."""
    keys = api_keys(given)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = Service(given, metrics, registry)
        app.state.service = service
        await service.start()
        yield
        await service.stop()

    app = FastAPI(
        title="lakehouse-tick",
        summary="Expected returns from the Production model on live features",
        version="0.1.0",
        lifespan=lifespan,
        docs_url=DOCS,
        openapi_url=OPENAPI,
        redoc_url=None,
        redirect_slashes=False,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.router.route_class = StrictRoute
    problems.install(app)
    _add_routes(app)
    public = frozenset({DOCS, OPENAPI} if given.api_open else ())
    app.add_middleware(CapBody, bytes_max=given.body_bytes_max, timeout_s=given.body_timeout_s)  # innermost
    app.add_middleware(LimitConcurrency, requests_max=given.api_requests_max)
    app.add_middleware(RequireKey, keys=keys, public=public)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(MeasureRequests, metrics=metrics)  # outermost
    return app


def factory() -> FastAPI:
    """The application of this process' settings, for uvicorn."""
    return create_app(settings())


def _add_routes(app: FastAPI) -> None:
    app.add_api_route("/healthz", healthz, tags=["operation"], summary="Liveness: the process answers")
    app.add_api_route("/readyz", readyz, tags=["operation"], response_model=Readiness, responses={503: {"model": Readiness}})
    app.add_api_route("/metrics", metrics_page, tags=["operation"], response_class=Response)
    app.add_api_route(
        "/predict", predict, methods=["POST"], tags=["prediction"], response_model=PredictResponse, responses=PREDICT_RESPONSES
    )


async def healthz() -> dict[str, str]:
    """Liveness: this process answers. Needs no key."""
    return {"status": "alive"}


async def readyz(request: Request) -> Response:
    """Readiness: model loaded, Redis reachable, pipeline lag within its limit; 503 when one of them fails."""
    found = await readiness(request.app.state.service)
    return Response(found.model_dump_json(), 200 if found.ready else 503, media_type="application/json")


async def metrics_page(request: Request) -> Response:
    """Figures in Prometheus text format."""
    service: Service = request.app.state.service
    service.recorder.poll()
    return service.metrics.exposition()


async def predict(asked: PredictRequest, request: Request) -> Response:
    """Expected return over the horizon, per symbol, from the Production model: on live features, or on features given.

    A single refused symbol, or several refused alike, make the whole answer 404 or 503; mixed answers are 200 with one
    `status` per symbol. Features up to the freshness limit are fresh, older ones are marked `stale: true`, still older or
    missing ones are refused: there is never a guess.
    """
    service: Service = request.app.state.service
    _check_count(asked, service.settings)
    predictor = _ready(service)
    served_at_us = now_us()
    if asked.symbols is not None:
        answers = await predictor.for_symbols(asked.symbols, served_at_us)
    else:
        answers = _given(predictor, asked)
    request_id = _request_id(request)
    _keep(service, predictor, answers, request_id, served_at_us)
    results = [predictor.result(answer, asked.include_features) for answer in answers]
    _refuse_together(answers, results)
    body = orjson.dumps({"request_id": request_id, "served_at_us": served_at_us, "results": results})
    return Response(body, media_type="application/json", headers={"X-Request-ID": request_id})


def _check_count(asked: PredictRequest, limits: Settings) -> None:
    count = len(asked.symbols or asked.rows or ())
    if count > limits.symbols_max:
        raise ProblemError(422, "too_many_symbols", f"{count} symbols asked, at most {limits.symbols_max} are answered at once.")


def _ready(service: Service) -> Predictor:
    if service.predictor is None:
        hint = "Train and promote one with `tick train tick`; the API takes it up by itself."
        headers = {"Retry-After": str(max(1, round(service.settings.model_retry_s)))}
        raise ProblemError(503, "no_model", service.model_note, hint, headers)
    return service.predictor


def _given(predictor: Predictor, asked: PredictRequest) -> list[Answer]:
    rows = [(row.symbol, row.features) for row in asked.rows or ()]
    try:
        return predictor.for_rows(rows)
    except UnknownFeaturesError as error:
        unknown = sorted({plain(name) for name in error.unknown})[: problems.ERRORS_MAX]
        raise ProblemError(
            422,
            "wrong_features",
            f"rows[{error.index}] has not exactly the features of the model.",
            unknown=unknown,
            missing=error.missing,
        ) from None


def _keep(service: Service, predictor: Predictor, answers: list[Answer], request_id: str, served_at_us: int) -> None:
    """Count every answer and record those with a prediction."""
    for answer in answers:
        service.metrics.results.labels(answer.status.value).inc()
        if answer.verdict.age_s is not None:
            service.metrics.age.observe(answer.verdict.age_s)
        if answer.status is Status.OK:
            service.metrics.stale.inc(bool(answer.verdict.stale))
            service.recorder.record(answer.symbol, predictor.record(answer, request_id, served_at_us))


def _refuse_together(answers: list[Answer], results: list[dict[str, Any]]) -> None:
    """Raise ProblemError when every symbol is refused with the same HTTP status."""
    kinds = {answer.status.http for answer in answers}
    if len(kinds) > 1 or kinds == {200}:
        return
    first = answers[0]
    headers = {"Retry-After": str(min(answer.verdict.retry_after_s or 1 for answer in answers))} if kinds == {503} else None
    raise ProblemError(first.status.http, first.status.value, first.verdict.reason, headers=headers, results=results)


def _request_id(request: Request) -> str:
    """The caller's X-Request-ID if it is a plain one, else a new one."""
    sent = request.headers.get("x-request-id", "").encode()
    return sent.decode() if _REQUEST_ID.fullmatch(sent) else os.urandom(16).hex()
