"""The tick pipeline in one process: prepared → trained → walked forward → judged → registered and
promoted, or refused with reasons.

Its steps are those of `training/tick/steps.py`, which Airflow runs one by one. One MLflow parent
run holds the whole story, with a child run per step: prepare_data, train_model, walk_forward (and
in it one per fold), backtest.
"""

from collections.abc import Callable
from dataclasses import dataclass

from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.progress import Progress, silent
from contracts.tick import EVENT_TIME_US_MIN
from training.run import state
from training.run.gate import Verdict
from training.run.provenance import planted, source
from training.tick import backtest, dataset, steps
from training.tick.dataset import Dataset
from training.tick.steps import Prepared, Tested
from training.tick.walk_forward import WalkForward


@dataclass(frozen=True)
class TrainResult:
    """How a training ended. `reports`: backtest numbers by one-way cost in bp; `rivals`: the
    challenger's and the baselines' by name, at the gate's cost, on the same days. `walk_forward`:
    the folds before those days.

    `version` is the new Production version, None when refused. `planted`: every symbol is of the
    synthetic exchange. `trials`: trainings of this experiment that the deflated Sharpe `dsr`
    counts, this one included.
    """

    run_id: str
    verdict: Verdict
    version: str | None
    reports: dict[float, backtest.Report]
    rivals: dict[str, backtest.Report]
    walk_forward: WalkForward
    train_rows: int
    test_rows: int
    trained_on: str
    planted: bool
    dsr: float
    trials: int
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
) -> TrainResult:
    """Train, judge and maybe promote on decisions in [from, to), µs UTC; default is everything up
    to now.

    Raises DatasetError or RegistryError; a refusal by the gate is a result, not an error.
    """
    at_us = now_us()
    first, last = from_us or EVENT_TIME_US_MIN, to_us or at_us
    return train(settings, lambda: dataset.load(settings, first, last), at_us, progress or silent)


def train(
    settings: Settings, prepare: Callable[[], Dataset], at_us: int, progress: Progress = silent
) -> TrainResult:
    """`train_tick` on a dataset from anywhere; `at_us` is the time that the runs carry. Nothing is
    left in the run folder.
    """
    with state.once(settings, steps.PIPELINE, at_us) as (key, at):
        prepared = steps.prepare_training_data(settings, key, prepare, at_us, progress)
        steps.train_model(settings, key, progress)
        tested = steps.backtest_model(settings, key, progress)
        _, version = steps.register_to_production(settings, key)
        return _result(str(at.need(state.RUN, "prepare_training_data")), prepared, tested, version)


def _result(run_id: str, prepared: Prepared, tested: Tested, version: str | None) -> TrainResult:
    symbols, parts, judged = prepared.dataset.symbols, prepared.parts, tested.judged
    return TrainResult(
        run_id,
        judged.verdict,
        version,
        {cost: test.report for cost, test in judged.tests.items()},
        {name: test.report for name, test in judged.rivals.items()},
        tested.walked,
        len(parts.train),
        len(parts.test),
        source(symbols),
        planted(symbols),
        judged.dsr,
        judged.trials,
        judged.sharpe_interval,
    )
