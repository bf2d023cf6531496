"""Reproduction of a training set from the manifest in its run, compared bit for bit."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from contracts.config.groups.training import TrainingSettings
from contracts.config.settings import Settings
from contracts.errors import DatasetError
from models import tracking
from training.run.mlflow_run import PARENT
from training.tick.data import dataset, manifest
from training.tick.data.dataset import SCHEMA
from training.tick.data.manifest import DatasetManifest

NOT_RECORDED = (
    "only runs of `tick train tick` that read the lakehouse can be rebuilt; see `tick open mlflow`"
)


@dataclass(frozen=True)
class ReproducedDataset:
    """Recorded manifest of run `run_id`, and the rows as read again.

    `differences` is empty if they are equal in every bit.
    """

    run_id: str
    recorded: DatasetManifest
    rows: int
    fingerprint: str
    differences: list[str]

    @property
    def equal(self) -> bool:
        """Whether the rows are the recorded ones."""
        return not self.differences


def reproduce_dataset(settings: Settings, run_id: str) -> ReproducedDataset:
    """Read the training set of a run (or of its parent) again, with its snapshots and settings.

    Raises DatasetError if the run does not exist or has no manifest, or a snapshot has expired.
    """
    parent_id, recorded = find_manifest(settings, run_id)
    if set(recorded.columns) != set(SCHEMA):
        # Recorded by another version of the code: the rows cannot be equal.
        removed = sorted(recorded.columns.keys() - SCHEMA.keys())
        added = sorted(SCHEMA.keys() - recorded.columns.keys())
        difference = (
            f"the columns of a training set have changed since: without {removed}, with {added}"
        )
        return ReproducedDataset(parent_id, recorded, 0, "", [difference])
    recorded_settings = settings.model_copy(update=recorded.settings)
    rows = dataset.read_dataset(
        recorded_settings, recorded.from_us, recorded.to_us, recorded.snapshots
    )
    rebuilt = manifest.describe_dataset(rows, recorded_settings)
    differences = manifest.list_differences(recorded, rebuilt)
    return ReproducedDataset(parent_id, recorded, rebuilt.rows, rebuilt.fingerprint, differences)


def find_manifest(settings: TrainingSettings, run_id: str) -> tuple[str, DatasetManifest]:
    """Id of the outermost parent run, and its manifest.

    Raises DatasetError if the run does not exist or its data was not read from the lakehouse.
    """
    client = tracking.client(settings)
    try:
        tags = client.get_run(run_id).data.tags
        while PARENT in tags:
            run_id = tags[PARENT]
            tags = client.get_run(run_id).data.tags
    except MlflowException as error:
        raise DatasetError(
            f"MLflow has no run {run_id}", "`tick train tick` prints the id of its run"
        ) from error
    recorded = _download_manifest(client, run_id)
    if not recorded.snapshots:
        raise DatasetError(
            f"the training set of run {run_id} was not read from the lakehouse", NOT_RECORDED
        )
    return run_id, recorded


def _download_manifest(client: MlflowClient, run_id: str) -> DatasetManifest:
    with tempfile.TemporaryDirectory() as folder:
        try:
            file = Path(client.download_artifacts(run_id, manifest.MANIFEST_FILE, folder))
            return DatasetManifest(**json.loads(file.read_text()))
        except (MlflowException, OSError, ValueError, TypeError) as error:
            # It does not exist, is not JSON, or has other fields.
            raise DatasetError(
                f"run {run_id} has recorded no training set ({manifest.MANIFEST_FILE})",
                NOT_RECORDED,
            ) from error
