"""Tasks of the image classifiers; training runs in a subprocess with Keras or PyTorch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dags.tasks.task_context import (
    current_settings,
    log_progress,
    parameter,
    refuse_unless_passed,
    run_key,
)

if TYPE_CHECKING:
    from training.vision.specs import VisionSpec


def _spec(kind: str, profile: str) -> "VisionSpec":
    from training.vision.specs import VisionSpec

    seed = parameter("seed")
    return VisionSpec(
        kind,
        profile,
        parameter("epochs") or 0,
        current_settings().seed if seed is None else seed,
        rows_max=parameter("rows_max") or 0,
    )


def prepare_data(kind: str, profile: str) -> None:
    """Read the data set, by default the downloaded public one.

    Must not need the framework: a worker of batch_queue may lack Keras and PyTorch.
    """
    from training.vision import steps

    data = parameter("data")
    steps.prepare_data(
        current_settings(),
        _spec(kind, profile),
        run_key(),
        Path(data) if data else None,
        log_progress,
    )


def train_model(kind: str, profile: str) -> None:
    """Train the network, or resume a killed training."""
    from training.vision import steps

    steps.train_model(current_settings(), _spec(kind, profile), run_key(), log_progress)


def evaluate_model(kind: str, profile: str) -> dict[str, Any]:
    """Evaluate the accuracy on the original test images."""
    from training.vision import steps

    verdict = steps.evaluate_model(
        current_settings(), _spec(kind, profile), run_key(), log_progress
    )
    return {
        "gate_pass": verdict.gate_pass,
        "reasons": verdict.reasons,
        "accuracy": verdict.checks[0].value,
    }


def register_model(kind: str, profile: str) -> str:
    """Register a new Production version if the gate passed, otherwise skip with the reasons."""
    from training.vision import steps

    result = steps.register_model(current_settings(), _spec(kind, profile), run_key(), log_progress)
    refuse_unless_passed(result.verdict)
    return str(result.version)
