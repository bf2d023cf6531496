"""The folder of a vision training: the data set's arrays, a line per epoch, and the sealed
model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.run import directory
from training.run.directory import fresh, whole
from training.vision.images import Images
from training.vision.specs import Spec

if TYPE_CHECKING:
    from contracts.config.settings import Settings

__all__ = ["Folder", "fresh", "of", "whole"]
ARRAYS = ("train_x", "train_y", "test_x", "test_y")


@dataclass(frozen=True)
class Folder(directory.Folder):
    """Paths of one training; `state` is what its steps noted."""

    @property
    def data(self) -> Path:
        """The data set's arrays."""
        return self.path / "data.npz"

    @property
    def history(self) -> Path:
        """A line per finished epoch, written by the training process."""
        return self.path / "history.json"

    def store(self, images: Images) -> None:
        """Keep the arrays for the later steps."""
        arrays = {name: getattr(images, name) for name in ARRAYS}
        whole(self.data, lambda part: _savez(part, arrays))

    def images(self) -> Images:
        """The arrays again."""
        with np.load(self.data, allow_pickle=False) as kept:
            return Images(
                **{name: kept[name] for name in ARRAYS}, lossy=bool(self.state().get("lossy"))
            )


def of(settings: "Settings", spec: Spec, key: str) -> Folder:
    """The folder of training `key` (a name of the caller's choice, such as a DAG run's)."""
    return Folder(directory.place(settings, spec.kind, key))


def _savez(part: Path, arrays: dict[str, Any]) -> None:
    with part.open("wb") as out:
        np.savez(out, **arrays)
