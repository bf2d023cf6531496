"""`tick dataset rebuild`: the training set of a run, made again at its pinned snapshots and
compared with what was recorded.
"""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from training.tick.data.reproduce import ReproducedDataset

app = typer.Typer(
    help="Training sets: where they came from, and making one again.", no_args_is_help=True
)


def register(into: typer.Typer) -> None:
    """Add `dataset` to the command line."""
    into.add_typer(app, name="dataset", rich_help_panel="The model")


@app.callback()
def _group() -> None:
    """Training sets: where they came from, and making one again."""


@app.command()
def rebuild(
    run_id: Annotated[
        str,
        typer.Argument(help="as `tick train tick` prints it; a nested run stands for its parent"),
    ],
) -> None:
    """Read a run's training set again, at the Iceberg snapshots, range and settings it recorded,
    and compare every bit.

    Exit code 0: equal. 1: it differs (the table says in what), or it cannot be read any more (`tick
    lake expire` forgot a snapshot).
    """
    from rich.console import Console

    from contracts.config.settings import settings
    from training.tick.data.reproduce import reproduce_dataset

    with Console(stderr=True).status("reading the lakehouse"):
        made = reproduce_dataset(settings(), run_id)
    console = Console()
    console.print(_table(made))
    if not made.equal:
        for difference in made.differences:
            console.print(f"[bold red]✗[/] {difference}", soft_wrap=True)
        raise typer.Exit(1)
    console.print("[bold green]equal[/]: every row is the recorded one")


def _table(made: "ReproducedDataset") -> "Table":
    from rich.table import Table

    from training.run.provenance import iso

    recorded = made.recorded
    table = Table("", "recorded", "rebuilt", title=f"training set of run {made.run_id}")
    table.add_row("rows", f"{recorded.rows:,}", f"{made.rows:,}")
    table.add_row("SHA-256", recorded.fingerprint[:16], made.fingerprint[:16])
    table.add_row("decisions from", iso(recorded.from_us), "")
    table.add_row("to", iso(recorded.to_us), "")
    for name, snapshot in recorded.snapshots.items():
        table.add_row(f"snapshot of {name}", str(snapshot), "")
    for name, value in recorded.settings.items():
        table.add_row(name, str(value), "")
    return table
