"""POST /predict and /predict/batch: between HTTP and the predictor. What an answer is worth is
decided in `freshness`.
"""

from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Request
from starlette.background import BackgroundTask
from starlette.responses import Response

from contracts.clock import now_us
from contracts.config.settings import Settings
from models.runtime import Model
from serving.core.predictor import BPS, Answer, Predictor, UnknownFeaturesError
from serving.core.status import Status
from serving.state import shadow
from serving.state.service import Service
from serving.web import problems
from serving.web import request_id as requests
from serving.web.problems import ProblemError, plain
from serving.web.schemas import BatchRequest, BatchResponse, PredictRequest, PredictResponse
from serving.web.strict_json import StrictRoute

BATCH = "/predict/batch"
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "At least one symbol answered, or symbols refused for different reasons: see each"
            " `status`."
        )
    },
    404: {"description": "Every symbol asked is unknown; `results` has each.", **problems.SCHEMA},
    503: {
        "description": (
            "No features or no model now: `code` says which, Retry-After when to ask again."
        ),
        **problems.SCHEMA,
    },
}
NO_MODEL = {503: {"description": "No model now.", **problems.SCHEMA}}

router = APIRouter(route_class=StrictRoute, tags=["prediction"])


@router.post("/predict", response_model=PredictResponse, responses=RESPONSES)
async def predict(asked: PredictRequest, request: Request) -> Response:
    """Expected return over the horizon, per symbol, from the Production model: on live features, or
    on features given.

    A single refused symbol, or several refused alike, make the whole answer 404 or 503; mixed
    answers are 200 with one `status` per symbol. Features up to the freshness limit are fresh,
    older ones are marked `stale: true`, still older or missing ones are refused: there is never a
    guess.
    """
    service: Service = request.app.state.service
    _check_count(asked, service.settings)
    predictor = ready(service)
    served_at_us = now_us()
    if asked.symbols is not None:
        answers = shadow.split(service, await predictor.for_symbols(asked.symbols, served_at_us))
    else:
        answers = _given(predictor, asked)
    request_id = request.scope[requests.ID]
    keep(service, predictor, answers, request_id, served_at_us)
    results = [predictor.result(answer, asked.include_features) for answer in answers]
    _refuse_together(answers, results)
    body = orjson.dumps(
        {"request_id": request_id, "served_at_us": served_at_us, "results": results}
    )
    after = (
        BackgroundTask(shadow.shadow, service, answers, request_id, served_at_us)
        if service.challenger
        else None
    )
    return Response(body, media_type="application/json", background=after)


@router.post(BATCH, response_model=BatchResponse, responses=NO_MODEL)  # type: ignore[arg-type]
async def batch(asked: BatchRequest, request: Request) -> Response:
    """Many rows of given features at once, by column: one prediction per row, in order. For
    scoring, not for live symbols.
    """
    service: Service = request.app.state.service
    model = ready(service).model
    matrix = _matrix(asked, model, service.settings.batch_rows_max)
    forecasts = (model.predict(matrix) * BPS).tolist()
    known = {"model_name": model.name, "model_version": model.version, "horizon_s": model.horizon_s}
    return Response(
        orjson.dumps(known | {"predictions_bps": forecasts}), media_type="application/json"
    )


def _matrix(asked: BatchRequest, model: Model, rows_max: int) -> Any:
    """The columns as a matrix in the model's order. Raises ProblemError 422 for names, lengths or
    numbers of rows that do not fit.
    """
    unknown, missing = (
        sorted(asked.columns.keys() - set(model.features)),
        [n for n in model.features if n not in asked.columns],
    )
    if unknown or missing:
        shown = sorted({plain(name) for name in unknown})[: problems.ERRORS_MAX]
        raise ProblemError(
            422,
            "wrong_features",
            "columns has not exactly the features of the model.",
            unknown=shown,
            missing=missing,
        )
    lengths = {len(column) for column in asked.columns.values()}
    if len(lengths) > 1:
        raise ProblemError(
            422,
            "wrong_shape",
            f"The columns have from {min(lengths)} to {max(lengths)} rows.",
            "Give all the same.",
        )
    if max(lengths) > rows_max:
        raise ProblemError(
            422,
            "too_many_rows",
            f"{max(lengths)} rows asked, at most {rows_max} are answered at once.",
        )
    return np.array([asked.columns[name] for name in model.features], dtype=np.float64).T


def ready(service: Service) -> Predictor:
    """The predictor. Raises ProblemError 503 while there is no model."""
    if service.predictor is None:
        hint = "Train and promote one with `tick train tick`; the API takes it up by itself."
        headers = {"Retry-After": str(max(1, round(service.settings.model_retry_s)))}
        raise ProblemError(503, "no_model", service.model_note, hint, headers)
    return service.predictor


def keep(
    service: Service,
    predictor: Predictor,
    answers: list[Answer],
    request_id: str,
    served_at_us: int,
) -> None:
    """Count every answer and record those with a prediction."""
    for answer in answers:
        service.metrics.results.labels(answer.status.value).inc()
        if answer.verdict.age_s is not None:
            service.metrics.age.observe(answer.verdict.age_s)
        if answer.status is Status.OK:
            service.metrics.stale.inc(bool(answer.verdict.stale))
            service.recorder.record(
                answer.symbol, predictor.record(answer, request_id, served_at_us)
            )


def _check_count(asked: PredictRequest, limits: Settings) -> None:
    count = len(asked.symbols or asked.rows or ())
    if count > limits.symbols_max:
        raise ProblemError(
            422,
            "too_many_symbols",
            f"{count} symbols asked, at most {limits.symbols_max} are answered at once.",
        )


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


def _refuse_together(answers: list[Answer], results: list[dict[str, Any]]) -> None:
    """Raise ProblemError when every symbol is refused with the same HTTP status."""
    kinds = {answer.status.http for answer in answers}
    if len(kinds) > 1 or kinds == {200}:
        return
    first = answers[0]
    headers = (
        {"Retry-After": str(min(answer.verdict.retry_after_s or 1 for answer in answers))}
        if kinds == {503}
        else None
    )
    raise ProblemError(
        first.status.http,
        first.status.value,
        first.verdict.reason,
        headers=headers,
        results=results,
    )
