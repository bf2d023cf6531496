"""`tick lake snapshots` and `tick lake rollback`: earlier states of a table, and going back."""

from typing import Annotated

import typer

from cli.data.lake import app
from cli.times import format_us

Table = Annotated[
    str, typer.Argument(help="a table of `tick lake tables`, such as silver.tick_data")
]


def register(_into: typer.Typer) -> None:
    """Add these commands to `tick lake`."""
    app.command("snapshots")(snapshots)
    app.command("rollback")(rollback)


def snapshots(table: Table) -> None:
    """List the snapshots of a table that can be read (`tick sql --as-of`) or rolled back to."""
    import rich.table
    from rich.console import Console

    from contracts.config.settings import settings
    from lakehouse.snapshots import list_snapshots
    from lakehouse.tables import Lakehouse

    listing = rich.table.Table(
        "snapshot", "taken (UTC)", "operation", "added", "deleted", "rows", "state", box=None
    )
    for snapshot in list_snapshots(Lakehouse(settings()), table):
        listing.add_row(
            str(snapshot.snapshot_id),
            format_us(snapshot.taken_us),
            snapshot.operation,
            f"{snapshot.rows_added:,}",
            f"{snapshot.rows_deleted:,}",
            f"{snapshot.rows:,}",
            snapshot.state,
        )
    Console().print(listing if listing.rows else f"{table} is empty: it has no snapshot yet")


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
