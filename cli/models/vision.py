"""`tick train mnist|cifar10`: train image classifiers in a separate process, evaluate and register
them; `tick predict mnist|cifar10`.
"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.exit_codes import REFUSED, exit_if
from cli.reports.train_report import describe_refusal, describe_repeated
from cli.tables import build_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from training.vision.specs import VisionSpec
    from training.vision.steps import VisionTraining


class Profile(StrEnum):
    """The networks for CIFAR-10."""

    RESNET9 = "resnet9"
    SIMPLE = "simple"


Data = Annotated[
    Path | None,
    typer.Option(
        help="the public file or its folder; default: TICK_HOME/downloads, downloaded if missing"
    ),
]
Epochs = Annotated[
    int, typer.Option(min=0, max=1000, help="maximum number of epochs; 0: the default number")
]
Seed = Annotated[int | None, typer.Option(help="default: TICK_SEED")]
Fresh = Annotated[
    bool,
    typer.Option("--fresh", help="start over instead of resuming an interrupted training"),
]


def mnist(data: Data = None, epochs: Epochs = 0, seed: Seed = None, fresh: Fresh = False) -> None:
    """Train a digit classifier with Keras and promote it if its accuracy on the test images is
    above 0.95.

    Data: Keras' mnist.npz, or a folder with the four idx files. A training that was killed resumes
    after its last epoch. Needs the group keras: `make install-vision`.

    Exit code 0: the network is Production now. 3: trained, but refused by the gate. 1: the training
    failed.
    """
    _train("mnist", data, "", epochs, seed, fresh)


def cifar10(
    data: Data = None,
    profile: Annotated[
        Profile,
        typer.Option(help="simple: a small network that the gate refuses, accuracy about 0.70"),
    ] = Profile.RESNET9,
    epochs: Epochs = 0,
    seed: Seed = None,
    fresh: Fresh = False,
) -> None:
    """Train a CIFAR-10 classifier with Torch and promote it if its accuracy on the plain test
    images is 0.85 or more.

    Data: the binary batches (tar.gz or folder), or a folder with train.parquet and test.parquet of
    JPEGs. Uses CUDA if available: a minute, instead of about an hour on two cores. A training that
    was killed resumes after its last epoch. Needs the group torch: `make install-vision`.

    Exit code 0: the network is Production now. 3: trained, but refused by the gate. 1: the training
    failed.
    """
    _train("cifar10", data, profile.value, epochs, seed, fresh)


Pictures = Annotated[list[Path], typer.Argument(help="PNG or JPEG files", show_default=False)]


def predict_mnist(pictures: Pictures) -> None:
    """Classify the digit on each picture with the Production network. Digits must be white on black
    and centred, as in MNIST; other sizes are scaled.
    """
    _print_predictions("mnist", pictures)


def predict_cifar10(pictures: Pictures) -> None:
    """Classify each picture into the ten classes of CIFAR-10 with the Production network. Other
    sizes are scaled to 32 × 32.
    """
    _print_predictions("cifar10", pictures)


def _print_predictions(kind: str, pictures: list[Path]) -> None:
    from rich.console import Console
    from rich.markup import escape

    from contracts.config.settings import settings
    from models import runtime
    from models.registry import Registry
    from training.vision import images
    from training.vision.specs import DATASETS

    version = Registry(settings(), DATASETS[kind].model_name(settings())).fetch_production()
    model = runtime.load_model(version.path, version.digest, version.name, version.version)
    predictions = model.predict(images.load_pictures(pictures, DATASETS[kind].shape))
    rows = (
        (escape(str(picture)), *_class_cells(model.labels, probabilities))
        for picture, probabilities in zip(pictures, predictions, strict=True)
    )
    title = f"{model.name} version {model.version}"
    columns = ("picture", "class", "probability", "second class")
    Console().print(build_table(columns, rows, title=title))


def _class_cells(
    labels: "Sequence[str]", probabilities: "npt.NDArray[np.float64]"
) -> tuple[str, ...]:
    """The most probable class with its probability, and the second one with its."""
    first, second = probabilities.argsort()[::-1][:2]
    return (
        labels[first],
        f"{probabilities[first]:.1%}",
        f"{labels[second]} {probabilities[second]:.1%}",
    )


def _train(
    kind: str, data: Path | None, profile: str, epochs: int, seed: int | None, fresh: bool
) -> None:
    from cli.reports.progress_bars import progress_bars
    from contracts.config.settings import settings
    from training.vision import directory, steps
    from training.vision.specs import VisionSpec

    spec = VisionSpec(kind, profile, epochs, settings().seed if seed is None else seed)
    key = f"cli-{spec.profile}-{spec.seed}"
    if fresh:
        directory.vision_directory(settings(), spec, key).remove()
    with progress_bars() as report:
        result = steps.train_network(settings(), spec, data, key, report)
    _print_result(spec, result)
    exit_if(result.version is None, REFUSED)


def _print_result(spec: "VisionSpec", result: "VisionTraining") -> None:
    from rich.console import Console

    from cli.reports.train_report import verdict_table

    console = Console()
    console.print(
        verdict_table(
            result.verdict,
            f"The gate for {spec.kind}, profile {spec.profile}, on the plain test images",
        )
    )
    console.print(
        f"MLflow run {result.run_id}: epochs, confusion matrix, model card", soft_wrap=True
    )
    console.print(_describe_outcome(result), soft_wrap=True)


def _describe_outcome(result: "VisionTraining") -> str:
    if result.version is None:
        return describe_refusal(result.verdict)
    return (
        f"[bold green]promoted[/]: {result.model} version {result.version} is"
        f" Production{describe_repeated(repeated=result.repeated)}"
    )
