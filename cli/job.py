"""`tick job …`: the one Flink job between Kafka, the lakehouse and the features."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from contracts.config.settings import Settings

Alone = Annotated[
    bool, typer.Option("--alone", help="only the Flink job: the online writer runs elsewhere")
]

app = typer.Typer(
    help="The live Flink job: validate, store, compute features.", no_args_is_help=True
)


def register(into: typer.Typer) -> None:
    """Add `job` to the command line."""
    into.add_typer(app, name="job", rich_help_panel="The data")


@app.command("submit")
def submit(
    fresh: Annotated[
        bool, typer.Option("--fresh", help="start without state although there is one to resume")
    ] = False,
    alone: Alone = False,
) -> None:
    """Start the job afresh, warmed up with the last 65 minutes of the lakehouse, and the online
    writer.

    A running job is left alone. When a checkpoint or savepoint exists, `tick job resume` continues
    there: nothing is lost or counted twice.
    """
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from streaming.job import job

    if not fresh:
        _refuse_to_forget(settings())
    with _waiting("planning and starting the job") as say:
        say(job.submit_fresh(settings(), now_us()))
        if not alone:
            _start_beside(settings(), say)


def _refuse_to_forget(settings: "Settings") -> None:
    from contracts.errors import JobError
    from feature_store.flink import rest as flink_rest
    from streaming.job import job
    from streaming.job import states as job_states

    newest = job_states.newest_state(settings)
    if newest is not None and flink_rest.running(settings, job.NAME) is None:
        hint = (
            "continue there with `tick job resume`, or start without it: `tick job submit --fresh`"
        )
        raise JobError(f"there is a job to continue, with its state in {newest}", hint)


def _start_beside(settings: "Settings", say: "Callable[[str], None]") -> None:
    """What else a stream needs: the Feast repository for readers by the SDK, and the writer that
    brings the features to Redis.
    """
    from feature_store.feast_repo import objects as feast_objects
    from stack import platform

    feast_objects.apply(settings)
    platform.start(settings, "writer")
    say("the online writer runs: `tick online status`")


@app.command("stop")
def stop() -> None:
    """Stop with a savepoint; `tick job resume` continues exactly there."""
    from contracts.config.settings import settings
    from streaming.job import job

    with _waiting("taking a savepoint") as say:
        say(f"stopped; savepoint {job.stop(settings())}")


@app.command("resume")
def resume(
    state: Annotated[
        Path | None,
        typer.Option(
            "--state", exists=True, file_okay=False, help="an older checkpoint or savepoint folder"
        ),
    ] = None,
    alone: Alone = False,
) -> None:
    """Continue from the newest complete checkpoint or savepoint, e.g. after `stop` or after the
    JobManager was lost.

    A state in which a reader had finished is refused: a job restored from it never reads that topic
    again. Starts the online writer too, unless it runs.
    """
    from contracts.config.settings import settings
    from streaming.job import job

    with _waiting("restoring and starting the job") as say:
        say(job.resume(settings(), state.resolve() if state else None))
        if not alone:
            _start_beside(settings(), say)


@app.command("status")
def status() -> None:
    """State, readers, restarts and checkpoints of the job, and how far each consumer group is
    behind.

    Exit code 1 when the job does not run, a task that must run has ended, it fails again and again,
    or a group is more than TICK_CONSUMER_LAG_MAX messages behind. Groups of the job commit once per
    checkpoint.
    """
    from cli.reports import job_page

    if not job_page.show():
        raise typer.Exit(1)


@contextmanager
def _waiting(what: str) -> "Iterator[Callable[[str], None]]":
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    with console.status(f"{what} (this takes half a minute)"):
        yield console.print
