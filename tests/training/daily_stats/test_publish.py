"""The report of daily statistics in MLflow, and its plots."""

import json

import pytest

from models import tracking
from tests.conftest import settings_in
from training.daily_stats import publish
from training.daily_stats.compute import DailyStatsReport
from training.daily_stats.publish import publish_report
from training.run.mlflow_run import MlflowRun

DAY_US = 86_400_000_000
EMPTY = DailyStatsReport(
    0, 3 * DAY_US, holes=["1970-01-01", "1970-01-02"], unfinished=["1970-01-04"], missing=["A:X"]
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """One MLflow for all tests, because creating it takes seconds."""
    return settings_in(tmp_path_factory.mktemp("publish"))


def test_a_range_without_ticks_has_no_plots(settings):
    assert publish.draw_plots(settings, EMPTY) == {}


def test_the_report_is_a_finished_run_with_counts_range_and_days(settings, tmp_path):
    run_id = publish_report(settings, EMPTY, at_us=5_000_000, symbols=["A:X", "A:Y"])
    client = tracking.client(settings)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"days": 0, "holes": 2, "unfinished": 1}
    assert (run.data.tags["from"], run.data.tags["to"]) == ("1970-01-01", "1970-01-04")
    assert run.data.tags["symbols"] == "A:X,A:Y"
    file = client.download_artifacts(run_id, "days.json", str(tmp_path))
    with open(file) as content:
        days = json.load(content)
    assert days == {
        "days": [],
        "holes": ["1970-01-01", "1970-01-02"],
        "unfinished": ["1970-01-04"],
        "missing": ["A:X"],
    }


class Figure:
    """Writes its name in place of a picture."""

    def savefig(self, file):
        file.write_text(file.name)


@pytest.fixture
def logged(monkeypatch):
    """Names of the figures that are logged to MLflow."""
    names = []
    monkeypatch.setattr(publish, "draw_plots", lambda *_: {"a.png": Figure(), "b.png": Figure()})
    monkeypatch.setattr(MlflowRun, "log_figure", lambda _, figure, name: names.append(name))
    return names


def test_plots_are_logged_and_written_to_a_new_folder(settings, logged, tmp_path):
    out = tmp_path / "new" / "plots"
    publish_report(settings, EMPTY, at_us=0, out=out)
    assert logged == ["a.png", "b.png"]
    assert {file.name: file.read_text() for file in out.iterdir()} == {
        "a.png": "a.png",
        "b.png": "b.png",
    }
