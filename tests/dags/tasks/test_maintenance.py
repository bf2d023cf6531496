"""The maintenance tasks on a real home, a real lakehouse and a stand-in for Airflow's command."""

import json
import os

import pytest

from contracts.clock import now_us
from contracts.config import paths
from contracts.durations import DAY_US
from dags.tasks import maintenance
from dags.tasks.task_context import parse_us
from lakehouse.tables import Lakehouse

pytestmark = [pytest.mark.airflow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
COMMAND = """
import json, os, sys
from pathlib import Path
Path(os.environ["SEEN"]).write_text(json.dumps([sys.argv[1:], sorted(os.environ)]))
print("deleted 3 rows")
print("database is locked", file=sys.stderr)
sys.exit(int(os.environ["CODE"]))
"""


@pytest.fixture
def airflow_command(tmp_path, monkeypatch):
    """Runs `clean_database` with a command that exits with this code; returns what it was given."""
    package = tmp_path / "path" / "airflow"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(COMMAND)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen.json"))

    def run(code):
        monkeypatch.setenv("CODE", str(code))
        maintenance.clean_database()
        return json.loads((tmp_path / "seen.json").read_text())

    return run


def write_old(file, days):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("x")
    for path in (file, file.parent):
        os.utime(path, ((now_us() - days * DAY_US) / 1e6,) * 2)


@pytest.mark.parametrize(("keep_days", "deleted"), [(None, 1), (10, 2), (50, 0)])
def test_logs_are_kept_as_long_as_the_run_or_the_settings_say(
    in_task, settings, keep_days, deleted
):
    logs = paths.airflow_home(settings) / "logs"
    write_old(logs / "a.log", 20)
    write_old(logs / "b.log", 40)
    with in_task({"keep_days": keep_days}):
        assert maintenance.delete_old_logs() == deleted


def test_old_training_directories_are_deleted(in_task, settings):
    write_old(paths.trainings(settings) / "tick" / "old" / "state.json", 40)
    write_old(paths.trainings(settings) / "tick" / "new" / "state.json", 1)
    with in_task():
        assert maintenance.delete_old_trainings() == 1
    assert [run.name for run in paths.trainings(settings).glob("*/*")] == ["new"]


def test_the_database_is_cleaned_of_rows_before_the_limit(in_task, airflow_command, monkeypatch):
    for name in maintenance.BLOCKED:
        monkeypatch.setenv(name, "airflow-db-not-allowed:///")
    with in_task({"keep_days": 3}):
        arguments, environment = airflow_command(0)
    assert arguments[:3] == ["db", "clean", "--clean-before-timestamp"]
    assert arguments[4:] == ["--skip-archive", "--yes"]
    before_us = now_us() - 3 * DAY_US
    assert 0 <= before_us - parse_us(arguments[3]) < 60_000_000
    assert not set(maintenance.BLOCKED) & set(environment)


def test_a_failed_clean_up_fails_the_task_with_its_errors(in_task, airflow_command):
    with in_task(), pytest.raises(RuntimeError, match="`airflow db clean` failed: database is"):
        airflow_command(1)


def test_the_output_of_the_clean_up_is_in_the_log_of_the_task(in_task, airflow_command, caplog):
    caplog.set_level("INFO", logger="dags.tasks")
    with in_task():
        airflow_command(0)
    assert "deleted 3 rows" in caplog.messages


def test_an_empty_lakehouse_has_nothing_to_compact_or_expire(in_task, settings):
    Lakehouse(settings).create()
    with in_task():
        assert maintenance.compact_tables() == 0
        assert maintenance.expire_snapshots() == {"snapshots": 0, "files": 0, "bytes": 0}
