"""Tasks of the tick model: training and the drift check."""

from typing import Any

from contracts.durations import DAY_US
from dags.tasks.task_context import (
    context,
    current_settings,
    data_interval,
    log_progress,
    parameter,
    refuse_unless_passed,
    run_key,
    time_range,
)

DRIFT_DAYS = 7


def aggregate_weekly_features() -> dict[str, int]:
    """Compute missing or outdated chunks of the training range.

    A weekly run computes the last two (chunks begin on Thursdays).
    """
    from contracts.clock import now_us
    from feature_store.backfill import chunks
    from lakehouse.tables import Lakehouse
    from training.tick import steps

    settings, at_us = current_settings(), now_us()
    lake = Lakehouse(settings)
    lake.create()
    from_us, to_us = time_range(context()["params"], (None, data_interval()[1]), at_us)
    from_us = lake.time_range()[0] if from_us is None else from_us
    length_us = chunks.length_us(lake, parameter("chunk"), from_us, to_us)
    counts = steps.aggregate_weekly_features(
        settings, run_key(), from_us, to_us, length_us, at_us, log_progress
    )
    return {"from_us": from_us, "to_us": to_us, **counts}


def prepare_training_data(aggregated: dict[str, int]) -> dict[str, int]:
    """Prepare rows and labels of the aggregated range."""
    from contracts.clock import now_us
    from training.tick import steps
    from training.tick.data import dataset

    settings, first, last = current_settings(), aggregated["from_us"], aggregated["to_us"]
    prepared = steps.prepare_training_data(
        settings,
        run_key(),
        lambda: dataset.read_dataset(settings, first, last),
        now_us(),
        log_progress,
    )
    return {"train_samples": len(prepared.parts.train), "test_samples": len(prepared.parts.test)}


def train_model() -> str:
    """Train the forest; returns its digest."""
    from training.tick import steps

    return steps.train_model(current_settings(), run_key(), log_progress).digest


def backtest_model() -> dict[str, Any]:
    """Run the walk-forward and the backtest, and evaluate the gate."""
    from training.tick import steps

    verdict = steps.backtest_model(current_settings(), run_key(), log_progress).holdout.verdict
    return {"gate_pass": verdict.gate_pass, "reasons": verdict.reasons}


def register_to_production() -> str:
    """Register a new Production version if the gate passed, otherwise skip with the reasons."""
    from training.tick import steps

    verdict, version = steps.register_to_production(current_settings(), run_key())
    refuse_unless_passed(verdict)
    return str(version)


def check_drift() -> dict[str, Any]:
    """Skip unless a retraining is due: drift, and no training began in the last 24 hours.

    Skip also if there is no Production model (only a training that passes the gate makes one).
    """
    from airflow.sdk.exceptions import AirflowSkipException

    from contracts.clock import now_us
    from training.monitoring import drift_check

    at_us = now_us()
    from_us, to_us = time_range(context()["params"], (None, data_interval()[1]), at_us)
    from_us = to_us - DRIFT_DAYS * DAY_US if from_us is None else from_us
    try:
        outcome = drift_check.check_drift(current_settings(), from_us, to_us, at_us)
    except drift_check.NoProductionError as error:
        raise AirflowSkipException(str(error)) from None
    if not outcome.due:
        raise AirflowSkipException(
            "; ".join(outcome.verdict.reasons) or f"no drift in {outcome.rows} decisions"
        )
    return outcome.as_dict()


def request_retrain(outcome: dict[str, Any]) -> list[str]:
    """Return the reasons. Its success emits the asset event that starts the training."""
    return list(outcome["reasons"])
