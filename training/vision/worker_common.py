"""What both training processes do alike: end with the parent, read the folder, split, and leave the
network and its answers.
"""

import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.vision.directory import Folder, whole
from training.vision.images import Images
from training.vision.specs import Spec

COMPARED = 512  # test images on which the written network is compared with the original


def begin(argument: str) -> tuple[Folder, Spec, Images]:
    """The folder, its spec and its images; from now on the process ends when its parent does."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    folder = Folder(Path(argument))
    return folder, Spec(**json.loads((folder.path / "spec.json").read_bytes())), folder.images()


def _end_with_parent() -> None:
    while os.read(
        0, 1
    ):  # below Python's own stdin, whose lock a waiting thread would hold when the interpreter ends
        pass
    os._exit(1)


def parts(images: Images, spec: Spec) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of training and validation images, drawn once by the seed."""
    order = np.random.default_rng(spec.seed).permutation(len(images.train_x))
    order = order[: spec.rows_max or None]
    held_out = max(1, round(len(order) * spec.fields.validation))
    return order[held_out:], order[:held_out]


def jobs() -> int:
    """Threads of the framework."""
    return int(os.environ.get("TRAIN_JOBS", "2"))


def leave(folder: Folder, network: bytes, answers: NDArray[Any], facts: dict[str, Any]) -> None:
    """Write the network, what the original answers to the first test images, and facts of the
    training; the network comes last.
    """
    whole(folder.path / "answers.npz", lambda part: _save(part, answers))
    whole(folder.path / "facts.json", lambda part: part.write_text(json.dumps(facts)))
    whole(folder.path / "network.onnx", lambda part: part.write_bytes(network))


def _save(part: Path, answers: NDArray[Any]) -> None:
    with part.open("wb") as out:
        np.savez(out, answers=np.asarray(answers, dtype=np.float32))
