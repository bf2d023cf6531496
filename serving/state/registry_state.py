"""The models that the registry has for one API process, and the version of the model served last.

At start, the model served last is served at once, after its digest is verified, even if the
registry does not respond. The registry is read right after, and its model replaces that one.
"""

import asyncio
import hashlib
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from contracts.config import paths
from contracts.config.groups.training import TrainingSettings
from contracts.config.home import PREFIX, HomeSettings
from contracts.config.settings import Settings
from contracts.errors import RegistryError, ServiceError, TickError
from contracts.files import replace_atomically
from models.runtime import Model, load_model
from serving.state.shared_cache import get_or_compute

# Settings that the child process does not get: it needs MLflow only.
SECRETS = {
    name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
} | {"api_keys_file"}
CHILD_S_MAX = 120  # to import MLflow and to download and verify a model; usually seconds
LOCK_S_MAX = 2 * CHILD_S_MAX  # two processes may be ahead in the queue


class ServedVersion(NamedTuple):
    """A version of a registered model, in a local directory."""

    name: str
    version: str
    path: str
    digest: str

    def load_model(self) -> Model:
        """The model, after a first prediction, which is slow.

        Raises RegistryError when the directory differs from what was registered.
        """
        model = load_model(Path(self.path), self.digest, self.name, self.version)
        model.predict(np.zeros((1, *model.row_shape)))
        return model


class RegistryState(NamedTuple):
    """What the registry holds: the Production version (or the error why there is none), its
    challenger, the other served models by name, and the newest versions.
    """

    production: ServedVersion | TickError
    challenger: ServedVersion | None = None
    others: Mapping[str, ServedVersion] = {}
    versions: Sequence[Mapping[str, Any]] = ()
    retired: bool = False  # there are versions, and none of them is Production
    no_production: bool = False  # the registry responded, and no version is Production
    age_s: float = 0.0  # how long ago the registry was read


# Called with the settings, the signals of changes, and the largest age_s of a cached state.
ReadRegistry = Callable[[Settings, Sequence[str], float], Awaitable[RegistryState]]


def served_model_names(settings: TrainingSettings) -> tuple[str, ...]:
    """The registered models that the API serves; the model of /predict is the first."""
    return (
        settings.model_name,
        settings.power_model_name,
        settings.mnist_model_name,
        settings.cifar10_model_name,
    )


async def read_registry(
    settings: TrainingSettings, signals: Sequence[str] = (), age_s_max: float = 0.0
) -> RegistryState:
    """The state of the registry.

    A read costs seconds of CPU, so one process of the host reads for all of them: a result for the
    same `signals` that is younger than `age_s_max` is reused, failures included. Raises
    ServiceError when the registry cannot be read.
    """
    file = settings.root / "models" / f"{settings.model_name}.registry.json"
    try:
        text, age_s = await get_or_compute(
            file, _cache_key(settings, signals), age_s_max, LOCK_S_MAX, lambda: _run_child(settings)
        )
    except TimeoutError:
        raise ServiceError(
            f"another API process has been reading the model registry for {LOCK_S_MAX} s",
            "check the load of this machine",
        ) from None
    fields: dict[str, Any] = orjson.loads(text)
    if "failure" in fields:
        raise ServiceError(fields["failure"], fields["hint"])
    return _parse_state(fields, age_s)


def _cache_key(settings: TrainingSettings, signals: Sequence[str]) -> str:
    """Digest of what the state depends on. Not the plain text: the registry's URL can contain a
    password.
    """
    parts = [paths.mlflow_uri(settings), served_model_names(settings), list(signals)]
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()


async def _run_child(settings: HomeSettings) -> bytes:
    """The JSON that `serving.state.registry_child` prints, or `failure` and `hint`."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "serving.state.registry_child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # Its settings arrive by stdin, without the secrets that it does not need.
        env={name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
    )
    try:
        async with asyncio.timeout(CHILD_S_MAX):
            stdout, stderr = await child.communicate(
                settings.model_dump_json(exclude=SECRETS).encode()
            )
    except TimeoutError:
        return _failure(
            f"the model registry did not respond within {CHILD_S_MAX} s",
            "check the load of this machine",
        )
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()  # its pipes must be closed before the event loop is
    text = stdout.strip().rpartition(b"\n")[2]
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        last_line = stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return _failure(
            f"the model registry cannot be read: {last_line[:200]}",
            "check TICK_MLFLOW_TRACKING_URI",
        )
    return text


def _failure(message: str, hint: str) -> bytes:
    return orjson.dumps({"failure": message, "hint": hint})


def _parse_state(fields: dict[str, Any], age_s: float) -> RegistryState:
    others = {name: _loadable_version(entry) for name, entry in fields["others"].items()}
    return RegistryState(
        _parse_version(fields["production"]),
        _loadable_version(fields["challenger"]),
        {name: version for name, version in others.items() if version is not None},
        fields["versions"],
        retired=fields["absent"] and bool(fields["versions"]),
        no_production=fields["absent"],
        age_s=age_s,
    )


def _loadable_version(fields: dict[str, str] | None) -> ServedVersion | None:
    """The version, or None when there is none or it cannot be loaded."""
    version = _parse_version(fields) if fields else None
    return version if isinstance(version, ServedVersion) else None


def _parse_version(fields: dict[str, str]) -> ServedVersion | TickError:
    if "error" in fields:
        return RegistryError(fields["error"], fields["hint"])
    return ServedVersion(**fields)


def write_last_served(settings: TrainingSettings, version: ServedVersion) -> None:
    """Store `version` as the model to serve at the next start; the file is replaced atomically."""
    with replace_atomically(_last_served_file(settings), durable=False) as partial:
        partial.write_bytes(orjson.dumps(version._asdict()))


def delete_last_served(settings: TrainingSettings) -> None:
    """Serve no model at the next start, because the model was retired."""
    _last_served_file(settings).unlink(missing_ok=True)


def read_last_served(settings: TrainingSettings) -> ServedVersion | None:
    """The version that was served last, or None. `ServedVersion.load_model` verifies it."""
    try:
        return ServedVersion(**orjson.loads(_last_served_file(settings).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def load_last_served(settings: TrainingSettings) -> Model | None:
    """The model that was served last, or None when there is none or it fails verification."""
    version = read_last_served(settings)
    try:
        return version.load_model() if version else None
    except TickError:
        return None


def _last_served_file(settings: TrainingSettings) -> Path:
    return settings.root / "models" / f"{settings.model_name}.served.json"
