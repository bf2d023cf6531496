"""The API from Python: typed answers, time-outs, and retries of what may be well again in a moment.

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

RETRIED = frozenset({"overloaded", "store_unreachable", "rate_limited", "no_answer"})
PAUSE_S_MAX = 5.0


class ApiError(ServiceError):
    """A refusal of the API: HTTP `status` (0: no one answered), `code` for programs, `results` per
    symbol where it has them.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after_s: float) -> None:
        told = "; ".join(
            f"{error['field']}: {error['message']}" for error in problem.get("errors", ())
        )
        super().__init__(
            f"{problem.get('detail', 'refused')} {told}".strip(), str(problem.get("hint", ""))
        )
        self.status, self.code, self.retry_after_s = (
            status,
            str(problem.get("code", "")),
            retry_after_s,
        )
        self.results: list[dict[str, Any]] = list(problem.get("results", ()))


@dataclass(frozen=True, slots=True)
class Prediction:
    """One symbol's answer; `prediction_bps` (expected log return over `horizon_s`) when `status` is
    ok, else a `reason`.
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
    def of(cls, result: Mapping[str, Any]) -> "Prediction":
        """From a result of the API; what a newer one says besides is left out."""
        return cls(
            **{field.name: result[field.name] for field in fields(cls) if field.name in result}
        )


class Client:
    """Asks one API. `timeout_s` for each try, `tries` of what fails for the moment. Safe to use
    from several threads.
    """

    def __init__(self, url: str, key: str, timeout_s: float = 5.0, tries: int = 3) -> None:
        self.url, self._key, self.timeout_s = url.rstrip("/"), key, timeout_s
        self._again = Retrying(
            stop=stop_after_attempt(tries),
            retry=retry_if_exception(_passing),
            wait=_pause,
            reraise=True,
        )

    def predict(self, *symbols: str, features: bool = False) -> list[Prediction]:
        """An answer per symbol, in order; refused ones are answers, too. Raises ApiError when the
        request itself is refused.
        """
        return [Prediction.of(result) for result in self.ask(symbols, features)["results"]]

    def ask(self, symbols: Sequence[str], features: bool = False) -> dict[str, Any]:
        """The document that `predict` reads."""
        try:
            return self._json(
                "POST", "/predict", {"symbols": list(symbols), "include_features": features}
            )
        except ApiError as refused:
            if not refused.results:
                raise
            return {"results": refused.results}

    def batch(self, columns: Mapping[str, Sequence[float]]) -> list[float]:
        """Forecasts in basis points of many rows of given features, by column."""
        return list(
            self._json("POST", "/predict/batch", {"columns": dict(columns)})["predictions_bps"]
        )

    def features(self, symbol: str) -> dict[str, Any]:
        """What is online for a symbol: features, times, age and what they are good for."""
        return self._json("GET", f"/v1/features/{urllib.parse.quote(symbol, safe=':/')}")

    def infer(self, model: str, rows: Sequence[Any]) -> list[Any]:
        """Answers of any served model to rows of numbers (Open Inference Protocol), flat as the
        protocol gives them.
        """
        shape: list[int] = []
        probe: Any = rows
        while isinstance(probe, Sequence):
            shape.append(len(probe))
            probe = probe[0]
        tensor = {"name": "input", "shape": shape, "datatype": "FP64", "data": rows}
        return list(
            self._json("POST", f"/v2/models/{model}/infer", {"inputs": [tensor]})["outputs"][0][
                "data"
            ]
        )

    def stream(self, *symbols: str) -> Iterator[Prediction]:
        """Predictions as they become newer, until the API ends the stream."""
        asked = urllib.parse.urlencode([("symbols", symbol) for symbol in symbols])
        with self._open("GET", f"/v1/predictions/stream?{asked}", None) as answer:
            for line in answer:
                if line.startswith(b"data: "):
                    yield Prediction.of(json.loads(line[6:]))

    def _json(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        for attempt in self._again:
            with attempt, self._open(method, path, body) as answer:
                found: dict[str, Any] = json.load(answer)
        return found

    def _open(self, method: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-API-Key": self._key, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        try:
            return urllib.request.urlopen(request, timeout=self.timeout_s)
        except urllib.error.HTTPError as refused:
            raise _refusal(refused) from None
        except OSError as error:
            hint = "start it with `tick serve --background`"
            raise ApiError(
                0,
                {
                    "code": "no_answer",
                    "detail": f"the API on {self.url} does not answer: {error}",
                    "hint": hint,
                },
                0.1,
            ) from error


def _refusal(refused: urllib.error.HTTPError) -> ApiError:
    try:
        problem = json.loads(refused.read())
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {
            "detail": "the answer is not a problem document",
            "hint": "is something else on that port?",
        }
    after = refused.headers.get("Retry-After", "")
    return ApiError(refused.code, problem, float(after) if after.isdigit() else 1.0)


def _passing(error: BaseException) -> bool:
    return isinstance(error, ApiError) and error.code in RETRIED


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return min(error.retry_after_s, PAUSE_S_MAX) if isinstance(error, ApiError) else 0.0
