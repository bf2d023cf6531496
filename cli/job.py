"""`tick job …`: the one Flink job between Kafka, the lakehouse and the features."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from contracts.settings import Settings

Alone = Annotated[bool, typer.Option("--alone", help="only the Flink job: the online writer runs elsewhere")]

app = typer.Typer(help="The live Flink job: validate, store, compute features.", no_args_is_help=True)


def register(into: typer.Typer) -> None:
    """Add `job` to the command line."""
    into.add_typer(app, name="job", rich_help_panel="The data")


@app.command("submit")
def submit(
    fresh: Annotated[bool, typer.Option("--fresh", help="start without state although there is one to resume")] = False,
    alone: Alone = False,
) -> None:
    """Start the job afresh, warmed up with the last 65 minutes of the lakehouse, and the online writer.

    A running job is left alone. When a checkpoint or savepoint exists, `tick job resume` continues there: nothing is lost or counted twice.
    """
    from contracts.clock import now_us
    from contracts.settings import settings
    from streaming import job

    if not fresh:
        _refuse_to_forget(settings())
    with _waiting("planning and starting the job") as say:
        say(job.submit_fresh(settings(), now_us()))
        if not alone:
            _start_beside(settings(), say)


def _refuse_to_forget(settings: "Settings") -> None:
    from contracts.errors import JobError
    from feature_store import flink_rest
    from streaming import job, job_states

    newest = job_states.newest_state(settings)
    if newest is not None and flink_rest.running(settings, job.NAME) is None:
        hint = "continue there with `tick job resume`, or start without it: `tick job submit --fresh`"
        raise JobError(f"there is a job to continue, with its state in {newest}", hint)


def _start_beside(settings: "Settings", say: "Callable[[str], None]") -> None:
    """What else a stream needs: the Feast repository for readers by the SDK, and the writer that brings the features to Redis."""
    from feature_store import repo
    from stack import platform

    repo.apply(settings)
    platform.start(settings, "writer")
    say("the online writer runs: `tick online status`")


@app.command("stop")
def stop() -> None:
    """Stop with a savepoint; `tick job resume` continues exactly there."""
    from contracts.settings import settings
    from streaming import job

    with _waiting("taking a savepoint") as say:
        say(f"stopped; savepoint {job.stop(settings())}")


@app.command("resume")
def resume(alone: Alone = False) -> None:
    """Continue from the newest complete checkpoint or savepoint, e.g. after `stop` or after the JobManager was lost.

    Starts the online writer too, unless it runs.
    """
    from contracts.settings import settings
    from streaming import job

    with _waiting("restoring and starting the job") as say:
        say(job.resume(settings()))
        if not alone:
            _start_beside(settings(), say)


@app.command("status")
def status() -> None:
    """State, checkpoints and size of the job. Exit code 1 when it does not run."""
    from rich.console import Console

    from contracts.settings import settings
    from feature_store.flink_rest import ENDED
    from streaming import job, job_states

    console, found = Console(highlight=False, soft_wrap=True), job.status(settings())
    if not found:
        console.print("this Flink has no live job")
    for name, value in found.items():
        console.print(f"{name:<14} {value}")
    if not found or found["state"] in ENDED:
        newest = job_states.newest_state(settings())
        console.print("start one: `tick job submit`" if newest is None else f"continue from {newest}: `tick job resume`")
    if not found or found["state"] != "RUNNING":
        raise typer.Exit(1)


@contextmanager
def _waiting(what: str) -> "Iterator[Callable[[str], None]]":
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    with console.status(f"{what} (this takes half a minute)"):
        yield console.print
