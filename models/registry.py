"""Changes of the MLflow model registry: register, promote, roll back, retire, set the challenger.

Readers resolve the alias `production`; the deprecated stage Production is moved along for other
tools. The functions of `models.versions` and `models.local_copy` are importable from here, so one
import serves a caller. Every function takes the name of the registered model; the default is
`settings.model_name`.
"""

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from contracts.config.settings import Settings
from contracts.errors import RegistryError
from models import audit, runtime
from models.local_copy import LocalModel, fetch_challenger, fetch_production, fetch_version
from models.mlflow_model import write_mlflow_model
from models.tracking import client
from models.versions import (
    CHALLENGER_ALIAS,
    DIGEST,
    GATE_PASS,
    PREDECESSOR,
    PRODUCTION_ALIAS,
    ModelVersion,
    find_registered_model,
    find_version_of_run,
    find_version_with_digest,
    get_version,
    list_versions,
    production_version,
    require_production,
)

__all__ = [
    "PRODUCTION_ALIAS",
    "CHALLENGER_ALIAS",
    "DIGEST",
    "GATE_PASS",
    "LocalModel",
    "ModelVersion",
    "fetch_challenger",
    "fetch_production",
    "fetch_version",
    "find_version_of_run",
    "find_version_with_digest",
    "get_version",
    "list_events",
    "list_versions",
    "production_version",
    "promote",
    "register_version",
    "retire",
    "rollback",
    "set_challenger",
]
STAGE = "Production"
ARTIFACT = "model"


def register_version(
    settings: Settings,
    exported: runtime.ExportedModel,
    run_id: str,
    tags: Mapping[str, str],
    name: str | None = None,
) -> str:
    """Log the model to MLflow run `run_id`, register it and return the number of the version.

    The version is not Production yet; `promote` requires that `tags` contain gate_pass=true.
    """
    model_name = name or settings.model_name
    registry = client(settings)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / ARTIFACT
        write_mlflow_model(exported, folder)
        registry.log_artifacts(run_id, str(folder), ARTIFACT)
    source = f"{registry.get_run(run_id).info.artifact_uri}/{ARTIFACT}"
    _create_registered_model(registry, model_name)
    version = registry.create_model_version(
        model_name, source, run_id, tags={**tags, DIGEST: exported.digest}
    )
    return str(version.version)


def promote(settings: Settings, version: str, name: str | None = None) -> ModelVersion:
    """Make `version` Production, by alias and stage, and archive its predecessor.

    Repeating it completes a promotion that was interrupted. Raises RegistryError if the version
    does not exist, has not passed the gate, or its file is not the registered one.
    """
    # 1. Only a version that passed the gate, and whose file loads and reproduces its golden rows.
    candidate = get_version(settings, version, name)
    _require_gate_pass(candidate, "train again: only a model that passes the gate is promoted")
    fetch_version(settings, candidate)
    # 2. Save its predecessor, for `rollback`.
    registry = client(settings)
    production = production_version(settings, name)
    predecessor = production.version if production else None
    if predecessor not in (None, version):
        registry.set_model_version_tag(candidate.name, version, PREDECESSOR, predecessor)
    # 3. Stage and alias; readers follow the alias, which moves last.
    _move_production(registry, candidate.name, version)
    if candidate.challenger:
        registry.delete_registered_model_alias(candidate.name, CHALLENGER_ALIAS)
    # 4. Record the change, and signal running APIs.
    if predecessor != version:
        audit.record_event(settings, registry, candidate.name, "promote", version, predecessor)
    return get_version(settings, version, name)


def rollback(settings: Settings, name: str | None = None) -> ModelVersion:
    """Make the predecessor of the Production version Production again.

    Each call goes back one more version.

    Raises RegistryError if there is no predecessor, or its file is not the registered one.
    """
    production = production_version(settings, name)
    predecessor = production.tags.get(PREDECESSOR) if production else None
    if production is None or predecessor is None:
        raise RegistryError(
            f"{name or settings.model_name} has no earlier Production version",
            "see `tick model list`",
        )
    fetch_version(settings, get_version(settings, predecessor, name))
    registry = client(settings)
    _move_production(registry, production.name, predecessor)
    audit.record_event(
        settings, registry, production.name, "rollback", predecessor, production.version
    )
    return get_version(settings, predecessor, name)


def retire(settings: Settings, name: str | None = None) -> None:
    """Archive the Production version without a successor; the API then serves no forecasts.

    For a model that can no longer be trusted or compared. Raises RegistryError without one.
    """
    production = require_production(settings, name, "see `tick model list`")
    registry = client(settings)
    registry.delete_registered_model_alias(production.name, PRODUCTION_ALIAS)
    _set_stage(registry, production.name, production.version, "Archived")
    audit.record_event(settings, registry, production.name, "retire", None, production.version)


def set_challenger(settings: Settings, version: str | None, name: str | None = None) -> None:
    """Make `version` the challenger, which is served next to Production; None ends the trial.

    Raises RegistryError if the version does not exist, has not passed the gate, is Production, or
    its file is not the registered one.
    """
    model_name = name or settings.model_name
    registry = client(settings)
    if version is None:
        registry.delete_registered_model_alias(model_name, CHALLENGER_ALIAS)
    else:
        candidate = get_version(settings, version, model_name)
        _require_gate_pass(candidate, "only a model that passed it is tried on live data")
        if candidate.production:
            raise RegistryError(
                f"{model_name} version {version} is Production", "choose another version"
            )
        fetch_version(settings, candidate)
        registry.set_registered_model_alias(model_name, CHALLENGER_ALIAS, version)
    production = production_version(settings, model_name)
    audit.record_event(
        settings,
        registry,
        model_name,
        "challenge",
        version,
        None,
        production=production.version if production else None,
    )


def list_events(settings: Settings, name: str | None = None) -> list[audit.Event]:
    """Every change of Production and challenger, newest first."""
    model = find_registered_model(settings, name)
    return audit.parse_events(dict(model.tags)) if model else []


def _require_gate_pass(candidate: ModelVersion, hint: str) -> None:
    if candidate.tags.get(GATE_PASS) != "true":
        raise RegistryError(
            f"{candidate.name} version {candidate.version} has not passed the gate", hint
        )


def _create_registered_model(registry: MlflowClient, name: str) -> None:
    try:
        registry.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _move_production(registry: MlflowClient, name: str, version: str) -> None:
    _set_stage(registry, name, version, STAGE)
    registry.set_registered_model_alias(name, PRODUCTION_ALIAS, version)


def _set_stage(registry: MlflowClient, name: str, version: str, stage: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MLflow deprecated stages; tools show them
        registry.transition_model_version_stage(
            name, version, stage, archive_existing_versions=stage == STAGE
        )
