"""Versions of a registered model, as the MLflow registry lists them.

Every function takes the name of the registered model; the default is `settings.model_name`.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlflow.exceptions import MlflowException

from contracts.config.settings import Settings
from contracts.errors import RegistryError
from models.tracking import client, tracking_uri

PRODUCTION_ALIAS = "production"
CHALLENGER_ALIAS = "challenger"
# Tags of a version: digest of its content, gate verdict, and the Production version it replaced.
DIGEST = "digest"
GATE_PASS = "gate_pass"
PREDECESSOR = "production_before"


@dataclass(frozen=True)
class ModelVersion:
    """A registered version. `created_us` is in µs UTC; `production` and `challenger` tell whether
    it has that alias."""

    name: str
    version: str
    stage: str
    production: bool
    created_us: int
    run_id: str
    source: str
    tags: dict[str, str] = field(default_factory=dict)
    challenger: bool = False


def list_versions(settings: Settings, name: str | None = None) -> list[ModelVersion]:
    """Every version, newest first; empty for an unknown model.

    Raises RegistryError if the registry does not answer.
    """
    model = find_registered_model(settings, name)
    if model is None:
        return []
    entries = client(settings).search_model_versions(f"name = '{model.name}'")
    versions = [_parse_version(entry, model.aliases) for entry in entries]
    return sorted(versions, key=lambda version: int(version.version), reverse=True)


def get_version(settings: Settings, version: str, name: str | None = None) -> ModelVersion:
    """One version by its number. Raises RegistryError if it does not exist."""
    match = next((each for each in list_versions(settings, name) if each.version == version), None)
    if match is None:
        raise RegistryError(
            f"{name or settings.model_name} has no version {version}", "see `tick model list`"
        )
    return match


def production_version(settings: Settings, name: str | None = None) -> ModelVersion | None:
    """The version with the alias `production`, or None."""
    return next((each for each in list_versions(settings, name) if each.production), None)


def require_production(settings: Settings, name: str | None, hint: str) -> ModelVersion:
    """The Production version. Raises RegistryError with `hint` if there is none."""
    production = production_version(settings, name)
    if production is None:
        raise RegistryError(f"{name or settings.model_name} has no Production version", hint)
    return production


def find_version_with_digest(
    settings: Settings, digest: str, name: str | None = None
) -> str | None:
    """Number of the version with this content, or None.

    For pipelines that register one version per content.
    """
    matches = (
        each.version for each in list_versions(settings, name) if each.tags.get(DIGEST) == digest
    )
    return next(matches, None)


def find_version_of_run(
    settings: Settings, run_id: str, digest: str, name: str | None = None
) -> str | None:
    """Number of the version that MLflow run `run_id` registered with this content, or None.

    For pipelines that register one version per training, even if it is repeated.
    """
    matches = (
        each.version
        for each in list_versions(settings, name)
        if each.run_id == run_id and each.tags.get(DIGEST) == digest
    )
    return next(matches, None)


def find_registered_model(settings: Settings, name: str | None) -> Any | None:
    """MLflow's entity of the model, or None. Raises RegistryError if the registry does not
    answer."""
    registry = client(settings)  # outside of `try`: an invalid address is a different error
    try:
        return registry.get_registered_model(name or settings.model_name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise RegistryError(
            f"the model registry does not answer: {error.message}",
            f"check the address {tracking_uri(settings)}",
        ) from error


def _parse_version(entry: Any, aliases: Mapping[str, Any]) -> ModelVersion:
    number = str(entry.version)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MLflow deprecated stages
        stage = str(entry.current_stage)
    return ModelVersion(
        name=entry.name,
        version=number,
        stage=stage,
        production=number == str(aliases.get(PRODUCTION_ALIAS)),
        created_us=int(entry.creation_timestamp) * 1000,
        run_id=str(entry.run_id),
        source=str(entry.source),
        tags=dict(entry.tags),
        challenger=number == str(aliases.get(CHALLENGER_ALIAS)),
    )
