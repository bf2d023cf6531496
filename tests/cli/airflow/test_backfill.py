"""`tick airflow backfill`: its range, output and exit codes, and the estimate for slow runs."""

import io

import pytest
from rich.console import Console

from cli.airflow import backfill
from cli.airflow.backfill import ESTIMATE_PERIOD_S
from cli.reports.airflow_tables import runs_summary
from cli.reports.progress_bars import progress_bars


def test_the_remaining_time_is_known_though_a_run_takes_minutes():
    now = [0.0]
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with progress_bars(console, ESTIMATE_PERIOD_S, clock=lambda: now[0]) as report:
        for ended in range(4):
            now[0] = ended * 100.0
            report("runs", ended, 366)
    assert "10:05:00" in console.file.getvalue(), "363 runs of 100 s are left"


def test_a_year_is_summed_up_by_state():
    runs = [{"state": "success"}] * 365 + [{"state": "failed"}]
    assert runs_summary(runs) == "366 runs: 365 success, 1 failed"


DAG = "tick_daily_stats"
FOLLOWED = {
    "id": 7,
    "from_date": "2026-03-01T00:00:00Z",
    "to_date": "2026-03-02T23:59:59Z",
    "completed_at": "2026-03-03T00:00:00Z",
}


def run_of(day: int, state: str) -> dict:
    return {
        "dag_id": DAG,
        "dag_run_id": f"backfill__{day}",
        "run_type": "backfill",
        "run_after": f"2026-03-{day:02}",
        "data_interval_start": f"2026-03-{day:02}T00:00:00Z",
        "start_date": "2026-03-03T00:00:00Z",
        "end_date": "2026-03-03T00:01:00Z",
        "state": state,
    }


@pytest.fixture
def backfilled(airflow, command, monkeypatch):
    """Backfills two days whose runs end in these states; a scheduled run may be in the way."""
    monkeypatch.setattr(backfill, "POLL_S", 0.0)
    airflow.add("POST /backfills", {"id": 7})
    airflow.add(f"PATCH /dags/{DAG}", {})
    airflow.add("GET /backfills/7", FOLLOWED)

    def call(runs: list[dict], unfinished: tuple[dict, ...] = (), *arguments: str):
        listed = {"dag_runs": runs, "total_entries": len(runs)}
        scheduled = {"dag_runs": list(unfinished), "total_entries": len(unfinished)}
        airflow.add(f"GET /dags/{DAG}/dagRuns", scheduled, listed)
        return command("backfill", DAG, "--from", "2026-03-01", "--to", "2026-03-02", *arguments)

    return call


def test_the_last_day_is_included_and_the_runs_are_listed(backfilled, airflow):
    code, output = backfilled([run_of(1, "success"), run_of(2, "success")])
    assert code == 0, output
    [body] = airflow.bodies("POST /backfills")
    assert body["from_date"] == "2026-03-01T00:00:00Z"
    assert body["to_date"] == "2026-03-02T23:59:59Z"
    assert f"{DAG}: backfill 7" in output
    assert output.count(" 60 s ") == 2
    assert "2 runs: 2 success" in output


def test_a_failed_run_is_exit_code_1(backfilled):
    code, output = backfilled([run_of(1, "success"), run_of(2, "failed")])
    assert code == 1
    assert "1 success, 1 failed" in output


def test_of_many_runs_only_those_that_failed_are_listed(backfilled):
    runs = [run_of(1, "success")] * backfill.LISTED_MAX + [run_of(2, "failed")]
    code, output = backfilled(runs)
    assert code == 1
    assert output.count(" 60 s ") == 1
    assert "2026-03-02 00:00" in output
    assert "51 runs: 50 success, 1 failed" in output


def test_an_interval_that_is_skipped_is_named_and_is_exit_code_1(backfilled):
    scheduled = {"dag_run_id": "scheduled__2026-03-01"}
    code, output = backfilled([run_of(2, "success")], (scheduled,))
    assert code == 1
    assert "skipped: scheduled__2026-03-01 is running" in output


@pytest.mark.parametrize(
    ("unfinished", "expected"), [((), 0), (({"dag_run_id": "scheduled__1"},), 1)]
)
def test_without_waiting_no_run_is_listed(backfilled, airflow, unfinished, expected):
    code, output = backfilled([run_of(1, "failed")], unfinished, "--no-wait")
    assert code == expected
    assert "runs" not in output
    assert airflow.bodies("GET /backfills/7") == []


def test_a_restart_of_the_api_server_is_waited_for(backfilled, airflow):
    airflow.add("GET /backfills/7", 503, 502, FOLLOWED)
    assert backfilled([run_of(1, "success")])[0] == 0


def test_a_request_that_is_rejected_ends_the_command(backfilled, airflow):
    airflow.add("GET /backfills/7", 403)
    code, output = backfilled([run_of(1, "success")])
    assert code == 1
    assert "403" in output


def test_a_range_of_hours_is_refused(command):
    code, output = command("backfill", DAG, "--from", "2026-03-01T12:00:00", "--to", "2026-03-02")
    assert code == 2
    assert "'%Y-%m-%d'" in output
