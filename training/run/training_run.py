"""One training: its run directory, MLflow parent run and registration, shared by all pipelines.

A pipeline is a `TrainingPipeline` constant and its step functions. Each step may be a separate
process: it opens the training by `TrainingRun(settings, PIPELINE, key)`, logs to a nested MLflow
run and saves its results with `directory.update_state`. The last step registers; it has no nested
run and closes the parent run. Repeating a step is safe.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from models.registry import Registry
from models.runtime import ExportedModel
from models.versions import GATE_PASS, ModelVersion
from training.run import mlflow_run
from training.run.directory import RunDirectory, run_path
from training.run.gate import GateVerdict
from training.run.mlflow_run import MlflowRun

RUN_ID, AT_US, DIGEST, DIFFERENCE, VERDICT = "run_id", "at_us", "digest", "difference", "verdict"


@dataclass(frozen=True)
class TrainingPipeline:
    """Constants of a training pipeline.

    `name` is its folder below TICK_HOME/training, `run_name` names the MLflow parent run,
    `model_type` is the MLflow parameter that tells the kinds of models apart. `train_step` and
    `gate_step` are the steps that export the model and evaluate the gate, for error messages.
    """

    name: str
    run_name: str
    model_type: str
    train_step: str = "train_model"
    gate_step: str = "evaluate_model"


@dataclass(frozen=True)
class Registration:
    """Result of the last step.

    `version` is the registered version that contains the model, None if the gate refused it;
    `repeated`: it existed before; `promoted`: it is Production.
    """

    verdict: GateVerdict
    version: str | None = None
    repeated: bool = False
    promoted: bool = False


@dataclass(frozen=True)
class RegisterPolicy:
    """How a model that passed the gate enters the registry.

    `find_version` returns the version that an earlier attempt registered, or None.
    `may_replace(production, version)` decides whether the model replaces the Production version;
    it may raise RegistryError, and then nothing is registered. `version` is what `find_version`
    returned.
    """

    find_version: Callable[[], str | None]
    may_replace: Callable[[ModelVersion | None, str | None], bool]


class TrainingRun:
    """One training of `pipeline`, identified by `key`, a name chosen by the caller."""

    def __init__(self, settings: Settings, pipeline: TrainingPipeline, key: str) -> None:
        self.settings = settings
        self.pipeline = pipeline
        self.key = key
        self.directory = RunDirectory(run_path(settings, pipeline.name, key))

    @classmethod
    @contextmanager
    def temporary(
        cls, settings: Settings, pipeline: TrainingPipeline, at_us: int
    ) -> Iterator["TrainingRun"]:
        """A training whose steps all run in this process; its directory is removed at the end."""
        training = cls(settings, pipeline, f"once-{at_us}-{os.getpid()}")
        try:
            yield training
        finally:
            training.directory.remove()

    def begin(
        self, at_us: int, params: Mapping[str, Any], experiment: str | None = None
    ) -> MlflowRun:
        """The parent run: that of an earlier attempt, else a new one with `params`.

        `at_us` (µs UTC) is the timestamp of its metrics; `experiment` defaults to the setting.
        """
        if RUN_ID in self.directory.read_state():
            return self.parent_run()
        parent = mlflow_run.start(self.settings, self.pipeline.run_name, at_us, experiment)
        parent.log_params({mlflow_run.MODEL_TYPE: self.pipeline.model_type, **params})
        self.directory.update_state(**{RUN_ID: parent.run_id, AT_US: at_us})
        return parent

    def parent_run(self) -> MlflowRun:
        """The parent run that the first step began. Raises DatasetError if none did."""
        state = self.directory.read_state()
        if RUN_ID not in state:
            raise DatasetError(
                f"no training has begun in {self.directory.path}",
                "train again, or in Airflow clear the first task",
            )
        return mlflow_run.resume(self.settings, state[RUN_ID], state.get(AT_US))

    @contextmanager
    def step(self, name: str) -> Iterator[tuple[MlflowRun, MlflowRun]]:
        """The parent run, reopened, and the nested run of step `name`.

        Both are those of an earlier attempt, if there was one. An error marks both FAILED.
        """
        parent = self.parent_run()
        with parent.reopen(), parent.step_run(name) as child:
            yield parent, child

    def save_model(self, exported: ExportedModel) -> None:
        """Save the digest of the model that was exported into the run directory."""
        self.directory.update_state(**{DIGEST: exported.digest, DIFFERENCE: exported.difference})

    def saved_model(self) -> ExportedModel:
        """The exported model. Raises DatasetError before the step that exports it."""
        digest, difference = (
            self.directory.require_state(name, self.pipeline.train_step)
            for name in (DIGEST, DIFFERENCE)
        )
        return ExportedModel(self.directory.model, digest, difference)

    def saved_verdict(self) -> GateVerdict:
        """The verdict of the gate. Raises DatasetError before the step that evaluates it."""
        saved = self.directory.require_state(VERDICT, self.pipeline.gate_step)
        return GateVerdict.from_dict(saved)

    def register(
        self,
        verdict: GateVerdict,
        tags: Mapping[str, str],
        policy: RegisterPolicy,
        model_name: str | None = None,
    ) -> Registration:
        """Register and promote the saved model; a refused one never enters the registry.

        Safe to repeat after a kill: the version has all its `tags` from the start, the alias of
        Production moves last, and the next attempt finds the version by `policy`. `model_name`
        is the registered model, by default the setting.

        Raises RegistryError if the policy does or the registry rejects the model.
        """
        if not verdict.gate_pass:
            return Registration(verdict)
        exported = self.saved_model()
        parent = self.parent_run()
        # 1. Whether it may replace Production, before anything changes.
        existing = policy.find_version()
        registry = Registry(self.settings, model_name)
        production = registry.production_version()
        replaces = policy.may_replace(production, existing)
        # 2. At most one version per training (or content).
        version = existing or registry.register_version(
            exported, parent.run_id, {GATE_PASS: "true", **tags}
        )
        parent.set_tags({"registered_version": version})
        # 3. Production. Promoting again completes a promotion that a kill interrupted.
        if replaces:
            registry.promote(version)
        return Registration(verdict, version, existing is not None, replaces)
