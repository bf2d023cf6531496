"""The command `tick`: one module per group of commands, and one format of expected errors."""

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
    "containers",
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
)  # in the order of the help

HELP = """
Market ticks through Kafka, Flink, Feast, Iceberg and MLflow to a prediction, on this machine.

To see all of it once: **tick demo**. Your own platform: **tick up** starts the services,
**tick job submit** starts the stream, **tick replay** sends ticks; **tick history** and
**tick backfill** fill the lakehouse, **tick train tick** trains on it, **tick serve** runs the
prediction API, **tick down** stops everything.

Every setting is an environment variable TICK_…; all state is in TICK_HOME (default: .tick in this
folder).
"""


# Kinds of pydantic errors whose input is a number or a switch.
SHOWN_INPUTS = ("int_", "float_", "bool_", "greater_", "less_")


class Group(TyperGroup):
    """Prints an expected error of any command with its hint, and exits with code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command. Raises typer.Exit."""
        try:
            return super().invoke(ctx)
        except TickError as error:
            _print_error(error.message, error.hint)
        except ValidationError as error:
            _print_error(_describe(error), "check `env | grep TICK_` in this shell")
        raise typer.Exit(1)


def _describe(error: ValidationError) -> str:
    """The refused settings; only values of numbers and switches, because a text may be a secret."""
    lines = (
        f"invalid setting {'.'.join(map(str, each['loc']))}: {each['msg']}"
        + (f": {each['input']!r}" if each["type"].startswith(SHOWN_INPUTS) else "")
        for each in error.errors(include_url=False)
    )
    return "\n".join(lines)


def _print_error(message: str, hint: str) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]✗[/] {escape(message)}")
    if hint:
        console.print(f"  → {escape(hint)}", style="cyan")


def register_groups(into: typer.Typer) -> None:
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
register_groups(app)


def main() -> None:
    """Run the command line of this process, without the warnings of libraries unless `python -W`
    enables them.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    app()


if __name__ == "__main__":
    main()
