"""`tick train mnist|cifar10`: image classifiers, trained in a separate process, judged,
registered; `tick predict mnist|cifar10`.
"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from training.vision.specs import Spec
    from training.vision.steps import VisionTraining

REFUSED = 3


class Profile(StrEnum):
    """The networks for CIFAR-10."""

    RESNET9 = "resnet9"
    SIMPLE = "simple"


Data = Annotated[
    Path | None,
    typer.Option(
        help="the public file or its folder; default: TICK_HOME/downloads, fetched when missing"
    ),
]
Epochs = Annotated[int, typer.Option(min=0, max=1000, help="at most so many; 0: the usual number")]
Seed = Annotated[int | None, typer.Option(help="default: TICK_SEED")]
Fresh = Annotated[
    bool,
    typer.Option("--fresh", help="start over, also where an earlier training was ended on its way"),
]


def mnist(data: Data = None, epochs: Epochs = 0, seed: Seed = None, fresh: Fresh = False) -> None:  # noqa: FBT002
    """Train digits by Keras and promote the network if its accuracy on the test images is above
    0.95.

    Data: Keras' mnist.npz, or a folder with the four idx files. A training that was killed goes on
    after its last epoch. Needs the group keras: `make install-vision`.

    Exit code 0: the network is Production now. 3: trained, and honestly refused. 1: it could not be
    trained.
    """
    _train("mnist", data, "", epochs, seed, fresh)


def cifar10(
    data: Data = None,
    profile: Annotated[
        Profile, typer.Option(help="simple: a small network that the gate refuses, at about 0.70")
    ] = Profile.RESNET9,
    epochs: Epochs = 0,
    seed: Seed = None,
    fresh: Fresh = False,  # noqa: FBT002
) -> None:
    """Train CIFAR-10 by Torch and promote the network if its accuracy on the plain test images is
    0.85 or more.

    Data: the binary batches (tar.gz or folder), or a folder with train.parquet and test.parquet of
    JPEGs. CUDA is used when present: a minute there, about an hour on two cores. A training that
    was killed goes on after its last epoch. Needs the group torch: `make install-vision`.

    Exit code 0: the network is Production now. 3: trained, and honestly refused. 1: it could not be
    trained.
    """
    _train("cifar10", data, profile.value, epochs, seed, fresh)


Pictures = Annotated[list[Path], typer.Argument(help="PNG or JPEG files", show_default=False)]


def predict_mnist(pictures: Pictures) -> None:
    """Which digit each picture shows, by the Production network: white on black and centred, as
    MNIST's are. Other sizes are scaled.
    """
    _predict("mnist", pictures)


def predict_cifar10(pictures: Pictures) -> None:
    """Which of CIFAR-10's ten things each picture shows, by the Production network. Other sizes are
    scaled to 32 × 32.
    """
    _predict("cifar10", pictures)


def _predict(kind: str, pictures: list[Path]) -> None:
    from rich.console import Console
    from rich.table import Table

    from contracts.config.settings import settings
    from models import registry, runtime
    from training.vision import images
    from training.vision.specs import DATASETS

    found = registry.fetch_production(settings(), DATASETS[kind].model_name(settings()))
    model = runtime.load_model(found.path, found.digest, found.name, found.version)
    answers = model.predict(images.load_pictures(pictures, DATASETS[kind].shape))
    table = Table(
        "picture", "answer", "probability", "else", title=f"{model.name} version {model.version}"
    )
    for picture, row in zip(pictures, answers, strict=True):
        first, second = row.argsort()[::-1][:2]
        table.add_row(
            str(picture),
            model.labels[first],
            f"{row[first]:.1%}",
            f"{model.labels[second]} {row[second]:.1%}",
        )
    Console().print(table)


def _train(
    kind: str, data: Path | None, profile: str, epochs: int, seed: int | None, fresh: bool
) -> None:  # noqa: FBT001
    from cli.reports.progress_bars import bars
    from contracts.config.settings import settings
    from training.vision import directory, steps
    from training.vision.specs import Spec

    given = settings()
    spec = Spec(kind, profile, epochs, given.seed if seed is None else seed)
    key = f"cli-{spec.profile}-{spec.seed}"
    if fresh:
        directory.vision_directory(given, spec, key).remove()
    with bars() as report:
        result = steps.train_network(given, spec, data, key, report)
    _show(spec, result)
    if result.version is None:
        raise typer.Exit(REFUSED)


def _show(spec: "Spec", result: "VisionTraining") -> None:
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
    if result.version is None:
        console.print(
            "[bold red]refused[/], nothing registered: " + "; ".join(result.verdict.reasons),
            soft_wrap=True,
        )
    else:
        again = (
            " (the same content was registered before: no second version)"
            if result.repeated
            else ""
        )
        console.print(
            f"[bold green]promoted[/]: {result.model} version {result.version} is"
            f" Production{again}",
            soft_wrap=True,
        )
