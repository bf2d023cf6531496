"""Tasks of the tick model: training, and whether its data has drifted away from it."""

from typing import Any

from dags.tasks.run import (
    DAY_US,
    context,
    given,
    interval,
    key,
    parameter,
    refuse_unless_passed,
    span,
    tell,
)

DRIFT_DAYS = 7


def aggregate_weekly_features() -> dict[str, int]:
    """Features of the whole training range; chunks that stand are left, so that a weekly run
    computes one week.
    """
    from contracts.clock import now_us
    from feature_store.backfill import chunks
    from lakehouse import tables
    from training.tick import steps

    settings, at_us = given(), now_us()
    tables.create(settings)
    from_us, to_us = span(context()["params"], (None, interval()[1]), at_us)
    from_us = tables.time_range(settings)[0] if from_us is None else from_us
    length_us = chunks.length_us(settings, parameter("chunk"), from_us, to_us)
    counts = steps.aggregate_weekly_features(
        settings, key(), from_us, to_us, length_us, at_us, tell
    )
    return {"from_us": from_us, "to_us": to_us, **counts}


def prepare_training_data(span_us: dict[str, int]) -> dict[str, int]:
    """Rows and labels of the range that was aggregated."""
    from contracts.clock import now_us
    from training.tick import dataset, steps

    settings, first, last = given(), span_us["from_us"], span_us["to_us"]
    made = steps.prepare_training_data(
        settings, key(), lambda: dataset.load(settings, first, last), now_us(), tell
    )
    return {"train_samples": len(made.parts.train), "test_samples": len(made.parts.test)}


def train_model() -> str:
    """The forest; returns its digest."""
    from training.tick import steps

    return steps.train_model(given(), key(), tell).digest


def backtest_model() -> dict[str, Any]:
    """Walk-forward, backtest and verdict."""
    from training.tick import steps

    verdict = steps.backtest_model(given(), key(), tell).judged.verdict
    return {"gate_pass": verdict.gate_pass, "reasons": verdict.reasons}


def register_to_production() -> str:
    """The gate decides: a new Production version, or skipped with the reasons."""
    from training.tick import steps

    verdict, version = steps.register_to_production(given(), key())
    refuse_unless_passed(verdict)
    return str(version)


def check_drift() -> dict[str, Any]:
    """Skipped unless a retrain is due: asked for by drift, and none began in the last 24 hours."""
    from airflow.sdk.exceptions import AirflowSkipException

    from contracts.clock import now_us
    from training.monitoring.drift_check import check

    at_us = now_us()
    from_us, to_us = span(context()["params"], (None, interval()[1]), at_us)
    outcome = check(
        given(), to_us - DRIFT_DAYS * DAY_US if from_us is None else from_us, to_us, at_us
    )
    if not outcome.due:
        raise AirflowSkipException(
            "; ".join(outcome.verdict.reasons) or f"no drift in {outcome.rows} decisions"
        )
    return outcome.as_dict()


def request_retrain(outcome: dict[str, Any]) -> list[str]:
    """Its success is the event that starts the training; the gate decides there as always."""
    return list(outcome["reasons"])
