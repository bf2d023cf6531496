"""The folder of one training below TICK_HOME/training: where its steps, each maybe a process of its
own, find what the last one left.

Every file is written whole or not at all, so a kill leaves a step either done or not.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.config import paths
from contracts.config.settings import Settings
from contracts.errors import DatasetError
from contracts.files import replacing

KEY_CHARS_MAX = 80


@dataclass(frozen=True)
class Folder:
    """Paths of one training; `state` is what its steps noted."""

    path: Path

    @property
    def model(self) -> Path:
        """The sealed model."""
        return self.path / "model"

    def state(self) -> dict[str, Any]:
        """Everything noted so far."""
        file = self.path / "state.json"
        return dict(json.loads(file.read_bytes())) if file.is_file() else {}

    def note(self, **facts: Any) -> None:
        """Remember facts; on disk when this returns."""
        whole(
            self.path / "state.json", lambda part: part.write_text(json.dumps(self.state() | facts))
        )

    def need(self, name: str, step: str) -> Any:
        """A noted fact. Raises DatasetError naming the step that must come first."""
        state = self.state()
        if name not in state:
            raise DatasetError(f"{self.path} lacks what {step} leaves", f"run {step} first")
        return state[name]


def place(settings: Settings, pipeline: str, key: str) -> Path:
    """The folder of training `key` (a name of the caller's choice, such as a DAG run's) of a
    pipeline.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", key)
    if plain != key or len(plain) > KEY_CHARS_MAX:
        plain = f"{plain[:KEY_CHARS_MAX]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    return paths.trainings(settings) / pipeline / plain


def fresh(folder: Folder) -> None:
    """Forget an earlier training of this key."""
    shutil.rmtree(folder.path, ignore_errors=True)


def whole(file: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make the new content of a file."""
    with replacing(file) as partial:
        write(partial)
