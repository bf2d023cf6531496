"""The loop over epochs, the same for Keras and Torch: resumed where a kill ended it, stopped when
it no longer gets better.

It runs in the training's own process and imports neither framework. Each epoch: 1. fit, seeded by
its number, so that a resumed training repeats what an undisturbed one does  2. keep the checkpoint
3. note the epoch in the history; a kill before that repeats it.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from training.vision.directory import Folder, whole

KEPT = "{:03d}"
Line = dict[str, float]
Tell = Callable[[int, int], None]


class Trainer(Protocol):
    """A network in training. `save` and `load` keep all of it: weights, optimiser, schedule."""

    def epoch(self, number: int, tell: Tell) -> Line:
        """Fit one epoch (from 1 on) and return its numbers, val_loss and val_accuracy among
        them."""

    def save(self, file: Path) -> None:
        """Write a checkpoint."""

    def load(self, file: Path) -> None:
        """Go on from a checkpoint."""


@dataclass(frozen=True)
class Best:
    """The epoch whose checkpoint is the model, by validation accuracy, the earlier one of
    equals."""

    epoch: int
    file: Path


def run(trainer: Trainer, folder: Folder, epochs: int, patience: int, suffix: str) -> Best:
    """Train up to `epochs`, or until `patience` epochs brought no better validation accuracy, and
    leave `trainer` at the best.
    """
    history = read(folder)
    if history:
        trainer.load(_kept(folder, len(history), suffix))
        say(resumed=len(history))
    while len(history) < epochs and len(history) - best_of(history) < patience:
        number = len(history) + 1

        def step(done: int, total: int, at: int = number) -> None:
            say(epoch=at, of=epochs, step=done, steps=total)

        line = trainer.epoch(number, step)
        whole(_kept(folder, number, suffix), trainer.save)
        history.append({"epoch": float(number), **line})
        whole(folder.history, lambda part: part.write_text(json.dumps(history)))
        _tidy(folder, {number, best_of(history)}, suffix)
    best = best_of(history)
    trainer.load(_kept(folder, best, suffix))
    return Best(best, _kept(folder, best, suffix))


def read(folder: Folder) -> list[Line]:
    """The finished epochs."""
    return list(json.loads(folder.history.read_bytes())) if folder.history.is_file() else []


def best_of(history: list[Line]) -> int:
    """Number of the best epoch; 0 before the first."""
    return max(
        range(1, len(history) + 1), key=lambda n: (history[n - 1]["val_accuracy"], -n), default=0
    )


def say(**facts: Any) -> None:
    """A line for the parent process, which shows progress."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _kept(folder: Folder, number: int, suffix: str) -> Path:
    return folder.path / "checkpoints" / (KEPT.format(number) + suffix)


def _tidy(folder: Folder, wanted: set[int], suffix: str) -> None:
    names = {KEPT.format(number) + suffix for number in wanted}
    for file in (folder.path / "checkpoints").iterdir():
        if file.name not in names:
            file.unlink()
