"""Tasks of the image classifiers; the network itself is trained in a process of its own, where
Keras or Torch is installed.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dags.tasks.run import given, key, parameter, refuse_unless_passed, tell

if TYPE_CHECKING:
    from training.vision.specs import Spec


def _spec(kind: str, profile: str) -> "Spec":
    from training.vision.specs import Spec

    seed = parameter("seed")
    return Spec(
        kind,
        profile,
        parameter("epochs") or 0,
        given().seed if seed is None else seed,
        rows_max=parameter("rows_max") or 0,
    )


def prepare_data(kind: str, profile: str) -> None:
    """Read the data set, by default the downloaded public one.

    The framework is not looked for here: a worker of batch_queue may lack Keras and Torch.
    """
    from training.vision import steps

    data = parameter("data")
    steps.prepare_data(
        given(),
        _spec(kind, profile),
        key(),
        Path(data) if data else None,
        tell,
    )


def train_model(kind: str, profile: str) -> None:
    """Fit, or go on where a kill ended that."""
    from training.vision import steps

    steps.train_model(given(), _spec(kind, profile), key(), tell)


def evaluate_model(kind: str, profile: str) -> dict[str, Any]:
    """Accuracy on the plain test images."""
    from training.vision import steps

    verdict = steps.evaluate_model(given(), _spec(kind, profile), key(), tell)
    return {
        "gate_pass": verdict.gate_pass,
        "reasons": verdict.reasons,
        "accuracy": verdict.checks[0].value,
    }


def register_model(kind: str, profile: str) -> str:
    """The gate decides: a new Production version, or skipped with the reasons."""
    from training.vision import steps

    result = steps.register_model(given(), _spec(kind, profile), key(), tell)
    refuse_unless_passed(result.verdict)
    return str(result.version)
