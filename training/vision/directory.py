"""Run directory of a vision training: arrays of the data set, epoch history, network and results.

Imported by the training processes, whose environments lack MLflow.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.run.directory import RunDirectory, replace_file, run_path
from training.vision.images import Images
from training.vision.specs import VisionSpec

if TYPE_CHECKING:
    from contracts.config.home import HomeSettings

ARRAYS = ("train_x", "train_y", "test_x", "test_y")


@dataclass(frozen=True)
class VisionDirectory(RunDirectory):
    """Paths and saved state of one training."""

    @property
    def data(self) -> Path:
        """Arrays of the data set."""
        return self.path / "data.npz"

    @property
    def spec(self) -> Path:
        """JSON of the `VisionSpec`."""
        return self.path / "spec.json"

    @property
    def history(self) -> Path:
        """JSON list of the metrics of each finished epoch, written by the training process."""
        return self.path / "history.json"

    @property
    def network(self) -> Path:
        """ONNX model; the last file that the training process writes."""
        return self.path / "network.onnx"

    @property
    def probabilities(self) -> Path:
        """The original network's outputs for the first test images."""
        return self.path / "answers.npz"

    @property
    def facts(self) -> Path:
        """JSON of parameters that are known after the training, such as the best epoch."""
        return self.path / "facts.json"

    def save_images(self, images: Images) -> None:
        """Save the arrays for later steps."""
        arrays = {name: getattr(images, name) for name in ARRAYS}
        replace_file(self.data, lambda partial: _write_npz(partial, arrays))

    def load_images(self) -> Images:
        """The arrays that `save_images` saved."""
        lossy = bool(self.read_state().get("lossy"))
        with np.load(self.data, allow_pickle=False) as arrays:
            return Images(**{name: arrays[name] for name in ARRAYS}, lossy=lossy)


def vision_directory(settings: "HomeSettings", spec: VisionSpec, key: str) -> VisionDirectory:
    """Directory of training `key`, a name chosen by the caller (e.g. a DAG run)."""
    return VisionDirectory(run_path(settings, spec.kind, key))


def _write_npz(partial: Path, arrays: dict[str, Any]) -> None:
    with partial.open("wb") as out:
        np.savez(out, **arrays)
