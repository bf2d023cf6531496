"""Tables of DAGs and runs, from what Airflow answers."""

import pytest

from cli.reports.airflow_tables import coloured_state, dags_table, runs_summary, runs_table
from tests.cli.screens import cells, render, screen, text


def dag(dag_id: str = "tick_maintenance", **fields) -> dict:
    defaults = {"is_paused": False, "owners": ["data"], "timetable_summary": "15 3 * * *"}
    return {"dag_id": dag_id, **defaults, **fields}


def run(dag_id: str = "tick_maintenance", **fields) -> dict:
    defaults = {
        "dag_run_id": "scheduled__1",
        "run_type": "scheduled",
        "run_after": "2026-03-01T03:15:00.123456Z",
        "data_interval_start": "2026-02-28T03:15:00Z",
        "start_date": "2026-03-01T03:15:01Z",
        "end_date": "2026-03-01T03:17:31.6Z",
        "state": "success",
    }
    return {"dag_id": dag_id, **defaults, **fields}


def rows(table) -> list[list[str]]:
    return [cells(line) for line in render(table, 160)][1:]


def test_without_dags_and_runs_there_is_a_title_only():
    assert rows(dags_table([], [])) == []
    assert rows(runs_table([])) == []


def test_a_dag_without_a_run_and_without_a_schedule_has_dashes():
    never = dag(is_paused=True, timetable_summary=None, owners=["data", "research"])
    assert rows(dags_table([never], [])) == [
        ["tick_maintenance", "off", "data, research", "manual", "–"]
    ]


def test_the_newest_run_is_that_of_the_dag():
    newest = run(state="running", run_after="2026-03-02T03:15:00Z")
    table = rows(dags_table([dag("a"), dag("b")], [run("c"), newest | {"dag_id": "a"}, run("a")]))
    assert table[0] == ["a", "on", "data", "15 3 * * *", "2026-03-02 03:15:00", "running"]
    assert table[1] == ["b", "on", "data", "15 3 * * *", "–"]


def test_runs_are_listed_from_the_oldest_to_the_newest():
    late, early = run(run_after="2026-03-02"), run(run_after="2026-03-01", dag_run_id="b")
    twin = early | {"dag_run_id": "a", "run_type": "manual"}
    assert [row[1] for row in rows(runs_table([late, early, twin]))] == [
        "manual",
        "scheduled",
        "scheduled",
    ]


def test_a_run_has_its_interval_and_its_duration():
    assert rows(runs_table([run()])) == [
        [
            "tick_maintenance",
            "scheduled",
            "2026-02-28 03:15",
            "2026-03-01 03:15",
            "151 s",
            "success",
        ]
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"start_date": None, "end_date": None},
        {"end_date": None},
    ],
)
def test_a_run_that_has_not_ended_has_no_duration(fields):
    row = rows(runs_table([run(state="queued", **fields)]))[0]
    assert row[-2:] == ["–", "queued"]


def test_a_manual_run_has_no_interval():
    assert rows(runs_table([run(data_interval_start=None)]))[0][2] == "–"


@pytest.mark.parametrize(
    ("states", "summary"),
    [
        ([], "0 runs: "),
        (["success"], "1 runs: 1 success"),
        (["failed", "success", "success"], "3 runs: 2 success, 1 failed"),
    ],
)
def test_runs_are_counted_by_state(states, summary):
    assert runs_summary([{"state": state} for state in states]) == summary


@pytest.mark.parametrize("state", ["success", "failed", "running", "skipped", "up_for_retry"])
def test_a_known_state_is_coloured_on_a_terminal_only(state):
    file, terminal = screen(), screen(terminal=True)
    file.print(coloured_state(state))
    terminal.print(coloured_state(state))
    assert text(file).strip() == state
    assert "\x1b[" in text(terminal)


def test_an_unknown_state_is_printed_as_it_is():
    assert coloured_state("deferred") == "deferred"
    assert coloured_state("") == ""


def test_the_tables_of_a_usual_day_fit_80_columns():
    dags = [dag("tick_model_training"), dag("power_forecast_daily")]
    for table in (dags_table(dags, [run("tick_model_training")]), runs_table([run()])):
        assert max(map(len, render(table))) <= 80
