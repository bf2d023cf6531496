"""A training in one process with a real MLflow: a model of a planted signal is promoted, one of
noise is refused, and both are logged.
"""

import json
from pathlib import Path

import polars as pl
import pytest

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from models import runtime, tracking
from models.registry import Registry
from tests.support.market import T0, dataset
from training.run.provenance import iso
from training.tick import all_steps
from training.tick.data import dataset as datasets

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)
AT_US = T0 + 30 * 86_400_000_000


@pytest.fixture(scope="module")
def make_settings(mlflow_home):
    """Settings of this module's data base with a separate model and experiment."""
    return lambda name: Settings(
        home=mlflow_home, model_name=name, experiment=name, train_threads=1
    )


@pytest.fixture(scope="module")
def planted(make_settings):
    """A training on a planted signal: its settings, result, and progress reports."""
    settings, steps = make_settings("planted"), []
    return (
        settings,
        all_steps.train_on(
            settings, lambda: dataset(strength=0.3), AT_US, lambda *step: steps.append(step)
        ),
        steps,
    )


@pytest.fixture(scope="module")
def refused(make_settings):
    """A training without any signal, while nothing is in Production."""
    settings = make_settings("refused")
    return settings, all_steps.train_on(
        settings, lambda: dataset(strength=0.0, symbols=("BINANCE:A", "CME:B"), seed=4), AT_US
    )


def small():
    """A dataset that trains in a moment."""
    return dataset(days=9, symbols=("SYNTH:AAAUSD",))


def runs(settings):
    """Parent and children of the experiment, by run name."""
    client = tracking.client(settings)
    found = client.search_runs([client.get_experiment_by_name(settings.experiment).experiment_id])
    return {run.info.run_name: run for run in found}


class TestPlanted:
    def test_it_is_promoted_with_every_check_passed(self, planted):
        settings, result, _ = planted
        assert result.promoted
        assert result.verdict.gate_pass
        assert Registry(settings).production_version().version == result.version == "1"
        assert result.reports[1.0].ic == pytest.approx(0.3, abs=0.05)
        assert result.comparisons["ols"].sharpe > 1.5
        assert result.comparisons["buy_and_hold"].sharpe == pytest.approx(_sharpe_of_holding())
        assert (result.synthetic, result.trained_on) == (True, "synthetic")

    def test_the_production_model_predicts_every_row_and_knows_its_last_label(self, planted):
        settings, result, _ = planted
        found = Registry(settings).fetch_production()
        model = runtime.load_model(found.path, found.digest)
        data = dataset(strength=0.3).frame
        assert model.predict(datasets.feature_matrix(data)).shape == (len(data),)
        assert model.trained_to_us < T0 + 3 * 86_400_000_000

    def test_one_parent_and_a_child_per_step_tell_the_story(self, planted):
        settings, result, _ = planted
        story = runs(settings)
        folds = {f"fold_{number}" for number in (1, 2)}
        assert (
            set(story)
            == {"tick-training", "prepare_data", "train_model", "walk_forward", "backtest"} | folds
        )
        parent = story["tick-training"]
        above = {name: run.data.tags.get("mlflow.parentRunId") for name, run in story.items()}
        assert {above[name] for name in set(story) - folds - {"tick-training"}} == {result.run_id}
        assert {above[name] for name in folds} == {story["walk_forward"].info.run_id}
        assert {run.info.status for run in story.values()} == {"FINISHED"}
        tags, metrics = parent.data.tags, parent.data.metrics
        assert tags["dataset_sha256"] == dataset(strength=0.3).fingerprint
        assert tags["snapshot.made.market"] == "11"
        assert tags["data_source"] == "synthetic"
        assert "no impact" in tags["planted signal"]
        assert tags["gate"] == "passed"
        assert tags["registered_version"] == "1"
        assert metrics["train_samples"] == result.train_rows
        assert metrics["test_samples"] == result.test_rows
        assert metrics["records_processed"] == len(dataset().frame) + 3
        assert metrics["gate_pass"] == metrics["threshold_pass"] == 1
        assert (
            metrics["sharpe"]
            == metrics["sharpe_ratio"]
            == pytest.approx(result.reports[1.0].sharpe)
        )
        assert metrics["max_drawdown"] == pytest.approx(result.reports[1.0].max_drawdown)
        assert parent.data.params == {"model_type": "timeseries", "execution_date": iso(AT_US)}
        assert {
            f"sharpe.{name}" for name in ("0bp", "0.5bp", "1bp", "2bp", "ols", "lightgbm")
        } <= set(metrics)
        alongside = {
            "deflated_sharpe",
            "trials",
            "sharpe_low",
            "sharpe_high",
            "ic",
            "rank_ic",
            "turnover",
            "hit_rate",
            "break_even_bp",
        }
        assert alongside | {"walk_forward.sharpe.random_forest", "walk_forward.ic.lightgbm"} <= set(
            metrics
        )
        assert metrics["walk_forward.folds"] == 2
        assert (tags["walk_forward"][:12], tags["setting.horizon_s"]) == ("2 of 5 folds", "60")
        assert story["train_model"].data.metrics["onnx_difference_max"] <= runtime.DIFFERENCE_MAX
        assert story["train_model"].data.params["min_samples_leaf"] == "200"

    def test_verdict_and_equity_curve_are_artifacts(self, planted, tmp_path):
        settings, result, _ = planted
        client, run = tracking.client(settings), runs(settings)["backtest"]
        verdict = json.loads(
            Path(
                client.download_artifacts(run.info.run_id, "verdict.json", str(tmp_path))
            ).read_text()
        )
        assert verdict == json.loads(json.dumps(result.verdict.as_dict()))
        picture = Path(
            client.download_artifacts(run.info.run_id, "equity_curve.png", str(tmp_path))
        ).read_bytes()
        assert picture.startswith(b"\x89PNG")

    def test_progress_comes_to_its_end(self, planted):
        *_, steps = planted
        ends = [step for step in steps if step[1] == step[2]]
        assert ends == [
            ("prepare", 1, 1),
            ("train", 100, 100),
            ("walk forward", 2, 2),
            ("backtest", 1, 1),
        ]


class TestRefused:
    def test_noise_is_refused_by_its_numbers_not_for_want_of_days(self, refused):
        settings, result = refused
        assert not result.promoted
        assert result.verdict.reasons
        assert {check.name for check in result.verdict.checks if check.passed} >= {"test_days"}
        assert abs(result.reports[1.0].ic) < 0.03
        assert (result.synthetic, result.trained_on) == (False, "BINANCE,CME")

    def test_it_is_logged_with_its_reasons_and_never_registered(self, refused):
        settings, result = refused
        parent = runs(settings)["tick-training"]
        assert parent.info.status == "FINISHED"
        assert parent.data.tags["gate"] == "refused"
        assert parent.data.tags["gate_reasons"] == "; ".join(result.verdict.reasons)
        assert "planted signal" not in parent.data.tags
        assert parent.data.metrics["gate_pass"] == 0
        assert Registry(settings).list_versions() == []


class TestAgainstProduction:
    def test_the_same_model_again_is_not_worse_and_a_weaker_one_is_refused(self, make_settings):
        settings = make_settings("incumbent")
        assert all_steps.train_on(settings, small, AT_US).version == "1"
        again = all_steps.train_on(settings, small, AT_US)
        assert again.version == "2"
        check = again.verdict.checks[-1]
        assert (check.name, check.value) == (
            "sharpe_against_production",
            pytest.approx(check.limit),
        )
        # The same window with training days in which the signal ran backwards: a real model, and a
        # worse one.
        weaker = all_steps.train_on(settings, lambda: _backwards(small()), AT_US)
        assert not weaker.promoted
        assert any("sharpe_against_production" in reason for reason in weaker.verdict.reasons)
        assert Registry(settings).production_version().version == "2"

    def test_an_incumbent_that_cannot_be_loaded_is_an_obstacle_with_a_way_out(self, make_settings):
        settings = make_settings("damaged")
        all_steps.train_on(settings, small, AT_US)
        home = Registry(settings).fetch_production().path
        for file in (home / runtime.MODEL_FILE, _stored(settings)):
            file.write_bytes(b"altered")
        result = all_steps.train_on(settings, small, AT_US)
        assert not result.promoted
        assert "cannot be compared" in result.verdict.reasons[0]
        assert "retire" in result.verdict.reasons[0]
        Registry(settings).retire()
        assert all_steps.train_on(settings, small, AT_US).version == "2"


def test_a_dataset_that_cannot_be_built_fails_its_runs(make_settings):
    settings = make_settings("no-data")

    def prepare():
        raise DatasetError("no ticks")

    with pytest.raises(DatasetError):
        all_steps.train_on(settings, prepare, AT_US)
    assert {name: run.info.status for name, run in runs(settings).items()} == {
        "tick-training": "FAILED",
        "prepare_data": "FAILED",
    }


def _sharpe_of_holding():
    """Annual Sharpe ratio of holding both symbols over the hold-out days, at 1 bp one way."""
    frame = dataset(strength=0.3).frame
    test = frame.filter(pl.col("decision_us") >= T0 + 3 * 86_400_000_000)
    by_symbol = [part.sort("decision_us") for part in test.partition_by("symbol")]
    returns = [part["exit_price"] / part["entry_price"] - 1 for part in by_symbol]
    pnl = sum(each.to_numpy() for each in returns) / len(returns)
    pnl[[0, -1]] -= 1e-4  # open and close
    return pnl.mean() / pnl.std() * (365 * 24 * 60) ** 0.5


def _backwards(data):
    early = pl.col("decision_us") < T0 + 2 * 86_400_000_000
    frame = data.frame.with_columns(pl.when(early).then(-pl.col("y")).otherwise("y").alias("y"))
    return datasets.TickDataset(frame, {}, datasets.fingerprint(frame))


def _stored(settings):
    return (
        Path(Registry(settings).production_version().source.removeprefix("file://"))
        / runtime.MODEL_FILE
    )
