"""What goes in and out of the API: strict, finite, nothing extra; the OpenAPI page is made from
these.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, model_validator
from pydantic.config import JsonDict

from contracts.features import CORE
from serving.core.freshness import FLOAT32_MAX
from serving.core.status import Status

SYMBOL_PATTERN = r"^[A-Za-z0-9_.\-]{1,32}:[A-Za-z0-9_./\-]{1,32}$"
# Checked before anything is looked up, so that no odd text ever reaches the store.
Symbol = Annotated[str, StringConstraints(pattern=SYMBOL_PATTERN, max_length=65)]
# Models take single precision: what does not fit is refused here, by name.
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
    "note": "the model was trained on synthetic ticks, not on those of BINANCE",
}
_REFUSED_EXAMPLE: JsonDict = {
    "symbol": "BINANCE:NOPE",
    "status": "unknown_symbol",
    "reason": "no features were ever published",
}


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Row(_Strict):
    """One symbol with its features given by the caller: every feature of the model, by name,
    finite.
    """

    symbol: Symbol
    features: dict[FeatureName, FeatureValue] = Field(
        description="all features of the model; unknown or missing names are refused by name"
    )


class PredictRequest(_Strict):
    """Either `symbols` (features from the online store) or `rows` (features in the request); at
    most `symbols_max` of them.
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
        None, min_length=1, description="VENUE:SYMBOL; repeated symbols are answered each time"
    )
    rows: list[Row] | None = Field(None, min_length=1)
    include_features: bool = Field(
        False, description="answer with the feature values that were used"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.symbols is None) == (self.rows is None):
            raise ValueError("give either symbols or rows")
        return self


class Result(_Strict):
    """The answer for one symbol: a prediction when `status` is ok, else a `reason`; absent fields
    do not apply.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_RESULT_EXAMPLE, _REFUSED_EXAMPLE]})

    symbol: str
    status: Status = Field(strict=False)
    reason: str | None = Field(None, description="why there is no prediction")
    missing: list[str] | None = Field(None, description="features without a value")
    retry_after_s: int | None = Field(None, description="seconds after which asking again may help")
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
    age_s: FiniteFloat | None = Field(None, description="age of the features when answered")
    stale: bool | None = Field(
        None, description="older than the freshness limit, yet within policy"
    )
    trained_on_this_venue: bool | None = None
    note: str | None = None
    features: dict[str, FiniteFloat | None] | None = None


class PredictResponse(_Strict):
    """One result per symbol asked, in the order asked."""

    request_id: str
    served_at_us: int
    results: list[Result]


class BatchRequest(_Strict):
    """Rows of given features by column: every feature of the model, each with the same number of
    finite values.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"columns": {name: [0.0, 0.1] for name in CORE}}]}
    )

    columns: dict[FeatureName, list[FeatureValue]] = Field(min_length=1)


class BatchResponse(_Strict):
    """One forecast per row, in order."""

    model_name: str
    model_version: str
    horizon_s: int
    predictions_bps: list[FiniteFloat] = Field(
        description="expected log return over the horizon, in basis points"
    )


class FeaturesResponse(_Strict):
    """The features of one symbol as they are online, and what they are good for."""

    symbol: str
    status: Status = Field(strict=False)
    reason: str | None = None
    age_s: FiniteFloat | None = None
    stale: bool | None = None
    event_times_us: dict[str, int | None]
    warm_s: int = Field(description="seconds of unbroken history behind them, capped")
    features: dict[str, FiniteFloat | None]


class Tensor(_Strict):
    """Numbers, flat in row-major order or nested."""

    name: str = Field(max_length=256)
    shape: list[Annotated[int, Field(ge=1, le=100_000)]] = Field(min_length=1, max_length=5)
    datatype: Literal["FP64", "FP32", "INT64", "INT32", "UINT8"]
    parameters: dict[str, Any] | None = None
    data: list[Any]


class InferRequest(_Strict):
    """One input tensor; `outputs` and `parameters` of the protocol are accepted, and there is
    nothing to choose.
    """

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
    """Answers in row-major order."""

    name: str
    shape: list[int]
    datatype: str
    data: list[FiniteFloat]


class InferResponse(_Strict):
    """One tensor: a number per row, or a probability per label."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class ServerMetadata(_Strict):
    """What this server is."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(_Strict):
    """Form of a tensor; -1 is any number."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(_Strict):
    """What a model takes and gives; `features` and `labels` name the last dimension, where it has
    names.
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
    """One readiness check. One that is not `required` never makes the API unready."""

    name: Literal["model", "redis", "pipeline", "job"]
    ok: bool
    required: bool = True
    detail: str


class Readiness(_Strict):
    """All readiness checks; `ready` when each required one is ok."""

    ready: bool
    checks: list[Check]
