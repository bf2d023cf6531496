"""Shared by both training processes: start, exit with the parent, data split and result files."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.run.directory import replace_file
from training.vision.directory import VisionDirectory
from training.vision.images import Images
from training.vision.specs import VisionSpec

COMPARED_ROWS = 512  # test images for which the exported network is compared with the original
STDIN = 0


def start_worker(argument: str) -> tuple[VisionDirectory, VisionSpec, Images]:
    """Run directory, its spec and images; from now on the process exits when its parent does."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    directory = VisionDirectory(Path(argument))
    spec = VisionSpec(**json.loads(directory.spec.read_bytes()))
    return directory, spec, directory.load_images()


def _exit_with_parent() -> None:
    # Reads the descriptor, not sys.stdin: a thread blocked in sys.stdin holds a lock that the
    # interpreter needs to exit.
    while os.read(STDIN, 1):
        pass
    os._exit(1)


def split_indices(images: Images, spec: VisionSpec) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the training and the validation images, drawn by the seed."""
    order = np.random.default_rng(spec.seed).permutation(len(images.train_x))
    order = order[: spec.rows_max or None]
    validation_count = max(1, round(len(order) * spec.dataset.validation))
    return order[validation_count:], order[:validation_count]


def thread_count() -> int:
    """Threads for the framework: TRAIN_JOBS, which the parent sets."""
    return int(os.environ.get("TRAIN_JOBS", "2"))


def write_results(
    directory: VisionDirectory,
    network: bytes,
    probabilities: NDArray[Any],
    facts: dict[str, Any],
) -> None:
    """Write the ONNX network, the original's outputs for the first test images, and `facts`.

    The network comes last: its existence means that the training is complete.
    """
    replace_file(directory.probabilities, lambda partial: _write_npz(partial, probabilities))
    replace_file(directory.facts, lambda partial: partial.write_text(json.dumps(facts)))
    replace_file(directory.network, lambda partial: partial.write_bytes(network))


def _write_npz(partial: Path, probabilities: NDArray[Any]) -> None:
    with partial.open("wb") as out:
        np.savez(out, answers=np.asarray(probabilities, dtype=np.float32))
