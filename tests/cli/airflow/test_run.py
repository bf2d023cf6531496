"""`tick airflow run | status`: what is sent, what is printed, and the exit codes."""

import pytest

from cli.airflow import commands
from cli.airflow.commands import _exit_code, _find_changes

RUNS = "/dags/tick_model_training/dagRuns"
RUN = f"{RUNS}/manual__1"
DAG = "tick_model_training"


def task(name: str, state: str | None, index: int = -1) -> dict:
    return {"task_id": name, "state": state, "map_index": index}


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(commands, "POLL_S", 0.0)


@pytest.fixture
def run(airflow, command):
    """Runs a DAG that takes these states and tasks, poll by poll."""
    airflow.add(f"POST {RUNS}", {"dag_run_id": "manual__1"})
    airflow.add(f"PATCH /dags/{DAG}", {})

    def call(states: list[str], *polls: list[dict], arguments: tuple[str, ...] = ()):
        airflow.add(f"GET {RUN}", *({"state": state} for state in states))
        airflow.add_list(f"GET {RUN}/taskInstances", "task_instances", *polls)
        return command("run", DAG, *arguments)

    return call


def test_each_state_of_a_task_is_one_line(run):
    code, output = run(
        ["queued", "running", "running", "success"],
        [task("train", None), task("register", None)],
        [task("train", "queued"), task("register", "scheduled")],
        [task("train", "running"), task("register", None)],
        [task("train", "success"), task("register", "success")],
    )
    assert code == 0
    assert [line.strip() for line in output.splitlines()] == [
        f"{DAG}: manual__1",
        "train: running",
        "train: success",
        "register: success",
        f"{DAG}: success",
    ]


def test_a_task_that_is_tried_again_is_shown_again(run):
    states = ["running", "up_for_retry", "queued", "running", "success"]
    code, output = run(["running"] * 4 + ["success"], *([task("train", s)] for s in states))
    assert code == 0
    assert [line.split(": ")[1] for line in output.splitlines() if "  train" in line] == [
        "running",
        "up_for_retry",
        "running",
        "success",
    ]


def test_a_mapped_task_has_its_index(run):
    _, output = run(["success"], [task("chunk", "success", 0), task("chunk", "failed", 11)])
    assert "  chunk 0: success" in output
    assert "  chunk 11: failed" in output


@pytest.mark.parametrize(
    ("run_state", "task_state", "code"),
    [
        ("success", "success", 0),
        ("success", "skipped", 3),
        ("failed", "failed", 1),
        ("failed", "skipped", 1),
    ],
)
def test_the_exit_code_tells_success_refusal_and_failure_apart(run, run_state, task_state, code):
    assert run([run_state], [task("register", task_state)])[0] == code
    assert _exit_code(run_state, {"register": task_state}) == code


def test_the_run_gets_its_parameters_and_the_dag_is_unpaused(run, airflow):
    arguments = ("--from", "2026-03-01", "--to", "2026-03-02T12:00:00", "--set", "symbols=V:A")
    run(["success"], [], arguments=(*arguments, "--set", "force=true"))
    [body] = airflow.bodies(f"POST {RUNS}")
    assert body["conf"] == {
        "from": "2026-03-01T00:00:00",
        "to": "2026-03-02T12:00:00",
        "symbols": "V:A",
        "force": True,
    }
    assert airflow.bodies(f"PATCH /dags/{DAG}") == [{"is_paused": False}]


def test_without_waiting_the_run_is_started_only(run, airflow):
    code, output = run(["running"], [], arguments=("--no-wait",))
    assert (code, output) == (0, f"{DAG}: manual__1\n")
    assert airflow.bodies(f"GET {RUN}") == []


def test_an_unknown_dag_is_named(command):
    code, output = command("run", "nothing")
    assert code == 1
    assert "404" in output or "nothing" in output
    assert "→" in output


def test_only_what_has_changed_is_new():
    tasks = [task("a", "running"), task("b", "success"), task("c", None)]
    assert _find_changes({}, tasks) == {"a": "running", "b": "success"}
    assert _find_changes({"a": "running"}, tasks) == {"b": "success"}
    assert _find_changes({"a": "running", "b": "success"}, tasks) == {}
    assert _find_changes({"b": "running"}, tasks) == {"a": "running", "b": "success"}


class TestStatus:
    DAG = {
        "dag_id": DAG,
        "is_paused": False,
        "owners": ["research"],
        "timetable_summary": "0 4 * * *",
    }

    def test_dags_and_files_that_cannot_be_imported(self, airflow, command):
        trace = 'Traceback:\n  File "x.py", line 1\nKeyError: "[/none]"\n'
        errors = [{"filename": "dags/broken.py", "stack_trace": trace}]
        airflow.add_list("GET /dags", "dags", [self.DAG])
        airflow.add_list("GET /dags/~/dagRuns", "dag_runs", [])
        airflow.add_list("GET /importErrors", "import_errors", errors)
        code, output = command("status")
        assert code == 0
        assert DAG in output and "research" in output
        assert output.splitlines()[-1] == '✗ dags/broken.py: KeyError: "[/none]"'
        assert "Traceback" not in output

    def test_an_empty_airflow_is_a_title(self, airflow, command):
        for path, name in (
            ("/dags", "dags"),
            ("/dags/~/dagRuns", "dag_runs"),
            ("/importErrors", "import_errors"),
        ):
            airflow.add_list(f"GET {path}", name, [])
        code, output = command("status")
        assert code == 0
        assert output.split() == ["DAG", "owner", "schedule", "newest", "run", "state"]
