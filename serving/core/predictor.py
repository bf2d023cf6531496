"""Features and a model to answers, one per symbol; knows nothing of HTTP. A symbol without a sound
answer gets a reason.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np

from contracts.config.settings import Settings
from feature_store.online.reader import FeatureRow, OnlineReader, OnlineStoreUnavailable
from models.runtime import Model
from serving.core.freshness import Verdict, judge
from serving.core.micro_batch import MicroBatcher
from serving.core.status import Status

BPS = 1e4
SYNTHETIC = {"synthetic": "SYNTH"}


@dataclass(frozen=True, slots=True)
class Answer:
    """One symbol's answer: the verdict on its features, the values used, and for status ok the
    prediction in basis points.
    """

    symbol: str
    verdict: Verdict
    features: Mapping[str, float | None] | None = None
    prediction_bps: float | None = None
    event_times_us: Mapping[str, int | None] | None = None
    known_at_us: int | None = None
    model: Model | None = None

    @property
    def status(self) -> Status:
        """Status of the verdict."""
        return self.verdict.status


class UnknownFeaturesError(ValueError):
    """Features in a request are not the model's: `unknown` and `missing` names of row `index`."""

    def __init__(self, index: int, unknown: tuple[str, ...], missing: tuple[str, ...]) -> None:
        super().__init__(index, unknown, missing)
        self.index, self.unknown, self.missing = index, unknown, missing


class Predictor:
    """Answers for symbols (features read from the online store) and for rows (features given)."""

    def __init__(self, settings: Settings, reader: OnlineReader, model: Model) -> None:
        self.settings, self.reader, self.model = settings, reader, model
        self.venues = trained_venues(model.trained_on)
        self._names = frozenset(model.features)
        self._batches = MicroBatcher(self._online, settings.micro_batch_symbols_max)

    async def for_symbols(self, symbols: Sequence[str], now_us: int) -> list[Answer]:
        """One answer per symbol, in order, as of `now_us`, or of the newest of the requests that
        came with this one.
        """
        return await self._batches.ask(symbols, now_us)

    async def _online(self, symbols: Sequence[str], now_us: int) -> dict[str, Answer]:
        try:
            rows = await self.reader.read(symbols, now_us)
            known = any(row.found for row in rows) or await self.reader.heartbeat_ms() is not None
        except OnlineStoreUnavailable:
            verdict = Verdict(
                Status.STORE_UNREACHABLE, "the online feature store does not answer", (), 1
            )
            return {symbol: Answer(symbol, verdict) for symbol in symbols}
        if not known:
            reason = "the online feature store is empty: nothing was written since it started"
            return {
                symbol: Answer(
                    symbol, Verdict(Status.STORE_EMPTY, reason, (), self.settings.retry_after_s)
                )
                for symbol in symbols
            }
        return {answer.symbol: answer for answer in self._answer(symbols, rows, now_us)}

    def for_rows(self, rows: Sequence[tuple[str, Mapping[str, float]]]) -> list[Answer]:
        """One answer per (symbol, features), in order. Raises UnknownFeaturesError for unknown or
        missing names.
        """
        for index, (_, features) in enumerate(rows):
            if features.keys() != self._names:
                unknown = tuple(sorted(features.keys() - self._names))
                raise UnknownFeaturesError(
                    index, unknown, tuple(n for n in self.model.features if n not in features)
                )
        return self._predict(
            [Answer(symbol, Verdict(Status.OK), features) for symbol, features in rows]
        )

    def _answer(
        self, symbols: Iterable[str], rows: Iterable[FeatureRow], now_us: int
    ) -> list[Answer]:
        judged = []
        for symbol, row in zip(symbols, rows, strict=True):
            verdict = judge(row, self.model.features, self.settings, now_us)
            values = dict(zip(self.model.features, row.values, strict=True)) if row.found else None
            judged.append(Answer(symbol, verdict, values, None, row.event_time_us, row.known_at_us))
        return self._predict(judged)

    def _predict(self, answers: Sequence[Answer]) -> list[Answer]:
        """Fill in the predictions of all sound answers with one call of the model."""
        sound = [
            answer.features
            for answer in answers
            if answer.status is Status.OK and answer.features is not None
        ]
        if not sound:
            return list(answers)
        names = self.model.features
        matrix = np.array(
            [[features[name] for name in names] for features in sound], dtype=np.float64
        )
        predicted = iter(self.model.predict(matrix).tolist())
        return [
            self._with(answer, next(predicted)) if answer.status is Status.OK else answer
            for answer in answers
        ]

    def again(self, answers: Sequence[Answer]) -> list[Answer]:
        """The same questions answered by this model, on the very features that were read for
        another one.
        """
        return self._predict(answers)

    def _with(self, answer: Answer, log_return: float) -> Answer:
        verdict: Verdict = answer.verdict
        forecast_bps: float | None = log_return * BPS
        if not math.isfinite(log_return):
            reason = "the model gave no finite number for these features"
            verdict, forecast_bps = (
                Verdict(Status.MODEL_FAILED, reason, (), None, verdict.event_time_us),
                None,
            )
        # Not `replace`, which takes a fourteenth of a request's time.
        return Answer(
            answer.symbol,
            verdict,
            answer.features,
            forecast_bps,
            answer.event_times_us,
            answer.known_at_us,
            self.model,
        )

    def result(self, answer: Answer, include_features: bool) -> dict[str, Any]:
        """The answer as the API shows it; fields that do not apply are left out."""
        verdict = answer.verdict
        fields: dict[str, Any] = {
            "symbol": answer.symbol,
            "status": answer.status.value,
            "reason": verdict.reason or None,
            "missing": list(verdict.missing) or None,
            "retry_after_s": verdict.retry_after_s,
            "feature_time": _iso(verdict.event_time_us),
            "feature_time_us": verdict.event_time_us,
            "age_s": verdict.age_s,
            "stale": verdict.stale,
            "features": answer.features if include_features else None,
        }
        if answer.model is not None and answer.status is Status.OK:
            fields |= self._prediction(answer, answer.model)
        return {name: value for name, value in fields.items() if value is not None}

    def _prediction(self, answer: Answer, model: Model) -> dict[str, Any]:
        venue = answer.symbol.partition(":")[0]
        ours = venue in (self.venues if model is self.model else trained_venues(model.trained_on))
        return {
            "prediction_bps": answer.prediction_bps,
            "horizon_s": model.horizon_s,
            "model_name": model.name,
            "model_version": model.version,
            "trained_on_this_venue": ours,
            "note": (
                None
                if ours
                else (
                    f"the model was trained on {model.trained_on or 'unknown'} ticks, not on those"
                    f" of {venue}"
                )
            ),
        }

    def record(
        self, answer: Answer, request_id: str, served_at_us: int, shadow: bool = False
    ) -> dict[str, Any]:
        """The answer as topic `predictions` keeps it; one of the shadow was given to no one."""
        model = answer.model or self.model
        return {
            "request_id": request_id,
            "symbol": answer.symbol,
            "served_at_us": served_at_us,
            "source": (
                "request" if answer.event_times_us is None else "shadow" if shadow else "online"
            ),
            "event_times_us": answer.event_times_us,
            "known_at_us": answer.known_at_us,
            "age_s": answer.verdict.age_s,
            "stale": answer.verdict.stale,
            "model_name": model.name,
            "model_version": model.version,
            "prediction_bps": answer.prediction_bps,
            "features": answer.features,
        }


def trained_venues(trained_on: str) -> frozenset[str]:
    """The venues of a manifest's `trained_on`: their names, or "synthetic" for the synthetic
    exchange.
    """
    return frozenset(SYNTHETIC.get(name, name) for name in re.split(r"[,\s]+", trained_on) if name)


def _iso(time_us: int | None) -> str | None:
    return None if time_us is None else f"{_second(time_us // 1_000_000)}.{time_us % 1_000_000:06}Z"


@lru_cache(maxsize=1024)  # features of one second are asked for again and again
def _second(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
