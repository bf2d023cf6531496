"""`tick lake snapshots` and `tick lake rollback`: earlier states of a table, and going back."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.data.lake import app
from cli.tables import build_table
from cli.times import format_us

if TYPE_CHECKING:
    from lakehouse.snapshots import SnapshotInfo

Table = Annotated[
    str, typer.Argument(help="a table of `tick lake tables`, such as silver.tick_data")
]


def register(_into: typer.Typer) -> None:
    """Add these commands to `tick lake`."""
    app.command("snapshots")(snapshots)
    app.command("rollback")(rollback)


def snapshots(table: Table) -> None:
    """List the snapshots of a table that can be read (`tick sql --as-of`) or rolled back to."""
    from rich.console import Console

    from contracts.config.settings import settings
    from lakehouse.snapshots import list_snapshots
    from lakehouse.tables import Lakehouse

    columns = ("snapshot", "taken (UTC)", "operation", "added", "deleted", "rows", "state")
    rows = map(_snapshot_cells, list_snapshots(Lakehouse(settings()), table))
    listing = build_table(columns, rows, box=None)
    Console().print(listing if listing.rows else f"{table} is empty: it has no snapshot yet")


def _snapshot_cells(snapshot: "SnapshotInfo") -> tuple[str, ...]:
    return (
        str(snapshot.snapshot_id),
        format_us(snapshot.taken_us),
        snapshot.operation,
        f"{snapshot.rows_added:,}",
        f"{snapshot.rows_deleted:,}",
        f"{snapshot.rows:,}",
        snapshot.state,
    )


def rollback(
    table: Table,
    to: Annotated[int, typer.Option("--to", help="a snapshot of `tick lake snapshots`")],
    yes: Annotated[bool, typer.Option("--yes", help="skip the confirmation")] = False,
) -> None:
    """Make an earlier snapshot the current state of a table. Nothing is deleted: another rollback
    returns to the newest one.

    If the live job writes the table, stop it first (`tick job stop`): the rollback also removes
    what it has committed since the snapshot.
    """
    from contracts.config.settings import settings
    from feature_store.backfill.rollback import rollback as roll_back

    if not yes:
        typer.confirm(
            f"{table} will be rolled back to {to}, without the rows written since then. Continue?",
            abort=True,
        )
    current = roll_back(settings(), table, to)
    typer.echo(f"{table} has {current.rows:,} rows again, as of {format_us(current.taken_us)} UTC")
