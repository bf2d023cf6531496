"""The MLflow side of a training run: one parent run, a child per step, numbers and pictures;
nothing global, no clock.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from contracts.config.settings import Settings
from contracts.errors import RegistryError
from models import tracking

PARENT = "mlflow.parentRunId"
NAME = "mlflow.runName"
# Parameters of every training run, so that one search compares the runs of all pipelines;
# `model_type` as the DAGs name it.
MODEL_TYPE, EXECUTION_DATE = "model_type", "execution_date"
METRICS_MAX = 1000  # MLflow takes no more in one request


class Track:
    """One MLflow run; the values of a mapping are logged in one request. Metrics that are not
    finite numbers become tags.
    """

    def __init__(self, client: MlflowClient, experiment_id: str, run_id: str, at_ms: int) -> None:
        self.client, self.experiment_id, self.run_id, self.at_ms = (
            client,
            experiment_id,
            run_id,
            at_ms,
        )

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters."""
        self.client.log_batch(
            self.run_id, params=[Param(key, str(value)) for key, value in values.items()]
        )

    def metrics(self, values: Mapping[str, float]) -> None:
        """Log numbers; an undefined one is written down as the tag `undefined.<name>`, for metrics
        must be finite.
        """
        finite = {key: float(value) for key, value in values.items() if math.isfinite(value)}
        self.client.log_batch(
            self.run_id,
            metrics=[Metric(key, value, self.at_ms, 0) for key, value in finite.items()],
        )
        self.tags({f"undefined.{key}": value for key, value in values.items() if key not in finite})

    def steps(self, name: str, values: Sequence[float], after: int = 0) -> None:
        """Log one number per step (iteration, epoch) from 1 on, leaving out the first `after` and
        what is not a finite number.
        """
        numbered = enumerate(values[after:], start=after + 1)
        made = [
            Metric(name, float(value), self.at_ms, step)
            for step, value in numbered
            if math.isfinite(value)
        ]
        for first in range(0, len(made), METRICS_MAX):
            self.client.log_batch(self.run_id, metrics=made[first : first + METRICS_MAX])

    def logged(self, name: str) -> int:
        """The last step of `name` that this run holds, 0 before the first."""
        return max(
            (point.step for point in self.client.get_metric_history(self.run_id, name)), default=0
        )

    def tags(self, values: Mapping[str, Any]) -> None:
        """Set tags."""
        self.client.log_batch(
            self.run_id, tags=[RunTag(key, str(value)) for key, value in values.items()]
        )

    def document(self, content: dict[str, Any], name: str) -> None:
        """Store a JSON artifact."""
        self.client.log_dict(self.run_id, content, name)

    def text(self, content: str, name: str) -> None:
        """Store a text artifact, such as a model card in Markdown."""
        self.client.log_text(self.run_id, content, name)

    def picture(self, figure: Figure, name: str) -> None:
        """Store a figure as an artifact."""
        self.client.log_figure(self.run_id, figure, name)

    @contextmanager
    def child(self, name: str, run_id: str = "") -> Iterator["Track"]:
        """A nested run that ends FINISHED, or FAILED when its block raises; `run_id`: that of an
        earlier try, which goes on.
        """
        if run_id:
            child = Track(self.client, self.experiment_id, run_id, self.at_ms)
            self.client.update_run(run_id, "RUNNING")
        else:
            child = _made(self.client, self.experiment_id, name, self.at_ms, {PARENT: self.run_id})
        with child.ending():
            yield child

    @contextmanager
    def step(self, name: str) -> Iterator["Track"]:
        """The nested run of that name: a new one, or that of an earlier try, which goes on."""
        mine = f"tags.`{PARENT}` = '{self.run_id}' and tags.`{NAME}` = '{name}'"
        found = self.client.search_runs([self.experiment_id], mine, max_results=1)
        with self.child(name, found[0].info.run_id if found else "") as child:
            yield child

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """A parent whose steps are separate processes: running, FAILED when the block raises;
        what was finished stays so.
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
    def ending(self) -> Iterator[None]:
        """Close this run when the block ends, whatever its end; the error goes on."""
        status = "FAILED"
        try:
            yield
            status = "FINISHED"
        finally:
            self.client.set_terminated(self.run_id, status)


def start(settings: Settings, name: str, at_us: int, experiment: str | None = None) -> Track:
    """A new parent run in `experiment`, by default the settings'."""
    client = tracking.client(settings)
    return _made(
        client,
        tracking.experiment_id(settings, client, experiment or settings.experiment),
        name,
        at_us // 1000,
        {},
    )


def resume(settings: Settings, run_id: str, at_us: int | None = None) -> Track:
    """The parent run that an earlier process began; its numbers carry `at_us`, by default its own
    beginning.

    Raises RegistryError when there is none.
    """
    client = tracking.client(settings)
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise RegistryError(
            f"the run {run_id} cannot be found: {error.message}", "start over with --fresh"
        ) from error
    at_ms = int(run.info.start_time) if at_us is None else at_us // 1000
    return Track(client, str(run.info.experiment_id), run_id, at_ms)


def _made(
    client: MlflowClient, experiment_id: str, name: str, at_ms: int, tags: Mapping[str, str]
) -> Track:
    run = client.create_run(experiment_id, tags={NAME: name, **tags})
    return Track(client, experiment_id, str(run.info.run_id), at_ms)


def earlier(track: Track, metric: str) -> list[float]:
    """Values of `metric` in the finished parent runs of the same experiment: the trials that a
    deflated Sharpe counts.
    """
    runs = track.client.search_runs(
        [track.experiment_id], "attributes.status = 'FINISHED'", max_results=1000
    )
    return [
        run.data.metrics[metric]
        for run in runs
        if PARENT not in run.data.tags and metric in run.data.metrics
    ]
