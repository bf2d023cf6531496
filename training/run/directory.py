"""Run directory of one training below TICK_HOME/training: files passed from step to step.

Each step may be a separate process. Every file is replaced atomically, so after a kill a step is
either finished or has not changed anything.
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
from contracts.config.home import HomeSettings
from contracts.errors import DatasetError
from contracts.files import replace_atomically

KEY_CHARS_MAX = 80


@dataclass(frozen=True)
class RunDirectory:
    """Paths and saved state of one training."""

    path: Path

    @property
    def model(self) -> Path:
        """Folder of the exported model."""
        return self.path / "model"

    @property
    def state_file(self) -> Path:
        """JSON object of everything the steps saved with `update_state`."""
        return self.path / "state.json"

    def read_state(self) -> dict[str, Any]:
        """The saved state; empty before the first step."""
        return dict(json.loads(self.state_file.read_bytes())) if self.state_file.is_file() else {}

    def update_state(self, **entries: Any) -> None:
        """Add or overwrite entries of the state; durable when this returns."""
        content = json.dumps(self.read_state() | entries)
        replace_file(self.state_file, lambda partial: partial.write_text(content))

    def require_state(self, name: str, step: str) -> Any:
        """The value of a state entry that `step` saves.

        Raises DatasetError, naming the step, if it is missing.
        """
        state = self.read_state()
        if name not in state:
            raise DatasetError(
                f"{self.path} lacks the results of {step}",
                f"train again, or in Airflow clear the task {step}",
            )
        return state[name]

    def remove(self) -> None:
        """Delete the directory with everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def run_path(settings: HomeSettings, pipeline: str, key: str) -> Path:
    """Path of the run directory of training `key`, a name chosen by the caller (e.g. a DAG run).

    Characters that are unsafe in a file name are replaced, and long keys cut; then a hash of the
    key keeps the path unique.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", key)
    if name != key or len(name) > KEY_CHARS_MAX:
        name = f"{name[:KEY_CHARS_MAX]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    return paths.trainings(settings) / pipeline / name


def replace_file(file: Path, write: Callable[[Path], object]) -> None:
    """Replace `file` atomically by what `write` writes to the path it is called with."""
    with replace_atomically(file) as partial:
        write(partial)
