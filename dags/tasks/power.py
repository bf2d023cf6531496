"""Tasks of the power model, which is trained on all data through one day and nothing later."""

from datetime import datetime
from typing import Any

from contracts.durations import DAY_US
from dags.tasks.task_context import (
    current_settings,
    data_interval,
    log_progress,
    parameter,
    parse_us,
    refuse_unless_passed,
    run_key,
    to_us,
)


def end_us(day: str | None, start: datetime | None) -> int | None:
    """End (µs UTC) of the given `day`, or of the day on which the run's interval begins.

    None: neither is given, so the last complete day applies.
    """
    if day:
        return parse_us(day) // DAY_US * DAY_US + DAY_US
    return None if start is None else to_us(start) // DAY_US * DAY_US + DAY_US


def prepare_data() -> dict[str, int]:
    """Prepare the hours through the day."""
    from contracts.clock import now_us
    from training.power import steps

    until_us = end_us(parameter("day"), data_interval()[0])
    dataset = steps.prepare_data(
        current_settings(),
        run_key(),
        parameter("series") or "total",
        until_us,
        now_us(),
        log_progress,
    )
    return {"train_samples": len(dataset.parts.train), "test_samples": len(dataset.parts.test)}


def train_model() -> str:
    """Train the LightGBM model; returns its digest."""
    from training.power import steps

    return steps.train_model(current_settings(), run_key(), log_progress).digest


def evaluate_model() -> dict[str, Any]:
    """Evaluate the model against both naive forecasts on the same hours."""
    from training.power import steps

    evaluation = steps.evaluate_model(current_settings(), run_key(), log_progress)
    return {
        "gate_pass": evaluation.verdict.gate_pass,
        "reasons": evaluation.verdict.reasons,
        "rmse_over_train_std": evaluation.metrics["rmse_over_train_std"],
    }


def register_model() -> dict[str, Any]:
    """Register a model that passed, then forecast the next day from the data before it began."""
    from contracts.errors import TickError
    from training.power import forecast, steps

    registration = steps.register_model(current_settings(), run_key(), log_progress)
    refuse_unless_passed(registration.verdict)
    state = steps.training_run(current_settings(), run_key()).directory.read_state()
    result = {"version": registration.version, "promoted": registration.promoted}
    try:
        prediction = forecast.forecast_day(
            current_settings(), state[steps.SERIES], state[steps.THROUGH]
        )
    except TickError as error:  # the model is registered nevertheless
        return {**result, "forecast": error.message}
    return {**result, "forecast": prediction.day}
