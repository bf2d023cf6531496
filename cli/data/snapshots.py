"""`tick lake snapshots` and `tick lake rollback`: earlier states of a table, and the way back to
one.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.data.lake import app

if TYPE_CHECKING:
    from lakehouse.snapshots import SnapshotInfo

Name = Annotated[
    str, typer.Argument(help="a table of `tick lake tables`, such as silver.tick_data")
]


def register(_into: typer.Typer) -> None:
    """Add these commands to `tick lake`."""
    app.command("snapshots")(snapshots)
    app.command("rollback")(rollback)


def snapshots(table: Name) -> None:
    """Every state of a table that can still be read (`tick sql --as-of`) or gone back to."""
    from rich.console import Console
    from rich.table import Table

    from contracts.config.settings import settings
    from lakehouse.snapshots import list_snapshots
    from lakehouse.tables import Lakehouse

    shown = Table(
        "snapshot", "taken (UTC)", "operation", "added", "deleted", "rows", "state", box=None
    )
    for snapshot in list_snapshots(Lakehouse(settings()), table):
        shown.add_row(
            str(snapshot.snapshot_id),
            _moment(snapshot),
            snapshot.operation,
            *(
                f"{count:,}"
                for count in (snapshot.rows_added, snapshot.rows_deleted, snapshot.rows)
            ),
            snapshot.state,
        )
    Console().print(shown if shown.rows else f"{table} is empty: it has no snapshot yet")


def rollback(
    table: Name,
    to: Annotated[int, typer.Option("--to", help="a snapshot of `tick lake snapshots`")],
    yes: Annotated[bool, typer.Option("--yes", help="do it without asking")] = False,
) -> None:
    """Make an earlier snapshot the current state of a table. Nothing is deleted: going forward
    again is another rollback.

    Stop the live job first if it writes the table (`tick job stop`): what it has committed since
    leaves the table, too.
    """
    from contracts.config.settings import settings
    from feature_store.backfill.rollback import rollback as roll_back

    if not yes:
        typer.confirm(
            f"{table} goes back to {to}; rows written since then are no longer in it. Go on?",
            abort=True,
        )
    now = roll_back(settings(), table, to)
    typer.echo(f"{table} holds {now.rows:,} rows again, as of {_moment(now)} UTC")


def _moment(snapshot: "SnapshotInfo") -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(snapshot.taken_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
