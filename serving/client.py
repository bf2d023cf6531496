"""A Python client of the API: typed predictions, timeouts, and retries of transient failures.

>>> client = Client("http://127.0.0.1:7230", key)
>>> client.predict("BINANCE:BTCUSDT")[0].prediction_bps
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from contracts.errors import ServiceError

TRANSIENT_CODES = frozenset({"overloaded", "store_unreachable", "rate_limited", "no_answer"})
RETRY_AFTER_S_MAX = 5.0
RETRY_AFTER_S_DEFAULT = 1.0  # of a response without a valid Retry-After
CONNECT_RETRY_S = 0.1


class ApiError(ServiceError):
    """A refused request: the HTTP `status` (0 = no response), a `code` for programs, and the
    `results` per symbol, if there are any.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after_s: float) -> None:
        field_errors = "; ".join(
            f"{error['field']}: {error['message']}" for error in problem.get("errors", ())
        )
        super().__init__(
            f"{problem.get('detail', 'refused')} {field_errors}".strip(),
            str(problem.get("hint", "")),
        )
        self.status = status
        self.code = str(problem.get("code", ""))
        self.retry_after_s = retry_after_s
        self.results: list[dict[str, Any]] = list(problem.get("results", ()))


@dataclass(frozen=True, slots=True)
class Prediction:
    """The result for one symbol: `prediction_bps` (expected log return over `horizon_s`) when
    `status` is ok, else a `reason`.
    """

    symbol: str
    status: str
    reason: str | None = None
    prediction_bps: float | None = None
    horizon_s: int | None = None
    model_name: str | None = None
    model_version: str | None = None
    feature_time_us: int | None = None
    age_s: float | None = None
    stale: bool | None = None
    note: str | None = None
    features: dict[str, float | None] | None = None

    @classmethod
    def from_result(cls, result: Mapping[str, Any]) -> "Prediction":
        """From a result of the API. Unknown fields, of a newer API, are ignored."""
        return cls(
            **{field.name: result[field.name] for field in fields(cls) if field.name in result}
        )


class Client:
    """A client of one API, safe to use from several threads.

    `timeout_s` applies to each attempt; transient failures are attempted `tries` times.
    """

    def __init__(self, url: str, key: str, timeout_s: float = 5.0, tries: int = 3) -> None:
        self.url = url.rstrip("/")
        self.timeout_s = timeout_s
        self._key = key
        self._attempts = Retrying(
            stop=stop_after_attempt(tries),
            retry=retry_if_exception(_is_transient),
            wait=_wait_s,
            reraise=True,
        )

    def predict(self, *symbols: str, features: bool = False) -> list[Prediction]:
        """One prediction per symbol, in order; `status` tells why a symbol has none.

        Raises ApiError when the request as a whole is refused.
        """
        results = self.predict_json(symbols, features)["results"]
        return [Prediction.from_result(result) for result in results]

    def predict_json(self, symbols: Sequence[str], features: bool = False) -> dict[str, Any]:
        """The JSON of /predict, with `results` even when all symbols were refused."""
        body = {"symbols": list(symbols), "include_features": features}
        try:
            return self._request_json("POST", "/predict", body)
        except ApiError as error:
            if not error.results:
                raise
            return {"results": error.results}

    def batch(self, columns: Mapping[str, Sequence[float]]) -> list[float]:
        """Predictions in basis points for many rows of feature values, given by column."""
        response = self._request_json("POST", "/predict/batch", {"columns": dict(columns)})
        return list(response["predictions_bps"])

    def features(self, symbol: str) -> dict[str, Any]:
        """The online features of a symbol, with their times, age and status."""
        return self._request_json("GET", f"/v1/features/{urllib.parse.quote(symbol, safe=':/')}")

    def infer(self, model: str, rows: Sequence[Any]) -> list[Any]:
        """Predictions of any served model for rows of numbers (Open Inference Protocol), as a flat
        list.
        """
        tensor = {"name": "input", "shape": _shape(rows), "datatype": "FP64", "data": rows}
        response = self._request_json("POST", f"/v2/models/{model}/infer", {"inputs": [tensor]})
        return list(response["outputs"][0]["data"])

    def stream(self, *symbols: str) -> Iterator[Prediction]:
        """Predictions as their features change, until the API ends the stream."""
        query = urllib.parse.urlencode([("symbols", symbol) for symbol in symbols])
        with self._open("GET", f"/v1/predictions/stream?{query}", None) as response:
            for line in response:
                if line.startswith(b"data: "):
                    yield Prediction.from_result(json.loads(line[6:]))

    def _request_json(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        for attempt in self._attempts:
            with attempt, self._open(method, path, body) as response:
                document: dict[str, Any] = json.load(response)
        return document

    def _open(self, method: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-API-Key": self._key, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        try:
            return urllib.request.urlopen(request, timeout=self.timeout_s)
        except urllib.error.HTTPError as error:
            raise _to_api_error(error) from None
        except OSError as error:
            problem = {
                "code": "no_answer",
                "detail": f"the API on {self.url} does not answer: {error}",
                "hint": "start it with `tick serve --background`",
            }
            raise ApiError(0, problem, CONNECT_RETRY_S) from error


def _shape(rows: Sequence[Any]) -> list[int]:
    shape: list[int] = []
    level: Any = rows
    while isinstance(level, Sequence):
        shape.append(len(level))
        level = level[0]
    return shape


def _to_api_error(response: urllib.error.HTTPError) -> ApiError:
    try:
        problem = json.loads(response.read())
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {
            "detail": "the response is not a problem document",
            "hint": "check that no other service listens on that port",
        }
    retry_after = response.headers.get("Retry-After", "")
    retry_after_s = float(retry_after) if retry_after.isdigit() else RETRY_AFTER_S_DEFAULT
    return ApiError(response.code, problem, retry_after_s)


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, ApiError) and error.code in TRANSIENT_CODES


def _wait_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return min(error.retry_after_s, RETRY_AFTER_S_MAX) if isinstance(error, ApiError) else 0.0
