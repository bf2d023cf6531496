"""The JSON of an answer, as /predict, the event stream and the live page return it."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from models.runtime import Model
from serving.core.answer import Answer, Outcome, trained_venues
from serving.core.status import Status


def result_fields(answer: Answer, include_features: bool) -> dict[str, Any]:
    """The fields of `serving.web.schemas.Result`; fields that do not apply are absent."""
    fields = {"symbol": answer.symbol} | _outcome_fields(answer.outcome)
    if include_features:
        fields["features"] = answer.features
    if answer.model is not None and answer.status is Status.OK:
        fields |= _prediction_fields(answer, answer.model)
    return {name: value for name, value in fields.items() if value is not None}


def _outcome_fields(outcome: Outcome) -> dict[str, Any]:
    return {
        "status": outcome.status.value,
        "reason": outcome.reason or None,
        "missing": outcome.missing or None,
        "retry_after_s": outcome.retry_after_s,
        "feature_time": _format_time(outcome.event_time_us),
        "feature_time_us": outcome.event_time_us,
        "age_s": outcome.age_s,
        "stale": outcome.stale,
    }


def _prediction_fields(answer: Answer, model: Model) -> dict[str, Any]:
    venue = answer.symbol.partition(":")[0]
    is_trained_venue = venue in trained_venues(model.trained_on)
    note = None
    if not is_trained_venue:
        trained_on = model.trained_on or "unknown"
        note = f"the model was trained on {trained_on} ticks, not on ticks of {venue}"
    return {
        "prediction_bps": answer.prediction_bps,
        "horizon_s": model.horizon_s,
        "model_name": model.name,
        "model_version": model.version,
        "trained_on_this_venue": is_trained_venue,
        "note": note,
    }


def _format_time(time_us: int | None) -> str | None:
    """ISO 8601 in UTC with microseconds."""
    if time_us is None:
        return None
    return f"{_format_second(time_us // 1_000_000)}.{time_us % 1_000_000:06}Z"


@lru_cache(maxsize=1024)  # many requests read features of the same second
def _format_second(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
