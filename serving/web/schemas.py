"""Request and response models of the API: strict types, finite numbers, no extra fields. The
OpenAPI document is generated from them.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, model_validator
from pydantic.config import JsonDict

from contracts.features import CORE
from serving.core.freshness import FLOAT32_MAX
from serving.core.status import Status

SYMBOL_PATTERN = r"^[A-Za-z0-9_.\-]{1,32}:[A-Za-z0-9_./\-]{1,32}$"
# Validated before any lookup, so that no arbitrary text reaches Redis.
Symbol = Annotated[str, StringConstraints(pattern=SYMBOL_PATTERN, max_length=65)]
# Models compute in single precision: a value that does not fit is refused, with its field name.
FeatureValue = Annotated[FiniteFloat, Field(ge=-FLOAT32_MAX, le=FLOAT32_MAX)]
FeatureName = Annotated[str, StringConstraints(max_length=64)]

_ROW_EXAMPLE: JsonDict = {"symbol": "BINANCE:BTCUSDT", "features": {name: 0.0 for name in CORE}}
_RESULT_EXAMPLE: JsonDict = {
    "symbol": "BINANCE:BTCUSDT",
    "status": "ok",
    "prediction_bps": 0.83,
    "horizon_s": 60,
    "model_name": "tick-model",
    "model_version": "3",
    "feature_time": "2026-01-05T12:00:01.000000Z",
    "feature_time_us": 1767614401000000,
    "age_s": 0.42,
    "stale": False,
    "trained_on_this_venue": False,
    "note": "the model was trained on synthetic ticks, not on ticks of BINANCE",
}
_REFUSED_EXAMPLE: JsonDict = {
    "symbol": "BINANCE:NOPE",
    "status": "unknown_symbol",
    "reason": "no features of this symbol within the last 24 h",
}


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Row(_Strict):
    """One symbol with feature values from the caller: all features of the model, by name."""

    symbol: Symbol
    features: dict[FeatureName, FeatureValue] = Field(
        description="all features of the model; unknown and missing names are an error"
    )


class PredictRequest(_Strict):
    """Either `symbols` (features from the online store) or `rows` (features in the request); at
    most `symbols_max` of either.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"symbols": ["BINANCE:BTCUSDT", "BINANCE:ETHUSDT"], "include_features": False},
                {"rows": [_ROW_EXAMPLE]},
            ]
        }
    )

    symbols: list[Symbol] | None = Field(
        None, min_length=1, description="VENUE:SYMBOL; one result per item, duplicates included"
    )
    rows: list[Row] | None = Field(None, min_length=1)
    include_features: bool = Field(False, description="include the feature values in the results")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.symbols is None) == (self.rows is None):
            raise ValueError("give either symbols or rows")
        return self


class Result(_Strict):
    """The result for one symbol: a prediction when `status` is ok, else a `reason`. Fields that do
    not apply are absent.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_RESULT_EXAMPLE, _REFUSED_EXAMPLE]})

    symbol: str
    status: Status = Field(strict=False)
    reason: str | None = Field(None, description="why there is no prediction")
    missing: list[str] | None = Field(None, description="features without a value")
    retry_after_s: int | None = Field(None, description="seconds after which a retry may succeed")
    prediction_bps: FiniteFloat | None = Field(
        None, description="expected log return over the horizon, in basis points"
    )
    horizon_s: int | None = None
    model_name: str | None = None
    model_version: str | None = None
    feature_time: str | None = Field(
        None, description="event time (UTC) of the newest features used"
    )
    feature_time_us: int | None = None
    age_s: FiniteFloat | None = Field(
        None, description="age of the features at the time of the answer"
    )
    stale: bool | None = Field(
        None, description="older than the freshness limit, but not too old to be served"
    )
    trained_on_this_venue: bool | None = None
    note: str | None = None
    features: dict[str, FiniteFloat | None] | None = None


class PredictResponse(_Strict):
    """One result per requested symbol, in order."""

    request_id: str
    served_at_us: int
    results: list[Result]


class BatchRequest(_Strict):
    """Many rows of feature values, by column: all features of the model, with columns of equal
    length.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"columns": {name: [0.0, 0.1] for name in CORE}}]}
    )

    columns: dict[FeatureName, list[FeatureValue]] = Field(min_length=1)


class BatchResponse(_Strict):
    """One prediction per row, in order."""

    model_name: str
    model_version: str
    horizon_s: int
    predictions_bps: list[FiniteFloat] = Field(
        description="expected log return over the horizon, in basis points"
    )


class FeaturesResponse(_Strict):
    """The online features of one symbol, and whether a prediction can be made from them."""

    symbol: str
    status: Status = Field(strict=False)
    reason: str | None = None
    age_s: FiniteFloat | None = None
    stale: bool | None = None
    event_times_us: dict[str, int | None]
    warm_s: int = Field(
        description="seconds since the symbol's first row, capped at one hour; least of all views"
    )
    features: dict[str, FiniteFloat | None]


class Tensor(_Strict):
    """An input tensor: numbers as a flat list in row-major order, or nested lists."""

    name: str = Field(max_length=256)
    shape: list[Annotated[int, Field(ge=1, le=100_000)]] = Field(min_length=1, max_length=5)
    datatype: Literal["FP64", "FP32", "INT64", "INT32", "UINT8"]
    parameters: dict[str, Any] | None = None
    data: list[Any]


class InferRequest(_Strict):
    """One input tensor. The protocol's `outputs` and `parameters` are accepted and ignored."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "inputs": [
                        {
                            "name": "input",
                            "shape": [1, len(CORE)],
                            "datatype": "FP64",
                            "data": [0.0] * len(CORE),
                        }
                    ]
                }
            ]
        }
    )

    id: str | None = Field(None, max_length=128)
    parameters: dict[str, Any] | None = None
    inputs: list[Tensor] = Field(min_length=1, max_length=1)
    outputs: list[dict[str, Any]] | None = Field(None, max_length=16)


class OutputTensor(_Strict):
    """An output tensor, flat in row-major order."""

    name: str
    shape: list[int]
    datatype: str
    data: list[FiniteFloat]


class InferResponse(_Strict):
    """One output tensor: a number per row, or a probability per label."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class ServerMetadata(_Strict):
    """Name and version of the server."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(_Strict):
    """Type and shape of a tensor; -1 = any length."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(_Strict):
    """Inputs and outputs of a model; `features` and `labels` name the positions of the last
    dimension, where they have names.
    """

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    features: list[str]
    labels: list[str]
    trained_on: str


class ProblemDocument(BaseModel):
    """RFC 9457 problem document; `code` is for programs, `hint` for people."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str | None = None


class Check(_Strict):
    """One readiness check. Only a `required` check makes the API unready."""

    name: Literal["model", "redis", "pipeline", "job"]
    ok: bool
    required: bool = True
    detail: str


class Readiness(_Strict):
    """All readiness checks; `ready` when every required check is ok."""

    ready: bool
    checks: list[Check]
