"""The command `tick`: collects one module per group of commands, and prints every expected error
the same way.
"""

import importlib
import sys
import warnings
from typing import Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from contracts.errors import TickError

GROUPS = (
    "demo",
    "platform",
    "data.replay",
    "data.live",
    "data.load",
    "job",
    "data.lake",
    "data.snapshots",
    "data.sql",
    "features.backfill",
    "features.parity",
    "data.dead_letters",
    "data.synth",
    "features.store",
    "models.train",
    "models.model",
    "models.dataset",
    "models.statistics",
    "serve",
    "airflow.commands",
)  # order of the help

HELP = """
Market ticks through Kafka, Flink, Feast, Iceberg and MLflow to a prediction, on this machine.

To see all of it once: **tick demo**. Your own platform: **tick up** starts the services,
**tick job submit** the stream, **tick replay** feeds it; **tick history** and **tick backfill**
fill the lakehouse, **tick train tick** learns from it, **tick serve** answers, **tick down** stops
everything.

Every setting is an environment variable TICK_…; TICK_HOME (default: .tick in this folder) holds
all state.
"""


class Group(TyperGroup):
    """Turns an expected error of any command into what went wrong, what to do, and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command. Raises typer.Exit."""
        try:
            return super().invoke(ctx)
        except TickError as error:
            _tell(error.message, error.hint)
        except ValidationError as error:
            _tell(
                f"a setting cannot be used: {error}", "look at the TICK_… variables of this shell"
            )
        raise typer.Exit(1)


def _tell(message: str, hint: str) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]✗[/] {escape(message)}")
    if hint:
        console.print(f"  → {escape(hint)}", style="cyan")


def collect(into: typer.Typer) -> None:
    """Add the commands of every group."""
    for group in GROUPS:
        importlib.import_module(f"cli.{group}").register(into)


app = typer.Typer(
    cls=Group,
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
collect(app)


def main() -> None:
    """Run the command line of this process; warnings of libraries among themselves are for
    developers (`python -W`).
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    app()


if __name__ == "__main__":
    main()
