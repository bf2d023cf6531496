"""The parent's side of a training process for Keras or PyTorch.

TensorFlow and PyTorch are never loaded into the same process, nor by the command line. The child
reads and writes the run directory, reports progress as lines of JSON on its output, and exits when
its parent does, because that closes its input.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from contracts.config import paths
from contracts.config.groups.training import TrainingSettings
from contracts.errors import DatasetError, TickError
from contracts.progress import Progress
from training.vision.directory import VisionDirectory
from training.vision.specs import VisionSpec

MODULES = {"keras": "tensorflow", "torch": "torch"}
PROJECT_ROOT = Path(__file__).parents[2]  # PYTHONPATH of the child
PROBE_TIMEOUT_S = 60
ERROR_LINES_MAX = 8
EPOCH_UNITS = 1000  # length of an epoch on the progress bar


class TrainingError(TickError):
    """The training process ended without a network."""


def find_python(settings: TrainingSettings, framework: str) -> Path:
    """Python interpreter that has the framework, which is not loaded.

    TICK_VISION_PYTHON if set; otherwise this interpreter, then that of `.venv-vision`. Raises
    DatasetError if none has it.
    """
    module = MODULES[framework]
    configured = settings.vision_python
    if configured:
        candidates = [configured.expanduser().absolute()]
    else:
        other = paths.project(settings) / ".venv-vision" / "bin" / "python"
        candidates = [Path(sys.executable), other]
    python = next((each for each in candidates if _has_module(each, module)), None)
    if python is None:
        place = (
            f"{configured} does not have it"
            if configured
            else f"group `{framework}` is not part of the default install"
        )
        raise DatasetError(
            f"{module} is not installed: {place}",
            "run `make install-vision`, which installs it into .venv-vision, or"
            f" `uv sync --inexact --group {framework}`",
        )
    return python


def _has_module(python: Path, module: str) -> bool:
    code = (
        "import sys; from importlib.util import find_spec; sys.exit(find_spec(sys.argv[1]) is None)"
    )
    try:
        probe = subprocess.run(
            [python, "-c", code, module],
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


def run_training_process(
    settings: TrainingSettings, spec: VisionSpec, directory: VisionDirectory, progress: Progress
) -> None:
    """Train until the run directory contains the network, resuming an interrupted training.

    Raises TrainingError, with the end of the child's error output, if it fails.
    """
    framework = spec.dataset.framework
    command = [
        str(find_python(settings, framework)),
        "-m",
        f"training.vision.{framework}_child",
        str(directory.path),
    ]
    environment = {
        **os.environ,
        # Only the project: packages of this environment do not belong into another one.
        "PYTHONPATH": str(PROJECT_ROOT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "TRAIN_JOBS": str(settings.train_threads),
    }
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
        )
        try:
            _report_progress(child.stdout, spec.epochs, progress)
            code = child.wait()
        finally:
            child.kill()
            child.communicate()
        if code != 0:
            raise TrainingError(
                f"the training of {spec.kind} ended with {_describe(code)}: {_last_lines(errors)}",
                "run it again to resume",
            )


def _report_progress(lines: IO[bytes] | None, epochs: int, progress: Progress) -> None:
    for line in lines or ():
        try:
            message = json.loads(line)
        except ValueError:
            continue  # printed by a library
        if "step" in message:
            within_epoch = message["step"] * EPOCH_UNITS // max(1, message["steps"])
            done = (message["epoch"] - 1) * EPOCH_UNITS + within_epoch
            progress("train", done, epochs * EPOCH_UNITS)
    progress("train", epochs * EPOCH_UNITS, epochs * EPOCH_UNITS)


def _describe(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _last_lines(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return "\n".join(lines[-ERROR_LINES_MAX:]) or "no error output"
