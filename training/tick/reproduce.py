"""A training set made again from what its run recorded, and compared: the proof that a model's data
can be had bit for bit.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from models import tracking
from training.run.mlflow_run import PARENT
from training.tick import dataset, dataset_manifest
from training.tick.dataset import SCHEMA
from training.tick.dataset_manifest import Recipe

NOT_RECORDED = (
    "only runs of `tick train tick` that read the lakehouse can be rebuilt; see `tick open mlflow`"
)


@dataclass(frozen=True)
class Rebuilt:
    """The recorded recipe of `run_id`, the rows that came out now, and the differences; none means
    equal in every bit.
    """

    run_id: str
    recorded: Recipe
    rows: int
    fingerprint: str
    differences: list[str]

    @property
    def equal(self) -> bool:
        """Whether the rebuilt set is the recorded one."""
        return not self.differences


def rebuild(settings: Settings, run_id: str) -> Rebuilt:
    """Make the set of a run (or of the run it is nested in) again, at its snapshots and with its
    settings.

    Raises DatasetError when the run is unknown or recorded nothing, and when a snapshot has been
    expired.
    """
    parent, recorded = find(settings, run_id)
    if set(recorded.columns) != set(
        SCHEMA
    ):  # another version of the code: nothing to be gained from reading
        gone, new = (
            sorted(recorded.columns.keys() - SCHEMA.keys()),
            sorted(SCHEMA.keys() - recorded.columns.keys()),
        )
        return Rebuilt(
            parent,
            recorded,
            0,
            "",
            [f"the columns of a training set have changed since: without {gone}, with {new}"],
        )
    then = settings.model_copy(update=recorded.settings)
    made = dataset_manifest.of(
        dataset.load(then, recorded.from_us, recorded.to_us, recorded.snapshots), then
    )
    return Rebuilt(
        parent, recorded, made.rows, made.fingerprint, dataset_manifest.differences(recorded, made)
    )


def find(settings: Settings, run_id: str) -> tuple[str, Recipe]:
    """The outermost run and its recipe. Raises DatasetError."""
    client = tracking.client(settings)
    try:
        tags = client.get_run(run_id).data.tags
        while PARENT in tags:
            run_id = tags[PARENT]
            tags = client.get_run(run_id).data.tags
    except MlflowException as error:
        raise DatasetError(
            f"MLflow knows no run {run_id}", "`tick train tick` prints the id of its run"
        ) from error
    recorded = _recipe(client, run_id)
    if not recorded.snapshots:
        raise DatasetError(
            f"the training set of run {run_id} was not read from the lakehouse", NOT_RECORDED
        )
    return run_id, recorded


def _recipe(client: MlflowClient, run_id: str) -> Recipe:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return Recipe(
                **json.loads(
                    Path(
                        client.download_artifacts(run_id, dataset_manifest.DOCUMENT, folder)
                    ).read_text()
                )
            )
        except (
            MlflowException,
            OSError,
            ValueError,
            TypeError,
        ) as error:  # not there, not JSON, or of other fields
            raise DatasetError(
                f"run {run_id} has recorded no training set ({dataset_manifest.DOCUMENT})",
                NOT_RECORDED,
            ) from error
