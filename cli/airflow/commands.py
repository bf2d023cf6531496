"""`tick airflow …`: Airflow on this machine, and manual runs of its DAGs."""

import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.airflow import backfill as airflow_backfill
from cli.airflow import demo as airflow_demo
from cli.airflow.options import Dag, Parameters, Wait, build_conf
from cli.exit_codes import FAILED, REFUSED
from cli.reports.airflow_tables import coloured_state, dags_table
from cli.times import FORMATS, TIME_METAVAR

if TYPE_CHECKING:
    from stack.services.airflow_rest import Client

POLL_S = 2.0
NOT_STARTED = (None, "scheduled", "queued")

app = typer.Typer(
    help="Airflow: scheduled training, backfills, maintenance. Needs `make install-airflow`.",
    no_args_is_help=True,
)
Start = Annotated[
    datetime | None,
    typer.Option("--from", formats=FORMATS, metavar=TIME_METAVAR, help="parameter `from`, UTC"),
]
End = Annotated[
    datetime | None,
    typer.Option("--to", formats=FORMATS, metavar=TIME_METAVAR, help="parameter `to`, UTC"),
]


def register(into: typer.Typer) -> None:
    """Add `airflow` to the command line."""
    app.command("backfill")(airflow_backfill.backfill)
    app.command("demo")(airflow_demo.demo)
    into.add_typer(app, name="airflow", rich_help_panel="The services")


@app.command("up")
def up() -> None:
    """Start Postgres and Airflow (api-server, dag-processor, scheduler, triggerer) and wait until
    all are healthy.

    A DAG follows its schedule once it is unpaused, on the web page or by `tick airflow run`. Tasks
    on ticks need Flink: `tick up`.
    """
    from rich.console import Console

    from cli.reports.progress_bars import progress_bars
    from contracts.config import paths
    from contracts.config.settings import settings
    from stack.services import airflow_rest, airflow_stack

    with progress_bars() as report:
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
    """Stop Airflow and its Postgres. Unfinished tasks are retried after the next start."""
    from rich.console import Console

    from contracts.config.settings import settings
    from stack.services import airflow_stack

    with Console(stderr=True).status("stopping"):
        stopped = airflow_stack.down(settings())
    Console().print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@app.command("status")
def status() -> None:
    """List every DAG with its state (on, or off if paused), owner, schedule and newest run; then
    the files that failed to import.
    """
    from rich.console import Console
    from rich.markup import escape

    from contracts.config.settings import settings
    from stack.services.airflow_rest import Client

    client = Client(settings())
    console = Console()
    console.print(dags_table(client.dags(), client.runs()))
    for error in client.import_errors():
        reason = error["stack_trace"].strip().splitlines()[-1]
        cause = escape(f"{error['filename']}: {reason}")
        console.print(f"[bold red]✗[/] {cause}", soft_wrap=True)


@app.command("run")
def run_dag(
    dag: Dag,
    start: Start = None,
    end: End = None,
    parameters: Parameters = None,
    wait: Wait = True,
) -> None:
    """Run a DAG now, and unpause it: Airflow queues the runs of a paused DAG, and starts the
    scheduled runs of one that is not.

    Exit code 0: the run succeeded. 3: a model was trained, but refused by its gate. 1: the run
    failed.
    """
    from rich.console import Console

    from contracts.config.settings import settings
    from stack.services.airflow_rest import Client

    conf = build_conf(parameters, start, end)
    client = Client(settings())
    run_id = client.trigger(dag, conf)
    client.unpause(dag)
    Console().print(f"{dag}: {run_id}", soft_wrap=True)
    if wait:
        raise typer.Exit(_follow_run(client, dag, run_id))


def _follow_run(client: "Client", dag: str, run_id: str) -> int:
    """Print the state of each task as it changes; returns the exit code."""
    from rich.console import Console

    from stack.services.airflow_rest import ENDED_STATES

    console = Console(highlight=False)
    states: dict[str, str] = {}
    while True:
        run_state = client.get_run(dag, run_id)["state"]
        changed = _find_changes(states, client.tasks(dag, run_id))
        for name, state in changed.items():
            console.print(f"  {name}: {coloured_state(state)}", soft_wrap=True)
        states |= changed
        if run_state in ENDED_STATES:
            break
        time.sleep(POLL_S)
    console.print(f"{dag}: {coloured_state(run_state)}")
    return _exit_code(run_state, states)


def _find_changes(states: dict[str, str], tasks: list[dict[str, Any]]) -> dict[str, str]:
    """The states of tasks that have started and are not in `states`, by name."""
    started = {
        _task_name(task): task["state"] for task in tasks if task["state"] not in NOT_STARTED
    }
    return dict(item for item in started.items() if item not in states.items())


def _exit_code(run_state: str, states: dict[str, str]) -> int:
    """A training that its gate refused skips the tasks that come after it."""
    if run_state == "failed":
        return FAILED
    return REFUSED if "skipped" in states.values() else 0


def _task_name(task: dict[str, Any]) -> str:
    """The id of a task instance, with its index if the task is mapped."""
    index = task["map_index"]
    return task["task_id"] if index < 0 else f"{task['task_id']} {index}"
