"""The power pipeline in one process: hours → parts → LightGBM → the double gate → registered and
promoted, or refused with reasons.

Its steps are those of `training/power/steps.py`, which Airflow runs one by one. A run for day `ds`
sees what was known when `ds` ended, and nothing later. Its MLflow parent run has a child per step:
prepare_data, train_lgbm, evaluate.
"""

from dataclasses import dataclass

from contracts.config.settings import Settings
from contracts.progress import Progress
from training.power import steps
from training.power.evaluate import Numbers
from training.power.files import DAY_US, dates
from training.run import state
from training.run.gate import Verdict


@dataclass(frozen=True)
class Result:
    """How a training ended. `version`: the registered version that holds this model, None when
    refused; `promoted`: it is Production.

    `repeated`: a version of equal content was there already, and no second one was made. `day`: the
    last day of data, ISO.
    """

    run_id: str
    series: str
    day: str
    verdict: Verdict
    numbers: Numbers
    version: str | None
    promoted: bool
    repeated: bool
    train_rows: int
    test_rows: int


def train(
    settings: Settings, series: str, end_us: int | None, at_us: int, progress: Progress
) -> Result:
    """Train on everything through the day that ends at `end_us` (µs UTC, a midnight), by default
    the last whole day of silver.

    `at_us` is the time that the runs carry. Raises DatasetError or RegistryError; a refusal by the
    gate is a result, not an error.
    """
    with state.once(settings, steps.PIPELINE, at_us) as (key, at):
        data = steps.prepare_data(settings, key, series, end_us, at_us, progress)
        steps.train_model(settings, key, progress)
        judged = steps.evaluate_model(settings, key, progress)
        settled = steps.register_model(settings, key, progress)
        known = at.state()
        day = dates([known[steps.THROUGH] // DAY_US - 1])[0]
        rows = len(data.parts.train), len(data.parts.test)
        done = settled.version, settled.promoted, settled.repeated
        return Result(known[state.RUN], series, day, judged.verdict, judged.numbers, *done, *rows)
