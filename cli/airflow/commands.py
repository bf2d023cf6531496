"""`tick airflow …`: Airflow on this machine; its DAGs run by hand or day by day."""

import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.airflow import backfill as airflow_backfill
from cli.airflow import demo as airflow_demo
from cli.airflow.options import Dag, Given, Wait, conf_of
from cli.reports.airflow_tables import coloured, dags_table

if TYPE_CHECKING:
    from stack.services.airflow_rest import Client

REFUSED, FAILED = 3, 1
POLL_S = 2.0
FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]

app = typer.Typer(
    help="Airflow: training, backfills, maintenance on a schedule. Needs `make install-airflow`.",
    no_args_is_help=True,
)


def register(into: typer.Typer) -> None:
    """Add `airflow` to the command line."""
    app.command("backfill")(airflow_backfill.backfill)
    app.command("demo")(airflow_demo.demo)
    into.add_typer(app, name="airflow", rich_help_panel="The services")


@app.command("up")
def up() -> None:
    """Start Postgres and Airflow (api-server, dag-processor, scheduler, triggerer) and wait until
    all are healthy.

    Schedules begin when a DAG is switched on, on the page or by `tick airflow run`. Tasks of ticks
    need Flink: `tick up`.
    """
    from rich.console import Console

    from cli.reports.progress_bars import bars
    from contracts.config import paths
    from contracts.config.settings import settings
    from stack.services import airflow_rest, airflow_stack

    with bars() as report:
        airflow_stack.up(settings(), report)
    console = Console()
    console.print(f"Airflow: {airflow_rest.url(settings())}", soft_wrap=True)
    console.print(
        f"user {airflow_rest.USER}, password in"
        f" {paths.airflow_home(settings()) / 'passwords.json'}",
        style="dim",
        soft_wrap=True,
    )


@app.command("down")
def down() -> None:
    """Stop Airflow and its Postgres. Tasks under way are tried again after the next start."""
    from rich.console import Console

    from contracts.config.settings import settings
    from stack.services import airflow_stack

    with Console(stderr=True).status("stopping"):
        stopped = airflow_stack.down(settings())
    Console().print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@app.command("status")
def status() -> None:
    """Every DAG: whether it is switched on, its owner, schedule, and its newest run; then what
    could not be imported.
    """
    from rich.console import Console

    from contracts.config.settings import settings
    from stack.services.airflow_rest import Client

    client, console = Client(settings()), Console()
    console.print(dags_table(client.dags(), client.runs()))
    for error in client.import_errors():
        console.print(
            f"[bold red]✗[/] {error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}",
            soft_wrap=True,
        )


@app.command("run")
def run(
    dag: Dag,
    start: Annotated[
        datetime | None, typer.Option("--from", formats=FORMATS, help="parameter `from`, UTC")
    ] = None,
    end: Annotated[
        datetime | None, typer.Option("--to", formats=FORMATS, help="parameter `to`, UTC")
    ] = None,
    given: Given = None,
    wait: Wait = True,  # noqa: FBT002
) -> None:
    """Run a DAG now, and switch it on (Airflow keeps the runs of a DAG that is off waiting, and
    follows the schedule of one that is on).

    Exit code 0: the run succeeded. 3: a model was trained, and refused by its gate. 1: it failed.
    """
    from rich.console import Console

    from contracts.config.settings import settings
    from stack.services.airflow_rest import Client

    client, conf = Client(settings()), conf_of(given, start, end)
    run_id = client.trigger(dag, conf)
    client.unpause(dag)
    Console().print(f"{dag}: {run_id}", soft_wrap=True)
    if wait:
        raise typer.Exit(_watch(client, dag, run_id))


def _watch(client: "Client", dag: str, run_id: str) -> int:
    """Tell each task's state as it changes; the exit code."""
    from rich.console import Console

    from stack.services.airflow_rest import ENDED_STATES

    console, told = Console(highlight=False), dict[tuple[str, int], str]()
    while True:
        state = client.get_run(dag, run_id)["state"]
        for task in client.tasks(dag, run_id):
            name, now = (task["task_id"], task["map_index"]), task["state"] or "waiting"
            if told.get(name) != now and now not in {"waiting", "scheduled", "queued"}:
                told[name] = now
                console.print(
                    f"  {task['task_id']}{'' if name[1] < 0 else f' {name[1]}'}: {coloured(now)}",
                    soft_wrap=True,
                )
        if state in ENDED_STATES:
            console.print(f"{dag}: {coloured(state)}")
            return FAILED if state == "failed" else REFUSED if "skipped" in told.values() else 0
        time.sleep(POLL_S)
