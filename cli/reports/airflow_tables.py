"""Tables of DAGs and of their runs for `tick airflow`."""

from collections import Counter
from datetime import datetime
from typing import Any

from rich.markup import escape
from rich.table import Table

from cli.tables import build_table

COLOUR = {
    "success": "green",
    "failed": "bold red",
    "running": "cyan",
    "skipped": "magenta",
    "up_for_retry": "yellow",
}


def dags_table(dags: list[dict[str, Any]], runs: list[dict[str, Any]]) -> Table:
    """A row per DAG with its newest run; `runs` are newest first."""
    newest_runs = {run["dag_id"]: run for run in reversed(runs)}
    columns = ("DAG", "", "owner", "schedule", "newest run", "state")
    return build_table(
        columns, (_dag_cells(dag, newest_runs.get(dag["dag_id"], {})) for dag in dags), box=None
    )


def _dag_cells(dag: dict[str, Any], newest_run: dict[str, Any]) -> tuple[str, ...]:
    return (
        dag["dag_id"],
        "[dim]off[/]" if dag["is_paused"] else "on",
        escape(", ".join(dag["owners"])),
        dag["timetable_summary"] or "manual",
        _format_time(newest_run.get("run_after"), 19),
        coloured_state(newest_run.get("state", "")),
    )


def runs_table(runs: list[dict[str, Any]]) -> Table:
    """A row per run, oldest first."""
    columns = ("DAG", "type", "interval start", "started", "duration", "state")
    oldest_first = sorted(runs, key=lambda run: (run["run_after"], run["dag_run_id"]))
    return build_table(columns, map(_run_cells, oldest_first), box=None)


def _run_cells(run: dict[str, Any]) -> tuple[str, ...]:
    return (
        run["dag_id"],
        run["run_type"],
        _format_time(run["data_interval_start"], 16),
        _format_time(run["start_date"], 16),
        _format_duration(run["start_date"], run["end_date"]),
        coloured_state(run["state"]),
    )


def _format_time(iso_time: str | None, characters: int) -> str:
    return (iso_time or "–")[:characters].replace("T", " ")


def _format_duration(start: str | None, end: str | None) -> str:
    if not start or not end:
        return "–"
    return f"{(datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds():.0f} s"


def runs_summary(runs: list[dict[str, Any]]) -> str:
    """The number of runs, in total and by state."""
    states = Counter(run["state"] for run in runs)
    return f"{len(runs)} runs: " + ", ".join(f"{n} {state}" for state, n in states.most_common())


def coloured_state(state: str) -> str:
    """The state in its colour, as rich markup."""
    return f"[{COLOUR[state]}]{state}[/]" if state in COLOUR else state
