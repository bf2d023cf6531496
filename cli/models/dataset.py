"""`tick dataset rebuild`: reproduce the training set of a run at its pinned snapshots, and compare
it with the recorded one.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.exit_codes import FAILED, exit_if
from cli.tables import build_table

if TYPE_CHECKING:
    from rich.table import Table

    from training.tick.data.reproduce import ReproducedDataset


app = typer.Typer(
    help="Training sets: their provenance, and reproducing one.", no_args_is_help=True
)


def register(into: typer.Typer) -> None:
    """Add `dataset` to the command line."""
    into.add_typer(app, name="dataset", rich_help_panel="The model")


@app.callback()
def _group() -> None:
    """Training sets: their provenance, and reproducing one."""


@app.command()
def rebuild(
    run_id: Annotated[
        str,
        typer.Argument(help="from the output of `tick train tick`; also a nested run of it"),
    ],
) -> None:
    """Read the training set of a run again, at its recorded Iceberg snapshots, range and settings,
    and compare every bit.

    Exit code 0: equal. 1: it differs (the table shows where), or it is no longer readable (`tick
    lake expire` has expired a snapshot).
    """
    from rich.console import Console

    from contracts.config.settings import settings
    from training.tick.data.reproduce import reproduce_dataset

    with Console(stderr=True).status("reading the lakehouse"):
        rebuilt = reproduce_dataset(settings(), run_id)
    console = Console()
    console.print(_comparison_table(rebuilt))
    for difference in rebuilt.differences:
        console.print(f"[bold red]✗[/] {difference}", soft_wrap=True)
    exit_if(not rebuilt.equal, FAILED)
    console.print("[bold green]equal[/]: all rows are as recorded")


def _comparison_table(rebuilt: "ReproducedDataset") -> "Table":
    from training.run.provenance import iso

    recorded = rebuilt.recorded
    rows = (
        ("rows", f"{recorded.rows:,}", f"{rebuilt.rows:,}"),
        ("SHA-256", recorded.fingerprint[:16], rebuilt.fingerprint[:16]),
        ("decisions from", iso(recorded.from_us), ""),
        ("to", iso(recorded.to_us), ""),
        *((f"snapshot of {name}", str(id_), "") for name, id_ in recorded.snapshots.items()),
        *((name, str(value), "") for name, value in recorded.settings.items()),
    )
    title = f"training set of run {rebuilt.run_id}"
    return build_table(("", "recorded", "rebuilt"), rows, title=title)
