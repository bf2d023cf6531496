"""The Open Inference Protocol, version 2 (KServe, Triton, MLServer): all served models by name,
tensors as input and output.
"""

import asyncio
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.responses import Response

from models.runtime import MatrixError, Model
from serving.routes.health import check_readiness
from serving.state.service import Service
from serving.web import problems
from serving.web.problems import ProblemError
from serving.web.schemas import InferRequest, InferResponse, ModelMetadata, ServerMetadata
from serving.web.strict_json import StrictRoute

UNKNOWN_MODEL: dict[int | str, dict[str, Any]] = {
    404: {"description": "No model of that name is served.", **problems.SCHEMA}
}
NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"description": "Not ready; `detail` has the failed checks.", **problems.SCHEMA}
}
NESTING_MAX = 5  # dimensions of a tensor, as in `serving.web.schemas.Tensor`
VALUE_MAX = 1e300

router = APIRouter(prefix="/v2", route_class=StrictRoute, tags=["open inference protocol"])


@router.get("", response_model=ServerMetadata)
async def server() -> dict[str, Any]:
    """Name and version of the server."""
    return {"name": "lakehouse-tick", "version": "0.1.0", "extensions": []}


@router.get("/health/live")
async def live() -> dict[str, bool]:
    """Liveness: the process answers."""
    return {"live": True}


@router.get("/health/ready", responses=NOT_READY)
async def is_ready(request: Request) -> dict[str, bool]:
    """Readiness: the same checks as /readyz."""
    readiness = await check_readiness(request.app.state.service)
    if not readiness.ready:
        failures = "; ".join(
            f"{check.name}: {check.detail}" for check in readiness.checks if not check.ok
        )
        raise ProblemError(503, "not_ready", failures, headers={"Retry-After": "1"})
    return {"ready": True}


@router.get("/models/{name}", response_model=ModelMetadata, responses=UNKNOWN_MODEL)
async def metadata(name: str, request: Request) -> dict[str, Any]:
    """Version, inputs and outputs of a model."""
    model = get_model(request.app.state.service, name)
    input_shape = [-1, *model.row_shape]
    output_shape = [-1, len(model.labels)] if model.labels else [-1]
    return {
        "name": name,
        "versions": [model.version],
        "platform": "onnx_or_lightgbm",
        "inputs": [{"name": "input", "datatype": "FP64", "shape": input_shape}],
        "outputs": [{"name": "output", "datatype": "FP64", "shape": output_shape}],
        "features": list(model.features),
        "labels": list(model.labels),
        "trained_on": model.trained_on,
    }


@router.get("/models/{name}/ready", responses=UNKNOWN_MODEL)
async def model_ready(name: str, request: Request) -> dict[str, Any]:
    """Whether a model is served."""
    get_model(request.app.state.service, name)
    return {"name": name, "ready": True}


@router.post("/models/{name}/infer", response_model=InferResponse, responses=UNKNOWN_MODEL)
async def infer(name: str, body: InferRequest, request: Request) -> Response:
    """One tensor of rows as input, one tensor of predictions as output: a log return or kW per row,
    or a probability per label.
    """
    service: Service = request.app.state.service
    model = get_model(service, name)
    rows = _parse_rows(body, model, service.settings.batch_rows_max)
    try:
        # In a thread, because a neural network can take long and would block other requests.
        predictions = await asyncio.to_thread(model.predict, rows)
    except MatrixError as error:
        raise ProblemError(422, "wrong_tensor", error.message, error.hint) from None
    if not np.isfinite(predictions).all():
        raise ProblemError(
            503,
            "model_failed",
            "The model returned a number that is not finite for these rows.",
            headers={"Retry-After": "1"},
        )
    fields: dict[str, Any] = {
        "model_name": name,
        "model_version": model.version,
        "outputs": [
            {
                "name": "output",
                "shape": list(predictions.shape),
                "datatype": "FP64",
                "data": predictions.ravel().tolist(),
            }
        ],
    }
    if body.id is not None:
        fields["id"] = body.id
    return Response(orjson.dumps(fields), media_type="application/json")


def get_model(service: Service, name: str) -> Model:
    """The served model `name`. Raises ProblemError 404."""
    models = dict(service.models.others)
    if service.models.production is not None:
        models[service.settings.model_name] = service.models.production.model
    if name not in models:
        raise ProblemError(
            404,
            "unknown_model",
            "No model of that name is served.",
            f"Served models: {', '.join(sorted(models)) or 'none'}.",
        )
    return models[name]


def _parse_rows(body: InferRequest, model: Model, rows_max: int) -> NDArray[np.float64]:
    """The input tensor as rows of the model. Raises ProblemError 422 when it does not fit."""
    (tensor,) = body.inputs
    if tuple(tensor.shape[1:]) != model.row_shape:
        row_shape = ", ".join(map(str, model.row_shape))
        detail = f"The model takes the shape [-1, {row_shape}]."
        raise ProblemError(422, "wrong_tensor", detail)
    if tensor.shape[0] > rows_max:
        detail = f"{tensor.shape[0]} rows requested, at most {rows_max} are allowed."
        raise ProblemError(422, "too_many_rows", detail)
    values = list(_flatten(tensor.data))
    values_expected = math.prod(tensor.shape)
    if len(values) != values_expected:
        detail = f"The shape has {values_expected} values, data has {len(values)}."
        raise ProblemError(422, "wrong_tensor", detail)
    return np.array(values, dtype=np.float64).reshape(tensor.shape)


def _flatten(data: Any, depth: int = 1) -> Iterator[float]:
    """All numbers of flat or nested lists, in row-major order."""
    for item in data:
        if isinstance(item, list) and depth < NESTING_MAX:
            yield from _flatten(item, depth + 1)
        elif _is_number(item):
            yield float(item)
        else:
            raise ProblemError(422, "wrong_tensor", "data has a value that is not a number.")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= VALUE_MAX
