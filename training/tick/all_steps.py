"""All steps of a tick training after the features, in one process.

They are those of `training.tick.steps`, which Airflow runs one by one; `tick backfill` must have
computed the features. The MLflow parent run has a
nested run per step: prepare_data, train_model, walk_forward (with one per fold) and backtest.
"""

from collections.abc import Callable
from dataclasses import dataclass

from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.progress import Progress, silent
from contracts.tick import EVENT_TIME_US_MIN
from training.run.gate import GateVerdict
from training.run.provenance import all_synthetic, data_source
from training.run.training_run import RUN_ID, TrainingRun
from training.tick import steps
from training.tick.data import dataset
from training.tick.data.dataset import TickDataset
from training.tick.evaluation.backtest import BacktestReport
from training.tick.evaluation.walk_forward import WalkForward
from training.tick.steps import PreparedDataset, TickEvaluation


@dataclass(frozen=True)
class TickTraining:
    """Result of a training.

    `reports` are the model's backtests by one-way cost in bp, `comparisons` those of LightGBM and
    the baselines by name, at the gate's cost; all on the hold-out days. `walk_forward` covers the
    folds before these days. `version` is the new Production version, None if the gate refused the
    model. `synthetic`: all symbols come from the synthetic exchange. `dsr` is the deflated Sharpe
    ratio over so many `trainings` of this experiment.
    """

    run_id: str
    verdict: GateVerdict
    version: str | None
    reports: dict[float, BacktestReport]
    comparisons: dict[str, BacktestReport]
    walk_forward: WalkForward
    train_rows: int
    test_rows: int
    trained_on: str
    synthetic: bool
    dsr: float
    trainings: int
    sharpe_interval: tuple[float, float]

    @property
    def promoted(self) -> bool:
        """Whether the model is Production now."""
        return self.version is not None


def train_tick(
    settings: Settings,
    from_us: int | None = None,
    to_us: int | None = None,
    progress: Progress | None = None,
) -> TickTraining:
    """Train on the decisions in [from_us, to_us), µs UTC, and promote the model if it passes.

    The default range is everything up to now. Raises DatasetError or RegistryError; a refusal by
    the gate is a result, not an error.
    """
    at_us = now_us()
    first_us = from_us or EVENT_TIME_US_MIN
    last_us = to_us or at_us
    return train_on(
        settings,
        lambda: dataset.read_dataset(settings, first_us, last_us),
        at_us,
        progress or silent,
    )


def train_on(
    settings: Settings,
    read_dataset: Callable[[], TickDataset],
    at_us: int,
    progress: Progress = silent,
) -> TickTraining:
    """`train_tick` on the data set that `read_dataset` returns.

    `at_us` is the timestamp of the metrics. The run directory is removed at the end.
    """
    with TrainingRun.temporary(settings, steps.PIPELINE, at_us) as training:
        key = training.key
        prepared = steps.prepare_training_data(settings, key, read_dataset, at_us, progress)
        steps.train_model(settings, key, progress)
        evaluation = steps.backtest_model(settings, key, progress)
        _, version = steps.register_to_production(settings, key)
        run_id = str(training.directory.require_state(RUN_ID, "prepare_training_data"))
    return _summarise(run_id, prepared, evaluation, version)


def _summarise(
    run_id: str, prepared: PreparedDataset, evaluation: TickEvaluation, version: str | None
) -> TickTraining:
    symbols = prepared.dataset.symbols
    holdout = evaluation.holdout
    return TickTraining(
        run_id=run_id,
        verdict=holdout.verdict,
        version=version,
        reports={cost: backtest.report for cost, backtest in holdout.backtests.items()},
        comparisons={name: backtest.report for name, backtest in holdout.comparisons.items()},
        walk_forward=evaluation.walk_forward,
        train_rows=len(prepared.parts.train),
        test_rows=len(prepared.parts.test),
        trained_on=data_source(symbols),
        synthetic=all_synthetic(symbols),
        dsr=holdout.dsr,
        trainings=holdout.trainings,
        sharpe_interval=holdout.sharpe_interval,
    )
