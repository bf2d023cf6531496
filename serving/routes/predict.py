"""POST /predict and /predict/batch."""

from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.background import BackgroundTask
from starlette.responses import Response

from contracts.clock import now_us
from models.runtime import Model
from serving.core.answer import Answer
from serving.core.predictor import BPS, Predictor, UnknownFeaturesError
from serving.core.status import Status
from serving.state.recorder import prediction_record
from serving.state.service import Service
from serving.state.shadow import record_shadow, route_to_challenger
from serving.web import problems
from serving.web.problems import ProblemError, sanitize_name
from serving.web.request_id import REQUEST_ID_KEY
from serving.web.results import result_fields
from serving.web.schemas import BatchRequest, BatchResponse, PredictRequest, PredictResponse
from serving.web.strict_json import StrictRoute

BATCH = "/predict/batch"
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "At least one symbol has a prediction, or the symbols were refused for different"
            " reasons: see the `status` of each."
        )
    },
    404: {"description": "All symbols are unknown; `results` has each.", **problems.SCHEMA},
    503: {
        "description": (
            "There are no features or there is no model: see `code`. Retry-After says when to"
            " retry."
        ),
        **problems.SCHEMA,
    },
}
BATCH_RESPONSES: dict[int | str, dict[str, Any]] = {
    503: {"description": "There is no model.", **problems.SCHEMA}
}

router = APIRouter(route_class=StrictRoute, tags=["prediction"])


@router.post("/predict", response_model=PredictResponse, responses=RESPONSES)
async def predict(body: PredictRequest, request: Request) -> Response:
    """Expected return over the horizon, per symbol, by the Production model, or by its challenger
    for a share of the symbols (TICK_CHALLENGER_SHARE): on online features, or on features in the
    request.

    When all symbols are refused with the same HTTP status, the response has it: 404 or 503.
    Otherwise the response is 200 with one `status` per symbol. Features older than the freshness
    limit are marked `stale: true`; features that are too old or missing are refused, never
    imputed.
    """
    service: Service = request.app.state.service
    _check_symbol_count(body, service.settings.symbols_max)
    predictor = get_predictor(service)
    served_at_us = now_us()
    if body.symbols is not None:
        answers = await predictor.predict_symbols(body.symbols, served_at_us)
        answers = route_to_challenger(service, answers)
    else:
        answers = _predict_rows(predictor, body)
    request_id = request.scope[REQUEST_ID_KEY]
    record_answers(service, answers, request_id, served_at_us)
    results = [result_fields(answer, body.include_features) for answer in answers]
    _raise_if_all_refused(answers, results)
    content = orjson.dumps(
        {"request_id": request_id, "served_at_us": served_at_us, "results": results}
    )
    shadow_task = None
    if service.models.challenger is not None:
        shadow_task = BackgroundTask(record_shadow, service, answers, request_id, served_at_us)
    return Response(content, media_type="application/json", background=shadow_task)


@router.post(BATCH, response_model=BatchResponse, responses=BATCH_RESPONSES)
async def batch(body: BatchRequest, request: Request) -> Response:
    """Many rows of feature values at once, by column: one prediction per row, in order. For offline
    scoring, not for live symbols.
    """
    service: Service = request.app.state.service
    model = get_predictor(service).model
    matrix = _to_matrix(body.columns, model, service.settings.batch_rows_max)
    fields = {
        "model_name": model.name,
        "model_version": model.version,
        "horizon_s": model.horizon_s,
        "predictions_bps": (model.predict(matrix) * BPS).tolist(),
    }
    return Response(orjson.dumps(fields), media_type="application/json")


def get_predictor(service: Service) -> Predictor:
    """The predictor of the Production model. Raises ProblemError 503 while there is none."""
    if service.models.production is None:
        retry_after_s = max(1, round(service.settings.model_retry_s))
        raise ProblemError(
            503,
            "no_model",
            service.models.explanation,
            "Train and promote one with `tick train tick`; the API then serves it by itself.",
            {"Retry-After": str(retry_after_s)},
        )
    return service.models.production


def record_answers(
    service: Service, answers: list[Answer], request_id: str, served_at_us: int
) -> None:
    """Count all answers in the metrics, and record those with a prediction."""
    for answer in answers:
        service.metrics.results.labels(answer.status.value).inc()
        if answer.outcome.age_s is not None:
            service.metrics.feature_age.observe(answer.outcome.age_s)
        if answer.status is Status.OK:
            service.metrics.stale.inc(bool(answer.outcome.stale))
            service.recorder.record(prediction_record(answer, request_id, served_at_us))


def _check_symbol_count(body: PredictRequest, symbols_max: int) -> None:
    count = len(body.symbols or body.rows or ())
    if count > symbols_max:
        detail = f"{count} symbols requested, at most {symbols_max} are allowed."
        raise ProblemError(422, "too_many_symbols", detail)


def _predict_rows(predictor: Predictor, body: PredictRequest) -> list[Answer]:
    rows = [(row.symbol, row.features) for row in body.rows or ()]
    try:
        return predictor.predict_rows(rows)
    except UnknownFeaturesError as error:
        raise _wrong_features(f"rows[{error.index}]", error) from None


def _to_matrix(columns: dict[str, list[float]], model: Model, rows_max: int) -> NDArray[np.float64]:
    """The columns as a matrix in the order of the model's features. Raises ProblemError 422 when
    names, lengths or number of rows are wrong.
    """
    if columns.keys() != set(model.features):
        raise _wrong_features("columns", UnknownFeaturesError(columns, model.features))
    rows = _count_rows(columns)
    if rows > rows_max:
        detail = f"{rows} rows requested, at most {rows_max} are allowed."
        raise ProblemError(422, "too_many_rows", detail)
    return np.array([columns[name] for name in model.features], dtype=np.float64).T


def _count_rows(columns: dict[str, list[float]]) -> int:
    """The length of all columns. Raises ProblemError 422 when they differ."""
    lengths = set(map(len, columns.values()))
    if len(lengths) > 1:
        raise ProblemError(
            422,
            "wrong_shape",
            f"The columns have from {min(lengths)} to {max(lengths)} rows.",
            "Send columns of equal length.",
        )
    return lengths.pop()


def _wrong_features(where: str, error: UnknownFeaturesError) -> ProblemError:
    return ProblemError(
        422,
        "wrong_features",
        f"The feature names in {where} are not those of the model.",
        unknown=sorted({sanitize_name(name) for name in error.unknown})[: problems.ERRORS_MAX],
        missing=list(error.missing),
    )


def _raise_if_all_refused(answers: list[Answer], results: list[dict[str, Any]]) -> None:
    """Raise ProblemError when all symbols are refused with the same HTTP status."""
    http_statuses = {answer.status.http for answer in answers}
    if len(http_statuses) > 1 or http_statuses == {200}:
        return
    first = answers[0]
    raise ProblemError(
        first.status.http,
        first.status.value,
        first.outcome.reason,
        headers=_retry_after(answers) if first.status.http == 503 else None,
        results=results,
    )


def _retry_after(answers: list[Answer]) -> dict[str, str]:
    """The header Retry-After with the shortest time after which a symbol may have a prediction."""
    return {"Retry-After": str(min(answer.outcome.retry_after_s or 1 for answer in answers))}
