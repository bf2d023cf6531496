"""Loop over epochs, shared by Keras and PyTorch: resumable, with early stopping.

It runs in the training process and imports neither framework. Each epoch

1. fits with a seed derived from its number, so that a resumed training repeats an undisturbed one,
2. saves a checkpoint,
3. appends its metrics to the history; after a kill before that, the epoch is repeated.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from training.run.directory import replace_file
from training.vision.directory import VisionDirectory

CHECKPOINT_NAME = "{:03d}"
EpochMetrics = dict[str, float]
StepProgress = Callable[[int, int], None]


class Trainer(Protocol):
    """A network in training. Checkpoints include weights, optimiser and schedule."""

    def epoch(self, number: int, progress: StepProgress) -> EpochMetrics:
        """Fit epoch `number` (from 1) and return its metrics, with val_loss and val_accuracy."""

    def save(self, file: Path) -> None:
        """Write a checkpoint."""

    def load(self, file: Path) -> None:
        """Restore a checkpoint."""


@dataclass(frozen=True)
class BestEpoch:
    """The epoch with the highest validation accuracy, the first of equals, and its checkpoint."""

    epoch: int
    file: Path


def train_epochs(
    trainer: Trainer, directory: VisionDirectory, epochs: int, patience: int, suffix: str
) -> BestEpoch:
    """Train until `epochs`, or until `patience` epochs did not improve the validation accuracy.

    Resumes after the last epoch in the history. Restores the best epoch's checkpoint at the end.
    """
    history = read_history(directory)
    if history:
        trainer.load(_checkpoint(directory, len(history), suffix))
        send_message(resumed=len(history))
    while len(history) < epochs and len(history) - best_epoch(history) < patience:
        number = len(history) + 1

        def report_step(done: int, total: int, epoch: int = number) -> None:
            send_message(epoch=epoch, of=epochs, step=done, steps=total)

        metrics = trainer.epoch(number, report_step)
        replace_file(_checkpoint(directory, number, suffix), trainer.save)
        history.append({"epoch": float(number), **metrics})
        _write_history(directory, history)
        _remove_checkpoints(directory, {number, best_epoch(history)}, suffix)
    best = best_epoch(history)
    trainer.load(_checkpoint(directory, best, suffix))
    return BestEpoch(best, _checkpoint(directory, best, suffix))


def read_history(directory: VisionDirectory) -> list[EpochMetrics]:
    """Metrics of the finished epochs."""
    file = directory.history
    return list(json.loads(file.read_bytes())) if file.is_file() else []


def best_epoch(history: list[EpochMetrics]) -> int:
    """Number of the epoch with the highest val_accuracy, the first of equals; 0 without one."""
    return max(
        range(1, len(history) + 1),
        key=lambda number: (history[number - 1]["val_accuracy"], -number),
        default=0,
    )


def send_message(**fields: Any) -> None:
    """Write one line of JSON for the parent process, which shows the progress."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def _write_history(directory: VisionDirectory, history: list[EpochMetrics]) -> None:
    content = json.dumps(history)
    replace_file(directory.history, lambda partial: partial.write_text(content))


def _checkpoint(directory: VisionDirectory, number: int, suffix: str) -> Path:
    return directory.path / "checkpoints" / (CHECKPOINT_NAME.format(number) + suffix)


def _remove_checkpoints(directory: VisionDirectory, needed: set[int], suffix: str) -> None:
    names = {CHECKPOINT_NAME.format(number) + suffix for number in needed}
    for file in (directory.path / "checkpoints").iterdir():
        if file.name not in names:
            file.unlink()
