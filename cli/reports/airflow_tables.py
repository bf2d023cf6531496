"""Tables of DAGs and of their runs, as `tick airflow` prints them."""

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

COLOUR = {
    "success": "green",
    "failed": "bold red",
    "running": "cyan",
    "skipped": "magenta",
    "up_for_retry": "yellow",
}


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
        words = (
            ", ".join(dag["owners"]),
            dag["timetable_summary"] or "by hand",
            begun,
            coloured(last.get("state", "")),
        )
        table.add_row(dag["dag_id"], switched, *words)
    return table


def runs_table(runs: list[dict[str, Any]]) -> "Table":
    """A line per run, oldest first."""
    from rich.table import Table

    table = Table("DAG", "type", "interval begins", "started", "took", "state", box=None)
    for each in sorted(runs, key=lambda run: (run["run_after"], run["dag_run_id"])):
        begins, started = (
            (each[name] or "–")[:16].replace("T", " ")
            for name in ("data_interval_start", "start_date")
        )
        took = _seconds(each["start_date"], each["end_date"])
        table.add_row(
            each["dag_id"], each["run_type"], begins, started, took, coloured(each["state"])
        )
    return table


def _seconds(start: str | None, end: str | None) -> str:
    if not start or not end:
        return "–"
    return f"{(datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds():.0f} s"


def summary(runs: list[dict[str, Any]]) -> str:
    """How many runs there are, and how many in each state."""
    states = Counter(run["state"] for run in runs)
    return f"{len(runs)} runs: " + ", ".join(f"{n} {state}" for state, n in states.most_common())


def coloured(state: str) -> str:
    """The state in its colour, as rich markup."""
    return f"[{COLOUR[state]}]{state}[/]" if state in COLOUR else state
