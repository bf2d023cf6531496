"""`tick airflow backfill`: run a scheduled DAG for a range of days, and wait for its last run."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cli.airflow.options import Dag, Parameters, Wait, build_conf
from cli.exit_codes import FAILED, exit_if
from cli.reports.airflow_tables import runs_summary, runs_table
from cli.times import DAY_FORMAT, DAY_METAVAR

if TYPE_CHECKING:
    from rich.console import Console

    from contracts.progress import Progress
    from stack.services.airflow_rest import Client

POLL_S = 2.0
UNAVAILABLE_S_MAX = 300.0  # an api-server is back within a minute or two after a restart
ESTIMATE_PERIOD_S = 6 * 3600.0  # runs take minutes: estimate from the last hours
LISTED_MAX = 50  # list all runs up to this number, beyond it only those that did not succeed
Response = TypeVar("Response")


def backfill(
    dag: Dag,
    start: Annotated[
        datetime,
        typer.Option("--from", formats=[DAY_FORMAT], metavar=DAY_METAVAR, help="first day, UTC"),
    ],
    end: Annotated[
        datetime,
        typer.Option(
            "--to", formats=[DAY_FORMAT], metavar=DAY_METAVAR, help="last day, UTC, inclusive"
        ),
    ],
    parameters: Parameters = None,
    wait: Wait = True,
) -> None:
    """Run a scheduled DAG for every interval that begins in these days, oldest first, one at a
    time.

    Repeats the runs of these days that have ended. Exit code 0: every run succeeded. 1: a run
    failed, or was skipped because the scheduler already runs that interval.
    """
    from rich.console import Console

    from contracts.config.settings import settings
    from stack.services.airflow_rest import Client

    conf = build_conf(parameters, None, None)
    client = Client(settings())
    console = Console()
    first = f"{start.isoformat()}Z"
    # Airflow's end is a time: midnight would exclude the last day.
    last = f"{(end + timedelta(days=1, seconds=-1)).isoformat()}Z"
    skipped = client.unfinished_scheduled_runs(dag, first, last)
    backfill_id = client.create_backfill(dag, first, last, conf)
    client.unpause(dag)
    console.print(f"{dag}: backfill {backfill_id}")
    for run in skipped:
        console.print(f"[yellow]skipped[/]: {run['dag_run_id']} is running", soft_wrap=True)
    failed = wait and _print_backfill(client, dag, backfill_id, console)
    exit_if(failed or bool(skipped), FAILED)


def _print_backfill(client: "Client", dag: str, backfill_id: int, console: "Console") -> bool:
    """Show progress until the backfill has completed, then its runs; returns whether one failed."""
    from cli.reports.progress_bars import progress_bars

    with progress_bars(estimate_period_s=ESTIMATE_PERIOD_S) as report:
        runs = follow_backfill(client, dag, backfill_id, report)
    failed = [run for run in runs if run["state"] != "success"]
    listed = runs if len(runs) <= LISTED_MAX else failed
    if listed:
        console.print(runs_table(listed))
    console.print(runs_summary(runs), soft_wrap=True)
    return bool(failed)


def follow_backfill(
    client: "Client", dag: str, backfill_id: int, report: "Progress"
) -> list[dict[str, Any]]:
    """Wait until a backfill has completed, without a limit; returns all its runs, oldest first.

    Calls `report` with ("runs", ended, total), and tolerates a restart of the api-server. Raises
    ServiceError when the api-server stays unavailable, AirflowError when it rejects a request.
    """
    completed = False
    while not completed:
        completed = _retry(lambda: client.backfill_has_completed(backfill_id))
        ended, total = _retry(lambda: client.backfill_progress(dag, backfill_id))
        if total:
            report("runs", ended, total)
        if not completed:
            time.sleep(POLL_S)
    return _retry(lambda: client.backfill_runs(dag, backfill_id))


def _retry(request: Callable[[], Response]) -> Response:
    """Send a request, again while the api-server is unavailable (UNAVAILABLE_S_MAX at most)."""
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

    from contracts.errors import ServiceError
    from stack.services.airflow_rest import AirflowError

    def is_unavailable(error: BaseException) -> bool:
        if isinstance(error, AirflowError):
            return error.status >= 500
        return isinstance(error, ServiceError)

    retrying = Retrying(
        retry=retry_if_exception(is_unavailable),
        stop=stop_after_delay(UNAVAILABLE_S_MAX),
        wait=wait_fixed(POLL_S),
        reraise=True,
    )
    return retrying(request)
