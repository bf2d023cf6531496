"""`Registry`: the versions of one registered model in MLflow, and the changes of Production.

Readers resolve the alias `production`; the deprecated stage Production is moved along for other
tools.
"""

import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from contracts.config.settings import Settings
from contracts.errors import RegistryError
from models import audit, tracking
from models.local_copy import LocalModel, fetch_copy
from models.mlflow_model import write_mlflow_model
from models.runtime import ExportedModel
from models.versions import (
    CHALLENGER_ALIAS,
    DIGEST,
    GATE_PASS,
    PREDECESSOR,
    PRODUCTION_ALIAS,
    ModelVersion,
    parse_version,
)

STAGE = "Production"
ARTIFACT = "model"


class Registry:
    """One registered model, by default `settings.model_name`.

    Opening it creates the default database if there is none. The model need not exist yet. Look-ups
    raise RegistryError if the registry does not answer.
    """

    def __init__(self, settings: Settings, name: str | None = None) -> None:
        self.name = name or settings.model_name
        self._settings = settings
        self._client = tracking.client(settings)

    def list_versions(self) -> list[ModelVersion]:
        """Every version, newest first; empty for an unknown model."""
        model = self._find_model()
        if model is None:
            return []
        entries = self._client.search_model_versions(f"name = '{self.name}'")
        versions = [parse_version(entry, model.aliases) for entry in entries]
        return sorted(versions, key=lambda version: int(version.version), reverse=True)

    def get_version(self, version: str) -> ModelVersion:
        """One version by its number. Raises RegistryError if it does not exist."""
        match = self._find_version(lambda each: each.version == version)
        if match is None:
            raise RegistryError(f"{self.name} has no version {version}", "see `tick model list`")
        return match

    def production_version(self) -> ModelVersion | None:
        """The version with the alias `production`, or None."""
        return self._find_version(lambda each: each.production)

    def require_production(self, hint: str) -> ModelVersion:
        """The Production version. Raises RegistryError with `hint` if there is none."""
        production = self.production_version()
        if production is None:
            raise RegistryError(f"{self.name} has no Production version", hint)
        return production

    def find_version_with_digest(self, digest: str) -> str | None:
        """Number of the newest version with this content, or None.

        For pipelines that register one version per content.
        """
        return _number(self._find_version(lambda each: each.tags.get(DIGEST) == digest))

    def find_version_of_run(self, run_id: str, digest: str) -> str | None:
        """Number of the version that MLflow run `run_id` registered with this content, or None.

        For pipelines that register one version per training, even if it is repeated.
        """
        key = (run_id, digest)
        return _number(self._find_version(lambda each: (each.run_id, each.tags.get(DIGEST)) == key))

    def fetch_version(self, version: ModelVersion) -> LocalModel:
        """The verified local copy of `version`; downloads it if there is none or it was altered.

        Raises RegistryError if the file in the registry is missing, altered or cannot be loaded.
        """
        return fetch_copy(self._settings, version)

    def fetch_production(self) -> LocalModel:
        """The Production version, verified. Raises RegistryError if there is none, or its file is
        not the registered one."""
        return self.fetch_version(self.require_production("train one: `tick train --help`"))

    def fetch_challenger(self) -> LocalModel | None:
        """The challenger, verified, or None. Raises RegistryError if its file is not the registered
        one."""
        challenger = self._find_version(lambda each: each.challenger)
        return self.fetch_version(challenger) if challenger else None

    def register_version(
        self, exported: ExportedModel, run_id: str, tags: Mapping[str, str]
    ) -> str:
        """Log the model to MLflow run `run_id`, register it and return the number of the version.

        The version is not Production yet; `promote` requires that `tags` contain gate_pass=true.
        """
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / ARTIFACT
            write_mlflow_model(exported, folder)
            self._client.log_artifacts(run_id, str(folder), ARTIFACT)
        source = f"{self._client.get_run(run_id).info.artifact_uri}/{ARTIFACT}"
        self._create_model()
        version = self._client.create_model_version(
            self.name, source, run_id, tags={**tags, DIGEST: exported.digest}
        )
        return str(version.version)

    def promote(self, version: str) -> ModelVersion:
        """Make `version` Production, by alias and stage, and archive its predecessor.

        Repeating it completes a promotion that was interrupted. Raises RegistryError if the version
        does not exist, has not passed the gate, or its file is not the registered one.
        """
        # 1. Only a version that passed the gate and whose file has the registered digest; one
        # without a local copy is also loaded in a child process and must reproduce its golden
        # forecasts.
        candidate = self.get_version(version)
        _require_gate_pass(candidate, "train again: only a model that passes the gate is promoted")
        self.fetch_version(candidate)
        # 2. Save its predecessor, for `roll_back`.
        predecessor = _number(self.production_version())
        if predecessor not in (None, version):
            self._client.set_model_version_tag(self.name, version, PREDECESSOR, predecessor)
        # 3. Stage and alias; readers follow the alias, which moves last.
        self._move_production(version)
        if candidate.challenger:
            self._client.delete_registered_model_alias(self.name, CHALLENGER_ALIAS)
        # 4. Record the change, and signal running APIs.
        if predecessor != version:
            self._record("promote", version, predecessor, version)
        return self.get_version(version)

    def roll_back(self) -> ModelVersion:
        """Make the predecessor of the Production version Production again.

        Each call goes back one more version.

        Raises RegistryError if there is no predecessor, or its file is not the registered one.
        """
        production = self.production_version()
        if production is None or PREDECESSOR not in production.tags:
            raise RegistryError(
                f"{self.name} has no earlier Production version", "see `tick model list`"
            )
        predecessor = production.tags[PREDECESSOR]
        self.fetch_version(self.get_version(predecessor))
        self._move_production(predecessor)
        self._record("rollback", predecessor, production.version, predecessor)
        return self.get_version(predecessor)

    def retire(self) -> None:
        """Archive the Production version without a successor; the API then serves no forecasts.

        For a model that can no longer be trusted or compared. Raises RegistryError without one.
        """
        retired = self.require_production("see `tick model list`").version
        self._client.delete_registered_model_alias(self.name, PRODUCTION_ALIAS)
        self._set_stage(retired, "Archived")
        self._record("retire", None, retired, None)

    def set_challenger(self, version: str) -> None:
        """Make `version` the challenger, which is served next to Production.

        Raises RegistryError if the version does not exist, has not passed the gate, is Production,
        or its file is not the registered one.
        """
        candidate = self.get_version(version)
        _require_gate_pass(candidate, "only a model that passed it is tried on live data")
        if candidate.production:
            raise RegistryError(
                f"{self.name} version {version} is Production", "choose another version"
            )
        self.fetch_version(candidate)
        self._client.set_registered_model_alias(self.name, CHALLENGER_ALIAS, version)
        self._record_trial(version)

    def remove_challenger(self) -> None:
        """End the trial of the challenger."""
        self._client.delete_registered_model_alias(self.name, CHALLENGER_ALIAS)
        self._record_trial(None)

    def list_events(self) -> list[audit.Event]:
        """Every change of Production and challenger, newest first."""
        model = self._find_model()
        return audit.parse_events(dict(model.tags)) if model else []

    def _find_model(self) -> Any | None:
        """MLflow's entity of the model, or None."""
        try:
            return self._client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise RegistryError(
                f"the model registry does not answer: {error.message}",
                f"check the address {tracking.tracking_uri(self._settings)}",
            ) from error

    def _find_version(self, matches: Callable[[ModelVersion], bool]) -> ModelVersion | None:
        """The newest version that matches, or None."""
        return next(filter(matches, self.list_versions()), None)

    def _create_model(self) -> None:
        try:
            self._client.create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _move_production(self, version: str) -> None:
        self._set_stage(version, STAGE)
        self._client.set_registered_model_alias(self.name, PRODUCTION_ALIAS, version)

    def _set_stage(self, version: str, stage: str) -> None:
        with warnings.catch_warnings():
            # MLflow deprecated stages; tools show them.
            warnings.simplefilter("ignore", FutureWarning)
            self._client.transition_model_version_stage(
                self.name, version, stage, archive_existing_versions=stage == STAGE
            )

    def _record_trial(self, challenger: str | None) -> None:
        production = _number(self.production_version())
        self._record("challenge", challenger, None, production)

    def _record(
        self, action: str, version: str | None, before: str | None, production: str | None
    ) -> None:
        audit.record_event(
            self._settings, self._client, self.name, action, version, before, production
        )


def _number(version: ModelVersion | None) -> str | None:
    return version.version if version else None


def _require_gate_pass(candidate: ModelVersion, hint: str) -> None:
    if candidate.tags.get(GATE_PASS) != "true":
        raise RegistryError(
            f"{candidate.name} version {candidate.version} has not passed the gate", hint
        )
