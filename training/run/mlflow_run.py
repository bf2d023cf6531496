"""MLflow runs of a training: one parent run and a nested run per step.

Uses MlflowClient only, so no global MLflow state (active run, tracking URI) is set, and takes all
timestamps as arguments.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from contracts.config.groups.training import TrainingSettings
from contracts.errors import RegistryError
from models import tracking

PARENT = "mlflow.parentRunId"
NAME = "mlflow.runName"
# Parameters of every training run, so that one search compares the runs of all pipelines.
MODEL_TYPE, EXECUTION_DATE = "model_type", "execution_date"
METRICS_MAX = 1000  # MLflow's limit per request


class MlflowRun:
    """One MLflow run. Each method that takes a mapping sends it in one request."""

    def __init__(self, client: MlflowClient, experiment_id: str, run_id: str, at_ms: int) -> None:
        self.client = client
        self.experiment_id = experiment_id
        self.run_id = run_id
        self.at_ms = at_ms

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Log parameters."""
        self.client.log_batch(
            self.run_id, params=[Param(key, str(value)) for key, value in values.items()]
        )

    def log_metrics(self, values: Mapping[str, float]) -> None:
        """Log metrics; NaN and infinities, which MLflow rejects, become tags `undefined.<name>`."""
        finite = {key: float(value) for key, value in values.items() if math.isfinite(value)}
        self.client.log_batch(
            self.run_id,
            metrics=[Metric(key, value, self.at_ms, 0) for key, value in finite.items()],
        )
        undefined = {key: value for key, value in values.items() if key not in finite}
        self.set_tags({f"undefined.{key}": value for key, value in undefined.items()})

    def log_series(self, name: str, values: Sequence[float], after: int = 0) -> None:
        """Log a metric with one value per step (iteration, epoch), numbered from 1.

        Skips the first `after` values, which are logged already, and values that are not finite.
        """
        numbered = enumerate(values[after:], start=after + 1)
        metrics = [
            Metric(name, float(value), self.at_ms, step)
            for step, value in numbered
            if math.isfinite(value)
        ]
        for first in range(0, len(metrics), METRICS_MAX):
            self.client.log_batch(self.run_id, metrics=metrics[first : first + METRICS_MAX])

    def last_step(self, name: str) -> int:
        """Last step of metric `name` that is logged; 0 if there is none."""
        history = self.client.get_metric_history(self.run_id, name)
        return max((metric.step for metric in history), default=0)

    def set_tags(self, values: Mapping[str, Any]) -> None:
        """Set tags."""
        self.client.log_batch(
            self.run_id, tags=[RunTag(key, str(value)) for key, value in values.items()]
        )

    def log_json(self, content: dict[str, Any], name: str) -> None:
        """Store a JSON artifact."""
        self.client.log_dict(self.run_id, content, name)

    def log_text(self, content: str, name: str) -> None:
        """Store a text artifact, such as a model card in Markdown."""
        self.client.log_text(self.run_id, content, name)

    def log_figure(self, figure: Figure, name: str) -> None:
        """Store a figure as an artifact."""
        self.client.log_figure(self.run_id, figure, name)

    @contextmanager
    def nested_run(self, name: str, run_id: str = "") -> Iterator["MlflowRun"]:
        """A nested run; ends FINISHED, or FAILED if its block raises.

        `run_id` resumes the nested run of an earlier attempt.
        """
        if run_id:
            child = MlflowRun(self.client, self.experiment_id, run_id, self.at_ms)
            self.client.update_run(run_id, "RUNNING")
        else:
            tags = {PARENT: self.run_id}
            child = _create_run(self.client, self.experiment_id, name, self.at_ms, tags)
        with child.closing():
            yield child

    @contextmanager
    def step_run(self, name: str) -> Iterator["MlflowRun"]:
        """The nested run `name`: that of an earlier attempt, else a new one."""
        query = f"tags.`{PARENT}` = '{self.run_id}' and tags.`{NAME}` = '{name}'"
        earlier = self.client.search_runs([self.experiment_id], query, max_results=1)
        with self.nested_run(name, earlier[0].info.run_id if earlier else "") as child:
            yield child

    @contextmanager
    def reopen(self) -> Iterator[None]:
        """Mark this run RUNNING during a step, which may be a separate process.

        It becomes FAILED if the block raises. A run that was FINISHED is FINISHED again; otherwise
        it stays RUNNING for the next step.
        """
        finished = self.client.get_run(self.run_id).info.status == "FINISHED"
        self.client.update_run(self.run_id, "RUNNING")
        try:
            yield
        except BaseException:
            self.client.set_terminated(self.run_id, "FAILED")
            raise
        if finished:
            self.client.set_terminated(self.run_id, "FINISHED")

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Mark this run FINISHED when the block ends, or FAILED if it raises."""
        status = "FAILED"
        try:
            yield
            status = "FINISHED"
        finally:
            self.client.set_terminated(self.run_id, status)


def start(
    settings: TrainingSettings, name: str, at_us: int, experiment: str | None = None
) -> MlflowRun:
    """Start a parent run in `experiment`, by default that of the settings."""
    client = tracking.client(settings)
    experiment_id = tracking.experiment_id(settings, client, experiment or settings.experiment)
    return _create_run(client, experiment_id, name, at_us // 1000, {})


def resume(settings: TrainingSettings, run_id: str, at_us: int | None = None) -> MlflowRun:
    """The parent run that an earlier process started.

    Its metrics get the timestamp `at_us`, by default the start of the run. Raises RegistryError if
    MLflow does not have the run.
    """
    client = tracking.client(settings)
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise RegistryError(
            f"the run {run_id} cannot be found: {error.message}",
            "start a new training (images: `--fresh`)",
        ) from error
    at_ms = int(run.info.start_time) if at_us is None else at_us // 1000
    return MlflowRun(client, str(run.info.experiment_id), run_id, at_ms)


def _create_run(
    client: MlflowClient, experiment_id: str, name: str, at_ms: int, tags: Mapping[str, str]
) -> MlflowRun:
    run = client.create_run(experiment_id, tags={NAME: name, **tags})
    return MlflowRun(client, experiment_id, str(run.info.run_id), at_ms)


def finished_values(run: MlflowRun, metric: str) -> list[float]:
    """Values of `metric` in the finished parent runs of the same experiment.

    A deflated Sharpe ratio accounts for their number and variance.
    """
    runs = run.client.search_runs(
        [run.experiment_id], "attributes.status = 'FINISHED'", max_results=1000
    )
    return [
        each.data.metrics[metric]
        for each in runs
        if PARENT not in each.data.tags and metric in each.data.metrics
    ]
