"""`tick airflow …`: Airflow on this machine; its DAGs run by hand or day by day."""

import json
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import airflow_demo

if TYPE_CHECKING:
    from rich.table import Table

    from stack.airflow_rest import Client

REFUSED, FAILED = 3, 1
POLL_S = 2.0
DAY = ["%Y-%m-%d"]
FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
COLOUR = {"success": "green", "failed": "bold red", "running": "cyan", "skipped": "magenta", "up_for_retry": "yellow"}

app = typer.Typer(help="Airflow: training, backfills and upkeep on a schedule. Needs `make install-airflow`.", no_args_is_help=True)
Dag = Annotated[str, typer.Argument(help="such as tick_model_training; `tick airflow status` lists them")]
Given = Annotated[list[str] | None, typer.Option("--set", help="a parameter of the run, name=value; the value as JSON or plain text")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="wait until it is over")]


def register(into: typer.Typer) -> None:
    """Add `airflow` to the command line."""
    app.command("demo")(airflow_demo.demo)
    into.add_typer(app, name="airflow", rich_help_panel="The services")


@app.command("up")
def up() -> None:
    """Start Postgres and Airflow (api-server, dag-processor, scheduler, triggerer) and wait until all are healthy.

    Schedules begin when a DAG is switched on, on the page or by `tick airflow run`. Tasks of ticks need Flink: `tick up`.
    """
    from rich.console import Console

    from cli.bars import bars
    from contracts import paths
    from contracts.settings import settings
    from stack import airflow_rest, orchestra

    with bars() as report:
        orchestra.up(settings(), report)
    console = Console()
    console.print(f"Airflow: {airflow_rest.url(settings())}", soft_wrap=True)
    console.print(f"user {airflow_rest.USER}, password in {paths.airflow_home(settings()) / 'passwords.json'}", style="dim", soft_wrap=True)


@app.command("down")
def down() -> None:
    """Stop Airflow and its Postgres. Tasks under way are tried again after the next start."""
    from rich.console import Console

    from contracts.settings import settings
    from stack import orchestra

    with Console(stderr=True).status("stopping"):
        stopped = orchestra.down(settings())
    Console().print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@app.command("status")
def status() -> None:
    """Every DAG: whether it is switched on, its owner, schedule, and its newest run; then what could not be imported."""
    from rich.console import Console

    from contracts.settings import settings
    from stack.airflow_rest import Client

    client, console = Client(settings()), Console()
    console.print(dags_table(client.dags(), client.runs()))
    for error in client.import_errors():
        console.print(f"[bold red]✗[/] {error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}", soft_wrap=True)


@app.command("run")
def run(
    dag: Dag,
    start: Annotated[datetime | None, typer.Option("--from", formats=FORMATS, help="parameter `from`, UTC")] = None,
    end: Annotated[datetime | None, typer.Option("--to", formats=FORMATS, help="parameter `to`, UTC")] = None,
    given: Given = None,
    wait: Wait = True,  # noqa: FBT002
) -> None:
    """Run a DAG now, and switch it on (Airflow keeps the runs of a DAG that is off waiting, and follows the schedule of one that is on).

    Exit code 0: the run succeeded. 3: a model was trained, and refused by its gate. 1: it failed.
    """
    from rich.console import Console

    from contracts.settings import settings
    from stack.airflow_rest import Client

    client, conf = Client(settings()), conf_of(given, start, end)
    run_id = client.trigger(dag, conf)
    client.unpause(dag)
    Console().print(f"{dag}: {run_id}", soft_wrap=True)
    if wait:
        raise typer.Exit(_watch(client, dag, run_id))


@app.command("backfill")
def backfill(
    dag: Dag,
    start: Annotated[datetime, typer.Option("--from", formats=DAY, help="first day, UTC")],
    end: Annotated[datetime, typer.Option("--to", formats=DAY, help="last day, UTC: part of the range")],
    given: Given = None,
    wait: Wait = True,  # noqa: FBT002
) -> None:
    """Run a scheduled DAG once for every interval that begins in these days, oldest first, one at a time.

    Exit code 0: every run succeeded. 1: one failed, or could not be started.
    """
    from rich.console import Console

    from contracts.settings import settings
    from stack.airflow_rest import Client

    client = Client(settings())
    last = end + timedelta(days=1, seconds=-1)  # Airflow's end is a moment: midnight would leave the last day out
    number = client.backfill(dag, f"{start.isoformat()}Z", f"{last.isoformat()}Z", conf_of(given, None, None))
    client.unpause(dag)
    Console().print(f"{dag}: backfill {number}")
    if wait:
        raise typer.Exit(_follow(client, dag, number))


def conf_of(given: list[str] | None, start: datetime | None, end: datetime | None) -> dict[str, Any]:
    """The parameters of a run. Raises BadParameter for what has no name."""
    conf: dict[str, Any] = {}
    for word in given or []:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{word!r} is not name=value", param_hint="--set")
        conf[name] = _plain(value)
    moments = {"from": start, "to": end}
    return conf | {name: moment.isoformat() for name, moment in moments.items() if moment is not None}


def _plain(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _watch(client: "Client", dag: str, run_id: str) -> int:
    """Tell each task's state as it changes; the exit code."""
    from rich.console import Console

    from stack.airflow_rest import ENDED

    console, told = Console(highlight=False), dict[tuple[str, int], str]()
    while True:
        state = client.run(dag, run_id)["state"]
        for task in client.tasks(dag, run_id):
            name, now = (task["task_id"], task["map_index"]), task["state"] or "waiting"
            if told.get(name) != now and now not in {"waiting", "scheduled", "queued"}:
                told[name] = now
                console.print(f"  {task['task_id']}{'' if name[1] < 0 else f' {name[1]}'}: {_coloured(now)}", soft_wrap=True)
        if state in ENDED:
            console.print(f"{dag}: {_coloured(state)}")
            return FAILED if state == "failed" else REFUSED if "skipped" in told.values() else 0
        time.sleep(POLL_S)


def _follow(client: "Client", dag: str, number: int) -> int:
    from rich.console import Console

    console = Console()
    with console.status("running"):
        while not client.backfill_is_over(number):
            time.sleep(POLL_S)
    runs = client.runs_of_backfill(dag, number)
    console.print(runs_table(runs))
    return FAILED if any(run["state"] != "success" for run in runs) else 0


def dags_table(dags: list[dict[str, Any]], runs: list[dict[str, Any]]) -> "Table":
    """A line per DAG with its newest run; `runs` are newest first."""
    from rich.table import Table

    newest: dict[str, dict[str, Any]] = {}
    for each in runs:
        newest.setdefault(each["dag_id"], each)
    table = Table("DAG", "", "owner", "schedule", "newest run", "state", box=None)
    for dag in dags:
        last, switched = newest.get(dag["dag_id"], {}), "[dim]off[/]" if dag["is_paused"] else "on"
        begun = (last.get("run_after") or "–")[:19].replace("T", " ")
        words = (", ".join(dag["owners"]), dag["timetable_summary"] or "by hand", begun, _coloured(last.get("state", "")))
        table.add_row(dag["dag_id"], switched, *words)
    return table


def runs_table(runs: list[dict[str, Any]]) -> "Table":
    """A line per run, oldest first."""
    from rich.table import Table

    table = Table("DAG", "type", "interval begins", "started", "took", "state", box=None)
    for each in sorted(runs, key=lambda run: (run["run_after"], run["dag_run_id"])):
        begins, started = ((each[name] or "–")[:16].replace("T", " ") for name in ("data_interval_start", "start_date"))
        took = _seconds(each["start_date"], each["end_date"])
        table.add_row(each["dag_id"], each["run_type"], begins, started, took, _coloured(each["state"]))
    return table


def _seconds(start: str | None, end: str | None) -> str:
    if not start or not end:
        return "–"
    return f"{(datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds():.0f} s"


def _coloured(state: str) -> str:
    return f"[{COLOUR[state]}]{state}[/]" if state in COLOUR else state
