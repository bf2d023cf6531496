"""`tick train …`: train a model, and print the verdict of the gate."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.exit_codes import REFUSED, exit_if
from cli.models import power, vision
from cli.times import FORMATS, TIME_METAVAR, optional_us

if TYPE_CHECKING:
    from rich.console import Console

    from training.tick.all_steps import TickTraining


train_app = typer.Typer(
    help="Train a model, and promote it if it passes the gate.", no_args_is_help=True
)
From = Annotated[
    datetime | None,
    typer.Option(
        "--from",
        formats=FORMATS,
        metavar=TIME_METAVAR,
        help="first decision, UTC; default: the oldest data",
    ),
]
To = Annotated[
    datetime | None,
    typer.Option(
        "--to",
        formats=FORMATS,
        metavar=TIME_METAVAR,
        help="no decision at or after this, UTC; default: now",
    ),
]


def register(app: typer.Typer) -> None:
    """Add `train` to the command line."""
    train_app.command("power")(power.train)
    train_app.command("mnist")(vision.mnist)
    train_app.command("cifar10")(vision.cifar10)
    app.add_typer(train_app, name="train", rich_help_panel="The model")


@train_app.callback()
def _group() -> None:
    """Train a model, and promote it if it passes the gate."""


@train_app.command("tick")
def tick(start: From = None, end: To = None) -> None:
    """Train the tick model on the lakehouse and promote it if it passes the gate.

    Needs ticks and features of more than seven full UTC days (`tick backfill`): the last seven, and
    the incomplete day after them, are the hold-out days, on which the gate decides.

    Exit code 0: the model is Production now. 3: trained, but refused by the gate; the table shows
    why. 1: the training failed.
    """
    from rich.console import Console

    from cli.reports import train_report
    from cli.reports.progress_bars import progress_bars
    from contracts.config.settings import settings
    from training.tick.all_steps import train_tick

    with progress_bars() as report:
        result = train_tick(settings(), optional_us(start), optional_us(end), report)
    console = Console()
    if result.walk_forward.folds:
        console.print(train_report.folds_table(result.walk_forward))
        console.print(train_report.walk_table(result.walk_forward))
    console.print(train_report.verdict_table(result.verdict))
    console.print(train_report.backtest_table(result))
    _print_summary(console, result)
    exit_if(not result.promoted, REFUSED)


def _print_summary(console: "Console", result: "TickTraining") -> None:
    low, high = result.sharpe_interval
    console.print(
        f"{result.train_rows:,} training and {result.test_rows:,} test rows from"
        f" {result.trained_on}; MLflow run {result.run_id}"
    )
    deflated = f"deflated Sharpe probability {result.dsr:.3g} (trainings: {result.trainings})"
    console.print(
        f"Sharpe 95 % interval {low:.3g} to {high:.3g} (stationary bootstrap); {deflated}"
    )
    if result.walk_forward.note:
        console.print(f"[yellow]walk-forward: {result.walk_forward.note}[/]")
    console.print(f"to reproduce its training set: `tick dataset rebuild {result.run_id}`")
    if result.synthetic:
        console.print(
            "[yellow]The data has a planted signal without market impact and capacity limits: no"
            " real market has such a Sharpe.[/]"
        )
    if result.promoted:
        console.print(f"[bold green]promoted[/]: version {result.version} is Production")
    else:
        console.print("[bold red]refused[/]: " + "; ".join(result.verdict.reasons))
