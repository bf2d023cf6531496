"""The Production model for one API process: asked of the registry through a child, verified, and
remembered.

What was served last is at hand at once after a restart, by its own digest, whatever the registry
does; the registry is asked right after, and its answer replaces it.
"""

import asyncio
import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from contracts.config import paths
from contracts.config.settings import Settings
from contracts.errors import RegistryError, ServiceError, TickError
from contracts.files import replacing
from models.runtime import Model, load_model
from serving.state.shared_answer import shared

# The child asks MLflow alone: whatever is secret stays here.
SECRETS = {
    name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
} | {"api_keys_file"}
RESOLVE_S_MAX = 120  # importing MLflow, fetching and checking a model; far more than it takes
TURN_S_MAX = 2 * RESOLVE_S_MAX  # two processes may be ahead


class Found(NamedTuple):
    """A Production version with its verified local folder."""

    name: str
    version: str
    path: str
    digest: str

    def model(self) -> Model:
        """The loaded model, after a first answer. Raises RegistryError when the folder no longer is
        what was registered.
        """
        model = load_model(Path(self.path), self.digest, self.name, self.version)
        model.predict(np.zeros((1, *model.row_shape)))  # the first call is the slow one
        return model


class Answers(NamedTuple):
    """What the registry said: the Production version (or why there is none), its challenger, other
    models by name, newest versions.
    """

    production: Found | TickError
    challenger: Found | None = None
    others: Mapping[str, Found] = {}
    versions: Sequence[Mapping[str, Any]] = ()
    retired: bool = False  # there are versions, and someone decided that none is Production
    absent: bool = False  # the registry answered, and no version is Production
    age_s: float = 0.0  # how long ago it said so


def model_names(settings: Settings) -> tuple[str, ...]:
    """Registered models that the API serves, the one of /predict first."""
    return (
        settings.model_name,
        settings.power_model_name,
        settings.mnist_model_name,
        settings.cifar10_model_name,
    )


async def resolve(
    settings: Settings, notices: Sequence[str] = (), age_s_max: float = 0.0
) -> Answers:
    """What the registry says. One process of this host asks for all: it costs seconds of CPU.

    An answer on the same `notices` of changes that is younger than `age_s_max`, also a failure, is
    taken from the process that asked.
    Raises ServiceError when the registry cannot be asked.
    """
    file = settings.root / "models" / f"{settings.model_name}.registry.json"
    try:
        question = _question(settings, notices)
        text, age_s = await shared(file, question, age_s_max, TURN_S_MAX, lambda: _child(settings))
    except TimeoutError:
        message = f"another API process has been asking the model registry for {TURN_S_MAX} s"
        raise ServiceError(message, "see the machine's load") from None
    told: dict[str, Any] = orjson.loads(text)
    if "failure" in told:
        raise ServiceError(told["failure"], told["hint"])
    return _answers(told, age_s)


def _question(settings: Settings, notices: Sequence[str]) -> str:
    """Digest of what an answer depends on; the registry's address may hold a password."""
    parts = [paths.mlflow_uri(settings), model_names(settings), list(notices)]
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()


async def _child(settings: Settings) -> bytes:
    """The answer of `serving.state.registry_child` as JSON, or `failure` and `hint`."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "serving.state.registry_child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(RESOLVE_S_MAX):
            said, complaint = await child.communicate(
                settings.model_dump_json(exclude=SECRETS).encode()
            )
    except TimeoutError:
        return _failure("the model registry did not answer in time", "see the machine's load")
    finally:
        if child.returncode is None:
            child.kill()
    text = said.strip().rpartition(b"\n")[2]
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        return _failure(
            f"the model registry cannot be asked: {last[:200]}", "look at TICK_MLFLOW_TRACKING_URI"
        )
    return text


def _failure(message: str, hint: str) -> bytes:
    return orjson.dumps({"failure": message, "hint": hint})


def _answers(told: dict[str, Any], age_s: float) -> Answers:
    others = {name: _found(one) for name, one in told["others"].items()}
    challenger = _found(told["challenger"]) if told["challenger"] else None
    return Answers(
        _found(told["production"]),
        challenger if isinstance(challenger, Found) else None,
        {name: one for name, one in others.items() if isinstance(one, Found)},
        told["versions"],
        retired=told["absent"] and bool(told["versions"]),
        absent=told["absent"],
        age_s=age_s,
    )


def _found(told: dict[str, str]) -> Found | TickError:
    return RegistryError(told["error"], told["hint"]) if "error" in told else Found(**told)


def remember(settings: Settings, found: Found) -> None:
    """Note `found` as the model to start with next time; replaced atomically."""
    with replacing(_note(settings), durable=False) as partial:
        partial.write_bytes(orjson.dumps(found._asdict()))


def forget(settings: Settings) -> None:
    """Serve nothing next time: the model was retired."""
    _note(settings).unlink(missing_ok=True)


def recall(settings: Settings) -> Found | None:
    """What was served last, or None; its folder is still to be verified (`Found.model`)."""
    try:
        return Found(**orjson.loads(_note(settings).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def loads(found: Found | None) -> Model | None:
    """The loaded model of `found`, or None when there is none or it is not to be trusted."""
    try:
        return found.model() if found else None
    except TickError:
        return None


def _note(settings: Settings) -> Path:
    return settings.root / "models" / f"{settings.model_name}.served.json"
