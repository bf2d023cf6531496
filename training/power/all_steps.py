"""All steps of a power training in one process.

They are those of `training.power.steps`, which Airflow runs one by one. A training for day `ds`
uses what was known when `ds` ended. Its MLflow parent run has a nested run per step: prepare_data,
train_lgbm, evaluate.
"""

from dataclasses import dataclass

from contracts.config.settings import Settings
from contracts.durations import DAY_US
from contracts.progress import Progress
from training.power import steps
from training.power.evaluate import Metrics
from training.power.files import iso_dates
from training.run.gate import GateVerdict
from training.run.training_run import RUN_ID, TrainingRun


@dataclass(frozen=True)
class PowerTraining:
    """Result of a training.

    `day` is the last day of data, in ISO format. `version` is the registered version with this
    model, None if the gate refused it; `promoted`: it is Production; `repeated`: the same content
    was registered before.
    """

    run_id: str
    series: str
    day: str
    verdict: GateVerdict
    metrics: Metrics
    version: str | None
    promoted: bool
    repeated: bool
    train_rows: int
    test_rows: int


def train_power(
    settings: Settings, series: str, end_us: int | None, at_us: int, progress: Progress
) -> PowerTraining:
    """Train on all readings before `end_us` (µs UTC, a midnight), by default the last whole day.

    `at_us` is the timestamp of the metrics. Raises DatasetError or RegistryError; a refusal by the
    gate is a result, not an error.
    """
    with TrainingRun.temporary(settings, steps.PIPELINE, at_us) as training:
        key = training.key
        prepared = steps.prepare_data(settings, key, series, end_us, at_us, progress)
        steps.train_model(settings, key, progress)
        evaluation = steps.evaluate_model(settings, key, progress)
        registration = steps.register_model(settings, key, progress)
        state = training.directory.read_state()
        return PowerTraining(
            run_id=state[RUN_ID],
            series=series,
            day=iso_dates([state[steps.THROUGH] // DAY_US - 1])[0],
            verdict=evaluation.verdict,
            metrics=evaluation.metrics,
            version=registration.version,
            promoted=registration.promoted,
            repeated=registration.repeated,
            train_rows=len(prepared.parts.train),
            test_rows=len(prepared.parts.test),
        )
