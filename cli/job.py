"""`tick job …`: the live Flink job between Kafka, the lakehouse and the features."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.exit_codes import FAILED, REFUSED, exit_if

if TYPE_CHECKING:
    from contracts.config.groups.flink import FlinkSettings
    from contracts.config.settings import Settings

Alone = Annotated[
    bool, typer.Option("--alone", help="only the Flink job: the online writer runs elsewhere")
]

app = typer.Typer(
    help="The live Flink job: validates and stores ticks, computes features.",
    no_args_is_help=True,
)


def register(into: typer.Typer) -> None:
    """Add `job` to the command line."""
    into.add_typer(app, name="job", rich_help_panel="The data")


@app.command("submit")
def submit(
    fresh: Annotated[
        bool, typer.Option("--fresh", help="start without state even if there is a state to resume")
    ] = False,
    alone: Alone = False,
) -> None:
    """Start a new job, warmed up with the last 65 minutes of the lakehouse, and the online writer.

    A running job is left alone. If a checkpoint or savepoint exists, use `tick job resume`: it
    continues there, and no tick is lost or counted twice.
    """
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from streaming.job import job

    if not fresh:
        _require_no_state(settings())
    with _status_line("planning and starting the job") as print_line:
        on_running = partial(_print_running, print_line)
        print_line(job.submit_fresh(settings(), now_us(), on_running=on_running))
        if not alone:
            _start_writer(settings(), print_line)


def _print_running(print_line: "Callable[[str], None]", job_id: str) -> None:
    print_line(f"the live job is already running as {job_id}: nothing was changed")


def _require_no_state(settings: "FlinkSettings") -> None:
    """Raises JobError when a new job would ignore the state of a previous one."""
    from contracts.errors import JobError
    from feature_store.flink import rest as flink_rest
    from streaming.job import job
    from streaming.job import states as job_states

    newest = job_states.newest_state(settings)
    if newest is not None and flink_rest.running_job(settings, job.NAME) is None:
        raise JobError(
            f"a previous job left its state in {newest}",
            "continue it with `tick job resume`, or start without it: `tick job submit --fresh`",
        )


def _start_writer(settings: "Settings", print_line: "Callable[[str], None]") -> None:
    """Apply the Feast repository, for readers with its SDK, and start the writer of the online
    store.
    """
    from feature_store.feast_repo import objects as feast_objects
    from stack import platform

    feast_objects.apply(settings)
    platform.start(settings, "writer")
    print_line("the online writer is running: `tick online status`")


@app.command("stop")
def stop() -> None:
    """Stop the job with a savepoint; `tick job resume` continues exactly there."""
    from contracts.config.settings import settings
    from streaming.job import job

    with _status_line("taking a savepoint") as print_line:
        print_line(f"stopped; savepoint {job.stop(settings())}")


@app.command("skip-expired")
def skip_expired() -> None:
    """Let the job's readers continue at the oldest message that Kafka still has.

    For a job that was stopped for longer than its topics keep messages. Prints what can no longer
    be read. Start the job afterwards with `tick job submit --fresh`: a saved state has the old
    offsets.
    """
    from contracts.config.settings import settings
    from streaming.job import offsets

    with _status_line("reading offsets") as print_line:
        for gap in offsets.skip_expired(settings()) or ["no message has expired unread"]:
            print_line(gap)


@app.command("skip")
def skip(
    partition: Annotated[int, typer.Argument(help="partition of `ticks`", min=0)],
    offset: Annotated[int, typer.Argument(help="offset of the message", min=0)],
) -> None:
    """Step over one message on which the job fails, and keep it as a dead letter (`skipped`).

    The job reads the list of such messages when it starts: `tick job resume` after it has failed or
    was stopped. Its state and all other messages stay.
    """
    from contracts.config.settings import settings
    from streaming.job import skipped

    with _status_line("reading the message") as print_line:
        is_new = skipped.skip(settings(), partition, offset)
        outcome = "kept as a dead letter" if is_new else "was skipped before"
        print_line(
            f"ticks/{partition}/{offset}: {outcome}; the job steps over it from its next start on"
        )


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
    """Continue from the newest complete checkpoint or savepoint, e.g. after `stop` or after a crash
    of the JobManager.

    Refuses a state in which a reader had finished: a job restored from it would never read that
    topic again. Also starts the online writer, unless it runs.
    """
    from contracts.config.settings import settings
    from streaming.job import job

    with _status_line("restoring and starting the job") as print_line:
        chosen = state.resolve() if state else None
        on_running = partial(_print_running, print_line)
        print_line(job.resume(settings(), chosen, on_running=on_running))
        if not alone:
            _start_writer(settings(), print_line)


@app.command("upgrade")
def upgrade(
    dry: Annotated[
        bool, typer.Option("--dry", help="only plan the program, and print what would be done")
    ] = False,
    stretch: Annotated[
        int | None,
        typer.Option(
            "--stretch",
            min=1,
            max=3600,
            metavar="SECONDS",
            help="event time to compare; default: TICK_UPGRADE_STRETCH_S",
        ),
    ] = None,
    changed: Annotated[
        list[str] | None,
        typer.Option("--changed", metavar="FEATURE", help="its values may differ; repeatable"),
    ] = None,
    alone: Alone = False,
) -> None:
    """Replace the running job by the program of this version: the one way to update it.

    If the state fits the program, the job continues from it. Otherwise the new program first runs
    alongside the old one, into a separate topic, and both are compared. It takes over only if no
    difference is unexplained. Whatever fails, the old program keeps running or is started again.

    Exit code 0: replaced, or nothing to do. 3: refused by the comparison. 1: failed.
    """
    from rich.console import Console

    from cli.reports.progress_bars import progress_bars
    from cli.reports.upgrade_report import print_outcome
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from streaming.upgrade import upgrade as job_upgrade

    chosen = settings().model_copy(update={"upgrade_stretch_s": stretch} if stretch else {})
    with progress_bars() as progress:
        outcome = job_upgrade.upgrade(
            chosen, now_us(), changed=changed or (), dry=dry, progress=progress
        )
    print_outcome(Console(highlight=False), outcome)
    if outcome.upgraded and not alone:
        _restart_writer(settings())
    exit_if(outcome.refused, REFUSED)


def _restart_writer(settings: "Settings") -> None:
    """Let the online writer know the columns of this version."""
    from stack import platform

    platform.down(settings, ["writer"])
    with _status_line("starting the online writer") as print_line:
        _start_writer(settings, print_line)


@app.command("status")
def status() -> None:
    """State, tasks, restarts and checkpoints of the job, and the lag of each consumer group.

    Exit code 1 when the job does not run, a task that must run has ended, the job fails repeatedly,
    or a group is more than TICK_CONSUMER_LAG_MAX messages behind. The groups of the job commit once
    per checkpoint.
    """
    from cli.reports.job_page import print_job_status

    exit_if(not print_job_status(), FAILED)


@contextmanager
def _status_line(action: str) -> "Iterator[Callable[[str], None]]":
    """Show what is being done; yields a function that prints a line."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    with console.status(f"{action} (this takes half a minute)"):
        yield console.print
