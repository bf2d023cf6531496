"""`tick airflow backfill`: a scheduled DAG day by day, followed to the end of its last run."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cli.airflow.options import Dag, Given, Wait, conf_of
from cli.reports.airflow_tables import runs_table, summary

if TYPE_CHECKING:
    from rich.console import Console

    from stack.progress import Progress
    from stack.services.airflow_rest import Client

FAILED = 1
POLL_S = 2.0
ABSENT_S_MAX = 300.0  # an api-server that restarts answers again within a minute or two
SPEED_OVER_S = 6 * 3600.0  # runs take minutes: the estimate looks back over hours
ROWS_MAX = 50  # more runs than this are counted, and only those that did not succeed are listed
DAY = ["%Y-%m-%d"]
Answer = TypeVar("Answer")


def backfill(
    dag: Dag,
    start: Annotated[datetime, typer.Option("--from", formats=DAY, help="first day, UTC")],
    end: Annotated[
        datetime,
        typer.Option("--to", formats=DAY, help="last day, UTC: part of the range"),
    ],
    given: Given = None,
    wait: Wait = True,  # noqa: FBT002
) -> None:
    """Run a scheduled DAG for every interval that begins in these days, oldest first, one at a
    time.

    Runs of these days that have ended are repeated. Exit code 0: every run succeeded. 1: one
    failed, or was left out because the scheduler already runs that interval.
    """
    from rich.console import Console

    from contracts.config.settings import settings
    from stack.services.airflow_rest import Client

    client, console = Client(settings()), Console()
    first = f"{start.isoformat()}Z"
    # Airflow's end is a moment: midnight would leave the last day out.
    last = f"{(end + timedelta(days=1, seconds=-1)).isoformat()}Z"
    left_out = client.unfinished_scheduled_runs(dag, first, last)
    number = client.create_backfill(dag, first, last, conf_of(given, None, None))
    client.unpause(dag)
    console.print(f"{dag}: backfill {number}")
    for run in left_out:
        console.print(f"[yellow]left out[/]: {run['dag_run_id']} is under way", soft_wrap=True)
    code = _finish(client, dag, number, console) if wait else 0
    raise typer.Exit(code or (FAILED if left_out else 0))


def _finish(client: "Client", dag: str, number: int, console: "Console") -> int:
    """Show progress until the backfill is over, then its runs; the exit code."""
    from cli.reports.progress_bars import bars

    with bars(speed_over_s=SPEED_OVER_S) as report:
        runs = follow(client, dag, number, report)
    failed = [run for run in runs if run["state"] != "success"]
    listed = runs if len(runs) <= ROWS_MAX else failed
    if listed:
        console.print(runs_table(listed))
    console.print(summary(runs), soft_wrap=True)
    return FAILED if failed else 0


def follow(client: "Client", dag: str, number: int, report: "Progress") -> list[dict[str, Any]]:
    """Wait until a backfill is over, however long that is; returns all its runs, oldest first.

    `report` is called with ("runs", ended, total). An api-server that restarts is waited for.
    Raises ServiceError when it stays away, AirflowError for what it refuses.
    """
    over = False
    while not over:
        over = _patiently(lambda: client.backfill_has_completed(number))
        ended, total = _patiently(lambda: client.backfill_progress(dag, number))
        if total:
            report("runs", ended, total)
        if not over:
            time.sleep(POLL_S)
    return _patiently(lambda: client.backfill_runs(dag, number))


def _patiently(ask: Callable[[], Answer]) -> Answer:
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

    from contracts.errors import ServiceError
    from stack.services.airflow_rest import AirflowError

    def absent(error: BaseException) -> bool:
        if isinstance(error, AirflowError):
            return error.status >= 500
        return isinstance(error, ServiceError)

    tries = Retrying(
        retry=retry_if_exception(absent),
        stop=stop_after_delay(ABSENT_S_MAX),
        wait=wait_fixed(POLL_S),
        reraise=True,
    )
    return tries(ask)
