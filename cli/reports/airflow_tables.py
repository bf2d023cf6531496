"""Tables of DAGs and of their runs for `tick airflow`."""

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
    """A row per DAG with its newest run; `runs` are newest first."""
    from rich.table import Table

    newest_runs: dict[str, dict[str, Any]] = {}
    for run in runs:
        newest_runs.setdefault(run["dag_id"], run)
    table = Table("DAG", "", "owner", "schedule", "newest run", "state", box=None)
    for dag in dags:
        newest = newest_runs.get(dag["dag_id"], {})
        table.add_row(
            dag["dag_id"],
            "[dim]off[/]" if dag["is_paused"] else "on",
            ", ".join(dag["owners"]),
            dag["timetable_summary"] or "manual",
            _format_time(newest.get("run_after"), 19),
            coloured_state(newest.get("state", "")),
        )
    return table


def runs_table(runs: list[dict[str, Any]]) -> "Table":
    """A row per run, oldest first."""
    from rich.table import Table

    table = Table("DAG", "type", "interval start", "started", "duration", "state", box=None)
    for run in sorted(runs, key=lambda run: (run["run_after"], run["dag_run_id"])):
        table.add_row(
            run["dag_id"],
            run["run_type"],
            _format_time(run["data_interval_start"], 16),
            _format_time(run["start_date"], 16),
            _format_duration(run["start_date"], run["end_date"]),
            coloured_state(run["state"]),
        )
    return table


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
