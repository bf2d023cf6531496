"""A training in a separate process: the parent's side. TensorFlow and Torch never meet, and
neither is loaded by the command line.

The child reads the run folder, says progress in lines of JSON, and ends when its parent does: its
input closes then.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from contracts.config import paths
from contracts.config.settings import Settings
from contracts.errors import DatasetError, TickError
from contracts.progress import Progress
from training.vision.directory import Folder
from training.vision.specs import Spec

MODULES = {"keras": "tensorflow", "torch": "torch"}
CODE = Path(__file__).parents[2]  # from where the child imports the same packages
LOOK_TIMEOUT_S = 60
ERROR_LINES = 8
ALIKE = 1000  # an epoch's share of the bar


class TrainingError(TickError):
    """The process that trains a network ended without one."""


def python(settings: Settings, framework: str) -> Path:
    """The Python that has the framework: TICK_VISION_PYTHON, else this one, else `.venv-vision`'s.
    Nothing is loaded, only looked for.

    Raises DatasetError when none has it.
    """
    module, given = MODULES[framework], settings.vision_python
    known = (
        [given.expanduser().absolute()]
        if given
        else [Path(sys.executable), paths.project(settings) / ".venv-vision" / "bin" / "python"]
    )
    found = next((each for each in known if _has(each, module)), None)
    if found is None:
        hint = (
            "`make install-vision` puts it into .venv-vision, where it is found; or `uv sync"
            f" --inexact --group {framework}`"
        )
        where = str(given) if given else f"group `{framework}` stays out of the default install"
        raise DatasetError(f"{module} is not installed: {where}", hint)
    return found


def _has(interpreter: Path, module: str) -> bool:
    look = (
        "import sys; from importlib.util import find_spec; sys.exit(find_spec(sys.argv[1]) is None)"
    )
    try:
        looked = subprocess.run(
            [interpreter, "-c", look, module],
            capture_output=True,
            timeout=LOOK_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return looked.returncode == 0


def run(settings: Settings, spec: Spec, folder: Folder, progress: Progress) -> None:
    """Train until the folder holds network.onnx and answers.npz. Raises TrainingError with what the
    child said.
    """
    command = [
        str(python(settings, spec.fields.framework)),
        "-m",
        f"training.vision.{spec.fields.framework}_child",
        str(folder.path),
    ]
    # The project alone: the packages of this environment have no place in another one's.
    environment = {**os.environ, "PYTHONPATH": str(CODE), "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "TRAIN_JOBS": str(settings.train_threads)}
    with tempfile.TemporaryFile() as complaints:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=environment,
        )
        try:
            _follow(child.stdout, spec.epochs, progress)
            code = child.wait()
        finally:
            child.kill()
            child.communicate()
        if code != 0:
            raise TrainingError(
                f"the training of {spec.kind} ended by {_end(code)}: {_said(complaints)}",
                "run it again: it goes on",
            )


def _follow(lines: IO[bytes] | None, epochs: int, progress: Progress) -> None:
    for line in lines or ():
        try:
            said = json.loads(line)
        except ValueError:
            continue  # a library's own print
        if "step" in said:
            done = (said["epoch"] - 1) * ALIKE + said["step"] * ALIKE // max(1, said["steps"])
            progress("train", done, epochs * ALIKE)
    progress("train", epochs * ALIKE, epochs * ALIKE)


def _end(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _said(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    lines = complaints.read().decode(errors="replace").strip().splitlines()
    return "\n".join(lines[-ERROR_LINES:]) or "nothing was said"


def written(folder: Folder) -> Path:
    """The network that the child left."""
    return folder.path / "network.onnx"
