"""Verified local copies of registered versions, below TICK_HOME/models.

A copy is checked by its digest each time it is used; a new one is loaded once in a child process
before it is used.
"""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException

from contracts.config.groups.training import TrainingSettings
from contracts.errors import RegistryError
from contracts.files import hold_lock
from models import runtime
from models.tracking import tracking_uri
from models.versions import DIGEST, ModelVersion


@dataclass(frozen=True)
class LocalModel:
    """A version with its verified copy: arguments of `models.runtime.load_model`."""

    name: str
    version: str
    path: Path
    digest: str


def fetch_copy(settings: TrainingSettings, version: ModelVersion) -> LocalModel:
    """The verified local copy of `version`; downloads it if there is none or it was altered.

    Raises RegistryError if the file in the registry is missing, altered or cannot be loaded.
    """
    digest = version.tags.get(DIGEST, "")
    folder = settings.root / "models" / version.name / version.version
    if not _is_verified(folder, digest):
        # API workers discover a new version at the same time: one downloads, the others wait.
        with hold_lock(folder.with_name(f".{folder.name}.lock"), wait=True):
            if not _is_verified(folder, digest):
                _download(settings, version, folder, digest)
    return LocalModel(version.name, version.version, folder, digest)


def _is_verified(folder: Path, digest: str) -> bool:
    try:
        runtime.verify_manifest(folder, digest)
    except RegistryError:
        return False
    return True


def _download(settings: TrainingSettings, version: ModelVersion, folder: Path, digest: str) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as scratch:
        try:
            downloaded = Path(
                download_artifacts(
                    version.source, dst_path=scratch, tracking_uri=tracking_uri(settings)
                )
            )
        except (MlflowException, OSError) as error:
            raise RegistryError(
                f"{version.name} version {version.version} cannot be fetched: {error}",
                "roll back or train again",
            ) from error
        runtime.check_in_child(downloaded, digest, settings.model_check_timeout_s)
        shutil.rmtree(folder, ignore_errors=True)
        if downloaded.is_relative_to(scratch):
            downloaded.replace(folder)
        else:  # MLflow returns the path in a local artifact store, which must stay as it is
            shutil.copytree(downloaded, folder)
