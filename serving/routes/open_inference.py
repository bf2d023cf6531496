"""The Open Inference Protocol, version 2 (KServe, Triton, MLServer): every model of the registry by
its name, tensors in and out.
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
from serving.routes.health import readiness
from serving.state.service import Service
from serving.web import problems
from serving.web.problems import ProblemError
from serving.web.schemas import InferRequest, InferResponse, ModelMetadata, ServerMetadata
from serving.web.strict_json import StrictRoute

UNKNOWN: dict[int | str, dict[str, Any]] = {
    404: {"description": "No model of that name is served.", **problems.SCHEMA}
}
NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"description": "Not ready; the body says why.", **problems.SCHEMA}
}

router = APIRouter(prefix="/v2", route_class=StrictRoute, tags=["open inference protocol"])


@router.get("", response_model=ServerMetadata)
async def server() -> dict[str, Any]:
    """What this server is."""
    return {"name": "lakehouse-tick", "version": "0.1.0", "extensions": []}


@router.get("/health/live")
async def live() -> dict[str, bool]:
    """Whether it answers."""
    return {"live": True}


@router.get("/health/ready", responses=NOT_READY)
async def is_ready(request: Request) -> dict[str, bool]:
    """Whether it can predict: the same checks as /readyz."""
    found = await readiness(request.app.state.service)
    if not found.ready:
        failed = "; ".join(
            f"{check.name}: {check.detail}" for check in found.checks if not check.ok
        )
        raise ProblemError(503, "not_ready", failed, headers={"Retry-After": "1"})
    return {"ready": True}


@router.get("/models/{name}", response_model=ModelMetadata, responses=UNKNOWN)
async def metadata(name: str, request: Request) -> dict[str, Any]:
    """Name, version, and the form of what goes in and comes out."""
    model = find(request.app.state.service, name)
    sent = {"name": "input", "datatype": "FP64", "shape": [-1, *model.row_shape]}
    answer = {
        "name": "output",
        "datatype": "FP64",
        "shape": [-1, len(model.labels)] if model.labels else [-1],
    }
    known = {
        "features": list(model.features),
        "labels": list(model.labels),
        "trained_on": model.trained_on,
    }
    return {
        "name": name,
        "versions": [model.version],
        "platform": "onnx_or_lightgbm",
        "inputs": [sent],
        "outputs": [answer],
        **known,
    }


@router.get("/models/{name}/ready", responses=UNKNOWN)
async def model_ready(name: str, request: Request) -> dict[str, Any]:
    """Whether this model can be asked."""
    find(request.app.state.service, name)
    return {"name": name, "ready": True}


@router.post("/models/{name}/infer", response_model=InferResponse, responses=UNKNOWN)
async def infer(name: str, asked: InferRequest, request: Request) -> Response:
    """One tensor of rows in, one of answers out: log returns or kW per row, or a probability per
    label.
    """
    service: Service = request.app.state.service
    model = find(service, name)
    rows = _rows(asked, model, service.settings.batch_rows_max)
    try:
        answers = await asyncio.to_thread(
            model.predict, rows
        )  # a network may take long: others are answered meanwhile
    except MatrixError as error:
        raise ProblemError(422, "wrong_tensor", error.message, error.hint) from None
    if not np.isfinite(answers).all():
        raise ProblemError(
            503,
            "model_failed",
            "The model gave no finite number for these rows.",
            headers={"Retry-After": "1"},
        )
    tensor = {
        "name": "output",
        "shape": list(answers.shape),
        "datatype": "FP64",
        "data": answers.ravel().tolist(),
    }
    told = {"model_name": name, "model_version": model.version, "outputs": [tensor]}
    return Response(
        orjson.dumps(told | ({"id": asked.id} if asked.id is not None else {})),
        media_type="application/json",
    )


def find(service: Service, name: str) -> Model:
    """The served model of that name. Raises ProblemError 404."""
    known = dict(service.others)
    if service.predictor is not None:
        known[service.settings.model_name] = service.predictor.model
    if name not in known:
        raise ProblemError(
            404,
            "unknown_model",
            "No model of that name is served.",
            f"Served are: {', '.join(sorted(known)) or 'none'}.",
        )
    return known[name]


def _rows(asked: InferRequest, model: Model, rows_max: int) -> NDArray[np.float64]:
    """The one tensor as rows. Raises ProblemError 422 when shape, number of values or number of
    rows do not fit.
    """
    tensor, expected = asked.inputs[0], model.row_shape
    if tuple(tensor.shape[1:]) != expected:
        raise ProblemError(
            422, "wrong_tensor", f"The model takes the shape [-1, {', '.join(map(str, expected))}]."
        )
    if tensor.shape[0] > rows_max:
        raise ProblemError(
            422,
            "too_many_rows",
            f"{tensor.shape[0]} rows asked, at most {rows_max} are answered at once.",
        )
    values = list(_flat(tensor.data))
    if len(values) != math.prod(tensor.shape):
        raise ProblemError(
            422,
            "wrong_tensor",
            f"The shape wants {math.prod(tensor.shape)} values, data has {len(values)}.",
        )
    return np.array(values, dtype=np.float64).reshape(tensor.shape)


def _flat(data: Any, depth: int = 0) -> Iterator[float]:
    """Every number of flat or nested data, row by row."""
    for each in data:
        if isinstance(each, list) and depth < 4:
            yield from _flat(each, depth + 1)
        elif isinstance(each, int | float) and not isinstance(each, bool) and abs(each) <= 1e300:
            yield float(each)
        else:
            raise ProblemError(422, "wrong_tensor", "data holds something that is not a number.")
