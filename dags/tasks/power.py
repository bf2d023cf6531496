"""Tasks of the power model: trained on everything through one day, and none later."""

from datetime import datetime
from typing import Any

from dags.tasks.run import (
    DAY_US,
    at_us,
    given,
    interval,
    key,
    micros,
    parameter,
    refuse_unless_passed,
    tell,
)


def end_us(day: str | None, start: datetime | None) -> int | None:
    """End (µs UTC) of the day of the parameter, else of the one on which the run's interval begins;
    None: the last whole day there is.
    """
    if day:
        return micros(day) // DAY_US * DAY_US + DAY_US
    return None if start is None else at_us(start) // DAY_US * DAY_US + DAY_US


def prepare_data() -> dict[str, int]:
    """The hours through the day."""
    from contracts.clock import now_us
    from training.power import steps

    until_us = end_us(parameter("day"), interval()[0])
    made = steps.prepare_data(
        given(), key(), parameter("series") or "total", until_us, now_us(), tell
    )
    return {"train_samples": len(made.parts.train), "test_samples": len(made.parts.test)}


def train_model() -> str:
    """LightGBM; returns its digest."""
    from training.power import steps

    return steps.train_model(given(), key(), tell).digest


def evaluate_model() -> dict[str, Any]:
    """Against both naive forecasts on the same hours."""
    from training.power import steps

    judged = steps.evaluate_model(given(), key(), tell)
    share = judged.numbers["rmse_over_train_std"]
    return {
        "gate_pass": judged.verdict.gate_pass,
        "reasons": judged.verdict.reasons,
        "rmse_over_train_std": share,
    }


def register_model() -> dict[str, Any]:
    """Register what passed, then forecast the next day from what was known when it began."""
    from contracts.errors import TickError
    from training.power import forecast, steps

    settled = steps.register_model(given(), key(), tell)
    refuse_unless_passed(settled.verdict)
    known = steps.of(given(), key()).state()
    told = {"version": settled.version, "promoted": settled.promoted}
    try:
        return {
            **told,
            "forecast": forecast.predict(given(), known[steps.SERIES], known[steps.THROUGH]).day,
        }
    except TickError as error:  # the model is registered all the same
        return {**told, "forecast": error.message}
