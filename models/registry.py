"""The only part that talks to the MLflow model registry: register, promote, roll back, resolve,
fetch and verify.

The alias `production` is what readers resolve; the stage Production follows it in the same
function. Every function takes the registered model's name; without one it is `settings.model_name`.
"""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

from contracts.config.settings import Settings
from contracts.errors import RegistryError
from contracts.files import locked
from models import audit, runtime
from models.tracking import client, tracking_uri

ALIAS, CHALLENGER, STAGE = "production", "challenger", "Production"
DIGEST, PASSED, BEFORE = "digest", "gate_pass", "production_before"
ARTIFACT = "model"
REQUIREMENTS = ["mlflow==3.17.2", "onnxruntime", "numpy"]
LIGHTGBM_REQUIREMENTS = ["mlflow==3.17.2", "lightgbm", "numpy"]


@dataclass(frozen=True)
class Version:
    """A registered version as the registry knows it; `created_us` in µs UTC, `production` by
    alias."""

    name: str
    version: str
    stage: str
    production: bool
    created_us: int
    run_id: str
    source: str
    tags: dict[str, str] = field(default_factory=dict)
    challenger: bool = False


@dataclass(frozen=True)
class Resolved:
    """A version with its verified local copy, ready for `models.runtime.load(path, digest, name,
    version)`.
    """

    name: str
    version: str
    path: Path
    digest: str


def register(
    settings: Settings,
    exported: runtime.Exported,
    run_id: str,
    tags: dict[str, str],
    name: str | None = None,
) -> str:
    """Log the model folder to run `run_id`, make it a version of the model and return its number.

    `tags` must say gate_pass=true for the version ever to be promoted. The version is not
    Production yet.
    """
    registry = client(settings)
    with tempfile.TemporaryDirectory() as scratch:
        _pack(exported, Path(scratch) / ARTIFACT)
        registry.log_artifacts(run_id, str(Path(scratch) / ARTIFACT), ARTIFACT)
    source = f"{registry.get_run(run_id).info.artifact_uri}/{ARTIFACT}"
    _create(registry, name or settings.model_name)
    made = registry.create_model_version(
        name or settings.model_name, source, run_id, tags={**tags, DIGEST: exported.digest}
    )
    return str(made.version)


def promote(settings: Settings, version: str, name: str | None = None) -> Version:
    """Make `version` Production, by alias and stage, and archive the one before; repeating it mends
    a half-done one.

    Raises RegistryError when the version is unknown, never passed the gate, or its file is not the
    registered one.
    """
    # 1. Only what passed the gate, and whose file loads and answers as it did when it was made.
    wanted = get(settings, version, name)
    if wanted.tags.get(PASSED) != "true":
        raise RegistryError(
            f"{wanted.name} version {version} has not passed the gate",
            "train again: only the gate opens Production",
        )
    fetch(settings, wanted)
    # 2. Remember whom it replaces, so that rollback needs no guess.
    registry, now = client(settings), current(settings, name)
    if now is not None and now.version != version:
        registry.set_model_version_tag(wanted.name, version, BEFORE, now.version)
    # 3. Stage and alias; readers follow the alias, which moves last.
    # 4. Write it down, and notify running APIs.
    _point(registry, wanted.name, version)
    if wanted.challenger:
        registry.delete_registered_model_alias(wanted.name, CHALLENGER)  # it has won
    if now is None or now.version != version:
        audit.note(
            settings, registry, wanted.name, "promote", version, now.version if now else None
        )
    return get(settings, version, name)


def rollback(settings: Settings, name: str | None = None) -> Version:
    """Give Production back to the version before it; its own predecessor is the next rollback.
    Raises RegistryError.
    """
    now = current(settings, name)
    before = now.tags.get(BEFORE) if now else None
    if now is None or before is None:
        raise RegistryError(
            f"{name or settings.model_name} has no earlier Production version",
            "see `tick model list`",
        )
    fetch(settings, get(settings, before, name))
    registry = client(settings)
    _point(registry, now.name, before)
    audit.note(settings, registry, now.name, "rollback", before, now.version)
    return get(settings, before, name)


def retire(settings: Settings, name: str | None = None) -> None:
    """Leave no version in Production: for a model that can no longer be trusted or compared.
    `/predict` then has none.
    """
    now, registry = current(settings, name), client(settings)
    if now is None:
        raise RegistryError(
            f"{name or settings.model_name} has no Production version", "see `tick model list`"
        )
    registry.delete_registered_model_alias(now.name, ALIAS)
    _stage(registry, now.name, now.version, "Archived")
    audit.note(settings, registry, now.name, "retire", None, now.version)


def history(settings: Settings, name: str | None = None) -> list[audit.Event]:
    """Every change of Production, newest first."""
    found = _registered(settings, name)
    return audit.events(dict(found.tags)) if found else []


def production(settings: Settings, name: str | None = None) -> Resolved:
    """The Production version with a verified copy below HOME/models. Raises RegistryError when
    there is none to trust.
    """
    now = current(settings, name)
    if now is None:
        raise RegistryError(
            f"{name or settings.model_name} has no Production version",
            "run `tick train tick`, or what trains that model",
        )
    return fetch(settings, now)


def challenger(settings: Settings, name: str | None = None) -> Resolved | None:
    """The version that is tried alongside Production, with a verified copy, or None. Raises
    RegistryError when it cannot be trusted.
    """
    found = next((known for known in versions(settings, name) if known.challenger), None)
    return fetch(settings, found) if found else None


def challenge(settings: Settings, version: str | None, name: str | None = None) -> None:
    """Let `version` be tried alongside Production, or, with None, end the trial. Raises
    RegistryError as `promote` does.
    """
    registry, name = client(settings), name or settings.model_name
    if version is None:
        registry.delete_registered_model_alias(name, CHALLENGER)
    else:
        wanted = get(settings, version, name)
        if wanted.tags.get(PASSED) != "true":
            raise RegistryError(
                f"{name} version {version} has not passed the gate",
                "only what passed it is tried on live data",
            )
        if wanted.production:
            raise RegistryError(
                f"{name} version {version} is Production", "a challenger is another version"
            )
        fetch(settings, wanted)
        registry.set_registered_model_alias(name, CHALLENGER, version)
    now = current(settings, name)
    audit.note(
        settings, registry, name, "challenge", version, None, notice=now.version if now else None
    )


def current(settings: Settings, name: str | None = None) -> Version | None:
    """The Production version by alias, or None."""
    return next((version for version in versions(settings, name) if version.production), None)


def with_digest(settings: Settings, digest: str, name: str | None = None) -> str | None:
    """Number of the version that holds this very content, or None: one version per content."""
    return next(
        (known.version for known in versions(settings, name) if known.tags.get(DIGEST) == digest),
        None,
    )


def of_run(settings: Settings, run_id: str, digest: str, name: str | None = None) -> str | None:
    """Number of the version that this run has made of this content, or None: a run that is tried
    again makes no second one.
    """
    known = (
        each
        for each in versions(settings, name)
        if each.run_id == run_id and each.tags.get(DIGEST) == digest
    )
    return next((each.version for each in known), None)


def get(settings: Settings, version: str, name: str | None = None) -> Version:
    """One version by number. Raises RegistryError when it does not exist."""
    found = next((known for known in versions(settings, name) if known.version == version), None)
    if found is None:
        raise RegistryError(
            f"{name or settings.model_name} has no version {version}", "see `tick model list`"
        )
    return found


def versions(settings: Settings, name: str | None = None) -> list[Version]:
    """Every registered version, newest first."""
    found = _registered(settings, name)
    if found is None:
        return []
    aliases, entries = (
        found.aliases,
        client(settings).search_model_versions(f"name = '{found.name}'"),
    )
    known = [_version(entry, aliases) for entry in entries]
    return sorted(known, key=lambda version: int(version.version), reverse=True)


def _registered(settings: Settings, name: str | None) -> Any | None:
    """The registered model of that name, or None. Raises RegistryError when the registry does not
    answer.
    """
    registry = client(settings)  # an address that is none is not an answer of the registry
    try:
        return registry.get_registered_model(name or settings.model_name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise RegistryError(
            f"the model registry does not answer: {error.message}",
            f"is {tracking_uri(settings)} right?",
        ) from error


def fetch(settings: Settings, version: Version) -> Resolved:
    """A verified local copy of `version`: checked by digest each time, and loaded once in a child
    process when it is new.

    Raises RegistryError when the registry's file is missing, altered or does not load.
    """
    digest = version.tags.get(DIGEST, "")
    home = settings.root / "models" / version.name / version.version
    resolved = Resolved(version.name, version.version, home, digest)
    if not _is_whole(home, digest):
        with _alone(home):
            if not _is_whole(
                home, digest
            ):  # another process, for which this one waited, may have fetched it
                _download(settings, version, home, digest)
    return resolved


def _is_whole(home: Path, digest: str) -> bool:
    try:
        runtime.verified(home, digest)
    except RegistryError:
        return False
    return True


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One download of a version at a time: several API processes learn of it at once."""
    with locked(home.with_name(f".{home.name}.lock"), wait=True):
        yield


def _download(settings: Settings, version: Version, home: Path, digest: str) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".new-") as scratch:
        try:
            got = Path(
                download_artifacts(
                    version.source, dst_path=scratch, tracking_uri=tracking_uri(settings)
                )
            )
        except (MlflowException, OSError) as error:
            raise RegistryError(
                f"{version.name} version {version.version} cannot be fetched: {error}",
                "roll back or train again",
            ) from error
        runtime.check(got, digest, settings.model_check_timeout_s)
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(got, home) if not got.is_relative_to(scratch) else got.replace(home)


def _pack(exported: runtime.Exported, folder: Path) -> None:
    """An MLflow model folder that `mlflow models serve` understands, around the very bytes that
    were verified.
    """
    manifest = runtime.verified(exported.folder, exported.digest)
    onnx_made, signature = manifest.file == runtime.MODEL_FILE, _signature(manifest)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # MLflow warns about its own type hints
        (_pack_onnx if onnx_made else _pack_lightgbm)(
            exported.folder / manifest.file, str(folder), signature
        )
    for name in (manifest.file, runtime.MANIFEST_FILE):
        shutil.copyfile(exported.folder / name, folder / name)


def _signature(manifest: runtime.Manifest) -> ModelSignature:
    if manifest.shape:
        images, answers = (-1, *manifest.shape), (-1, len(manifest.labels))
        return ModelSignature(
            Schema([TensorSpec(np.dtype("float32"), images)]),
            Schema([TensorSpec(np.dtype("float32"), answers)]),
        )
    answer = ColSpec("float" if manifest.file == runtime.MODEL_FILE else "double")
    return ModelSignature(
        Schema([ColSpec("double", name) for name in manifest.features]), Schema([answer])
    )


def _pack_onnx(file: Path, folder: str, signature: ModelSignature) -> None:
    import mlflow.onnx  # only here: readers of the registry need neither
    import onnx

    # The requirements are pinned by hand: their inference, like an input example, costs 15 to 40 s
    # a model.
    mlflow.onnx.save_model(
        onnx.load(str(file)),
        folder,
        signature=signature,
        pip_requirements=REQUIREMENTS,
        save_as_external_data=False,
    )


def _pack_lightgbm(file: Path, folder: str, signature: ModelSignature) -> None:
    import lightgbm
    import mlflow.lightgbm

    mlflow.lightgbm.save_model(
        lightgbm.Booster(model_file=str(file)),
        folder,
        signature=signature,
        pip_requirements=LIGHTGBM_REQUIREMENTS,
    )


def _create(registry: MlflowClient, name: str) -> None:
    try:
        registry.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _point(registry: MlflowClient, name: str, version: str) -> None:
    _stage(registry, name, version, STAGE)
    registry.set_registered_model_alias(name, ALIAS, version)


def _stage(registry: MlflowClient, name: str, version: str, stage: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", FutureWarning
        )  # stages are deprecated, and still what many readers look at
        registry.transition_model_version_stage(
            name, version, stage, archive_existing_versions=stage == STAGE
        )


def _version(entry: Any, aliases: dict[str, Any]) -> Version:
    number = str(entry.version)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        stage = str(entry.current_stage)
    holds = {
        alias: number == str(aliases[alias]) for alias in (ALIAS, CHALLENGER) if alias in aliases
    }
    known: dict[str, Any] = {
        "created_us": int(entry.creation_timestamp) * 1000,
        "run_id": str(entry.run_id),
        "source": str(entry.source),
    }
    known |= {
        "production": holds.get(ALIAS, False),
        "challenger": holds.get(CHALLENGER, False),
        "tags": dict(entry.tags),
    }
    return Version(entry.name, number, stage, **known)
