"""MLflow runs of a training in a real MLflow: metrics, series, nested runs and their status."""

import json
import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from contracts.config.settings import Settings
from contracts.errors import RegistryError
from models import tracking
from training.run import mlflow_run

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)
AT_US = 1_760_054_400_000_000


@pytest.fixture
def settings(mlflow_home, request):
    return Settings(home=mlflow_home, experiment=request.node.name)


@pytest.fixture
def parent(settings):
    return mlflow_run.start(settings, "parent", AT_US)


def stored(settings, run):
    return tracking.client(settings).get_run(run.run_id)


def status(settings, run):
    return stored(settings, run).info.status


def test_metrics_have_the_given_time_and_undefined_ones_become_tags(settings, parent):
    parent.log_metrics({"a": 1.5, "b": math.nan, "c": -math.inf})
    data = stored(settings, parent).data
    assert data.metrics == {"a": 1.5}
    assert (data.tags["undefined.b"], data.tags["undefined.c"]) == ("nan", "-inf")
    (point,) = parent.client.get_metric_history(parent.run_id, "a")
    assert (point.timestamp, point.step) == (AT_US // 1000, 0)


def test_a_series_is_numbered_from_one_and_continues_after_what_is_logged(parent):
    assert parent.last_step("loss") == 0
    parent.log_series("loss", [5.0, math.nan])
    parent.log_series("loss", [5.0, math.nan, 3.0], after=2)
    history = parent.client.get_metric_history(parent.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 5.0), (3, 3.0)]
    assert parent.last_step("loss") == 3


def test_a_series_longer_than_one_request_is_logged_completely(parent, monkeypatch):
    monkeypatch.setattr(mlflow_run, "METRICS_MAX", 2)
    parent.log_series("loss", [3.0, 2.0, 1.0, 0.5, 0.25])
    history = parent.client.get_metric_history(parent.run_id, "loss")
    assert [point.value for point in history] == [3.0, 2.0, 1.0, 0.5, 0.25]


def test_artifacts_are_json_text_and_pictures(parent, tmp_path):
    parent.log_json({"rows": 1}, "a.json")
    parent.log_text("# card", "card.md")
    figure = Figure()
    figure.subplots()
    parent.log_figure(figure, "plot.png")

    def download(name):
        return Path(parent.client.download_artifacts(parent.run_id, name, str(tmp_path)))

    assert json.loads(download("a.json").read_text()) == {"rows": 1}
    assert download("card.md").read_text() == "# card"
    assert download("plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_step_resumes_its_run_and_its_failure_is_marked(settings, parent):
    with pytest.raises(ZeroDivisionError), parent.step_run("fit") as first:
        raise ZeroDivisionError
    assert status(settings, first) == "FAILED"
    with parent.step_run("fit") as second:
        assert status(settings, second) == "RUNNING"
    assert second.run_id == first.run_id
    assert status(settings, second) == "FINISHED"
    with parent.step_run("evaluate") as other:
        pass
    assert other.run_id != first.run_id
    assert stored(settings, other).data.tags[mlflow_run.PARENT] == parent.run_id


def test_a_reopened_run_is_finished_again_only_if_it_was(settings, parent):
    with parent.reopen():
        pass
    assert status(settings, parent) == "RUNNING"
    with parent.closing():
        pass
    with parent.reopen():
        assert status(settings, parent) == "RUNNING"
    assert status(settings, parent) == "FINISHED"
    with pytest.raises(KeyboardInterrupt), parent.reopen():
        raise KeyboardInterrupt
    assert status(settings, parent) == "FAILED"


def test_a_resumed_run_keeps_its_time_and_an_unknown_one_is_an_error(settings, parent):
    resumed = mlflow_run.resume(settings, parent.run_id, AT_US)
    assert (resumed.at_ms, resumed.experiment_id) == (AT_US // 1000, parent.experiment_id)
    started_ms = stored(settings, parent).info.start_time
    assert mlflow_run.resume(settings, parent.run_id).at_ms == started_ms
    with pytest.raises(RegistryError, match="cannot be found") as error:
        mlflow_run.resume(settings, "0" * 32)
    assert "--fresh" in error.value.hint


def test_trials_are_the_finished_parents_with_the_metric(settings):
    runs = [mlflow_run.start(settings, "training", AT_US) for _ in range(3)]
    for value, run in zip((1.0, 2.0), runs, strict=False):
        run.log_metrics({"sharpe_minute": value})
    for run in (runs[0], runs[2]):
        with run.closing(), run.step_run("backtest") as step:
            step.log_metrics({"sharpe_minute": 9.0})
    # runs[1] is not finished, runs[2] has no metric, and nested runs do not count.
    assert mlflow_run.finished_values(runs[0], "sharpe_minute") == [1.0]
