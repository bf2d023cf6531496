"""`tick job …`: the one Flink job between Kafka, the lakehouse and the features."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

app = typer.Typer(help="The live Flink job: validate, store, compute features.", no_args_is_help=True)


def register(into: typer.Typer) -> None:
    """Add `job` to the command line."""
    into.add_typer(app, name="job", rich_help_panel="The data")


@app.command("submit")
def submit() -> None:
    """Start the job afresh, warmed up with the last 65 minutes of the lakehouse. A running job is left alone."""
    from contracts.clock import now_us
    from contracts.settings import settings
    from streaming import job

    with _waiting("planning and starting the job") as say:
        say(job.submit_fresh(settings(), now_us()))


@app.command("stop")
def stop() -> None:
    """Stop with a savepoint; `tick job resume` continues exactly there."""
    from contracts.settings import settings
    from streaming import job

    with _waiting("taking a savepoint") as say:
        say(f"stopped; savepoint {job.stop(settings())}")


@app.command("resume")
def resume() -> None:
    """Continue from the newest complete checkpoint or savepoint, e.g. after `stop` or after the JobManager was lost."""
    from contracts.settings import settings
    from streaming import job

    with _waiting("restoring and starting the job") as say:
        say(job.resume(settings()))


@app.command("status")
def status() -> None:
    """State, checkpoints and size of the job. Exit code 1 when it does not run."""
    from rich.console import Console

    from contracts.settings import settings
    from streaming import job

    console, found = Console(highlight=False), job.status(settings())
    if not found:
        console.print("no live job was ever submitted to this Flink: `tick job submit`")
        raise typer.Exit(1)
    for name, value in found.items():
        console.print(f"{name:<14} {value}")
    if found["state"] != "RUNNING":
        raise typer.Exit(1)


@contextmanager
def _waiting(what: str) -> "Iterator[Callable[[str], None]]":
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    with console.status(f"{what} (this takes half a minute)"):
        yield console.print
