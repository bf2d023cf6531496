"""The output of `tick airflow backfill`: estimate for slow runs, summary of many runs."""

import io

from rich.console import Console

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
