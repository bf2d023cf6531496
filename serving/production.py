"""The Production model for one API process: asked of the registry through a child, verified, and remembered.

What was served last is at hand at once after a restart, by its own digest, whatever the registry does; the registry is
asked right after, and its answer replaces it.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from contracts.errors import RegistryError, ServiceError, TickError
from contracts.settings import Settings
from models.runtime import Model, load

SECRETS = {"api_key", "api_keys_file"}
RESOLVE_S_MAX = 120  # importing MLflow, fetching and checking a model; far more than it takes


class Found(NamedTuple):
    """A Production version with its verified local folder."""

    name: str
    version: str
    path: str
    digest: str

    def model(self) -> Model:
        """The loaded model. Raises RegistryError when the folder no longer is what was registered."""
        return load(Path(self.path), self.digest, self.name, self.version)


async def resolve(settings: Settings) -> Found:
    """Ask the registry. Raises RegistryError when it has no model to trust, ServiceError when it cannot be asked."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "serving.resolve",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(RESOLVE_S_MAX):
            said, complaint = await child.communicate(settings.model_dump_json(exclude=SECRETS).encode())
    except TimeoutError:
        raise ServiceError("the model registry did not answer in time", "see the machine's load") from None
    finally:
        if child.returncode is None:
            child.kill()
    return _read(said, complaint)


def _read(said: bytes, complaint: bytes) -> Found:
    try:
        answer: dict[str, Any] = orjson.loads(said.strip().rpartition(b"\n")[2])
    except orjson.JSONDecodeError:
        last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        raise ServiceError(f"the model registry cannot be asked: {last[:200]}", "look at TICK_MLFLOW_TRACKING_URI") from None
    if "error" in answer:
        raise RegistryError(answer["error"], answer["hint"])
    return Found(**answer)


def remember(settings: Settings, found: Found) -> None:
    """Note `found` as the model to start with next time; replaced atomically."""
    file = _note(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}")  # several workers may note it at the same time
    partial.write_bytes(orjson.dumps(found._asdict()))
    partial.replace(file)


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
