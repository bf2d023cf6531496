"""The power pipeline on the real year and a real MLflow: the total is promoted, zone 1 refused by
its numbers, nothing is doubled.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from contracts.durations import DAY_US
from contracts.errors import DatasetError, RegistryError
from lakehouse import power
from lakehouse.tables import Lakehouse
from models import runtime, tracking
from models.registry import Registry
from models.runtime import LIGHTGBM_FILE
from models.versions import GATE_PASS
from tests.support.power_data import T0, readings, real, settings_in
from training.power import all_steps, backfill, card, features, files, forecast, model, steps
from training.power.split import split_by_time

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)
END_US = T0 + 364 * DAY_US  # after 2017-12-30
AT_US = END_US + 3_600_000_000
SMALL_END_US = T0 + 125 * DAY_US  # after 2017-05-05
REPO = Path(__file__).parents[3]

SMALL = files.to_silver(readings(125), "made up")


def quiet(step, done, total):
    pass


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """The real year in a lakehouse."""
    home = tmp_path_factory.mktemp("power")
    power.store(
        Lakehouse(settings_in(home, home, "unused")),
        files.to_silver(files.read_readings(real()), "tetouan"),
    )
    return home


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """125 made-up days in a lakehouse: a wave and noise, on which seven days say more than one.
    They train in a moment.
    """
    home = tmp_path_factory.mktemp("power-small")
    power.store(Lakehouse(settings_in(home, home, "unused")), SMALL)
    return home


@pytest.fixture(scope="module")
def promoted(lake, mlflow_home):
    """A training of the total: its settings, result and progress."""
    settings, steps = settings_in(lake, mlflow_home, "power-total"), []
    return (
        settings,
        all_steps.train_power(settings, "total", None, AT_US, lambda *step: steps.append(step)),
        steps,
    )


@pytest.fixture(scope="module")
def refused(lake, mlflow_home):
    settings = settings_in(lake, mlflow_home, "power-zone")
    return settings, all_steps.train_power(settings, "zone1", END_US, AT_US, quiet)


def runs(settings):
    """Every run of the experiment, by name; of equal names the newest."""
    client = tracking.client(settings)
    found = client.search_runs(
        [client.get_experiment_by_name(settings.power_experiment).experiment_id]
    )
    return {run.info.run_name: run for run in reversed(found)}


def artifact(settings, run_id, name, folder):
    return Path(tracking.client(settings).download_artifacts(run_id, name, str(folder)))


class TestTotal:
    def test_it_beats_both_naive_forecasts_and_is_promoted(self, promoted):
        settings, result, steps = promoted
        assert (result.promoted, result.version, result.repeated, result.day) == (
            True,
            "1",
            False,
            "2017-12-30",
        )
        shares = [
            result.metrics[f"rmse_over_train_std.{name}"]
            for name in ("model", "naive_24", "naive_168")
        ]
        assert shares == pytest.approx([0.126, 0.191, 0.170], abs=0.002)
        assert result.metrics["skill"] == pytest.approx(0.26, abs=0.02)
        assert Registry(settings, "power-total").production_version().version == "1"
        assert (result.train_rows, result.test_rows) == ((364 - 7 - 56) * 24, 56 * 24)
        ends = [step for step, done, total in steps if done == total]
        assert ends == ["prepare", "train", "evaluate", "register"]

    def test_one_parent_and_a_child_per_step_tell_the_story(self, promoted, tmp_path):
        settings, result, _ = promoted
        story = runs(settings)
        assert set(story) == {"power-training", "prepare_data", "train_lgbm", "evaluate"}
        assert {run.info.status for run in story.values()} == {"FINISHED"}
        parents = {name: run.data.tags.get("mlflow.parentRunId") for name, run in story.items()}
        assert parents == {"power-training": None} | dict.fromkeys(
            ("prepare_data", "train_lgbm", "evaluate"), result.run_id
        )
        tags, metrics = story["power-training"].data.tags, story["power-training"].data.metrics
        expected = {
            "series": "total",
            "execution_date": "2017-12-30",
            "seed": "7",
            "gate": "passed",
            "registered_version": "1",
        }
        assert {name: tags[name] for name in expected} == expected
        assert tags["dataset_sha256"] == features.fingerprint(
            steps.past_hours(settings, "total", END_US)
        )
        counts = {"records_processed", "train_samples", "test_samples"}
        assert counts | {"train_rmse", "val_rmse", "test_rmse", "test_mae", "skill"} <= set(metrics)
        assert metrics["mae"] == metrics["test_mae"]
        parent_params = story["power-training"].data.params
        assert (parent_params["model_type"], parent_params["execution_date"]) == (
            "gbm",
            "2017-12-30",
        )
        params = story["train_lgbm"].data.params
        wanted = {
            "objective": "regression",
            "metric": "rmse",
            "num_leaves": "31",
            "learning_rate": "0.05",
            "feature_fraction": "0.9",
        }
        assert wanted.items() <= params.items()
        assert {"seed", "early_stopping_rounds", "rounds_max", "deterministic"} <= set(params)
        client = tracking.client(settings)
        history = client.get_metric_history(story["train_lgbm"].info.run_id, "valid_rmse")
        best = story["train_lgbm"].data.metrics["best_iteration"]
        assert [point.step for point in history] == list(range(1, len(history) + 1))
        assert len(history) == best + model.EARLY_STOPPING_ROUNDS
        assert min(history, key=lambda point: point.value).step == best
        written = artifact(settings, result.run_id, card.CARD, tmp_path).read_text()
        assert "Passed the gate." in written
        assert tags["dataset_sha256"] in written
        assert (
            artifact(settings, story["evaluate"].info.run_id, "forecast.png", tmp_path)
            .read_bytes()
            .startswith(b"\x89PNG")
        )

    def test_production_is_a_sealed_text_file_with_a_signature_and_no_pickle(self, promoted):
        settings, _, _ = promoted
        found = Registry(settings, "power-total").fetch_production()
        manifest = runtime.verify_manifest(found.path, found.digest)
        assert (manifest.file, manifest.features) == (LIGHTGBM_FILE, features.FEATURES)
        assert manifest.trained_to_us == END_US - 56 * DAY_US
        assert not [
            file for file in found.path.rglob("*") if file.suffix in {".pkl", ".pickle", ".skops"}
        ]
        assert "lag_168h" in (found.path / "MLmodel").read_text()

    def test_the_same_again_makes_no_second_version(self, promoted):
        settings, first, _ = promoted
        again = all_steps.train_power(settings, "total", None, AT_US + DAY_US, quiet)
        assert (again.version, again.repeated, again.promoted) == ("1", True, True)
        assert again.metrics == first.metrics
        assert len(Registry(settings, "power-total").list_versions()) == 1

    def test_a_seed_and_the_data_decide_not_the_number_of_cores(self, small, mlflow_home):
        settings = settings_in(small, mlflow_home, "unused")
        samples = features.training_samples(
            features.add_features(steps.past_hours(settings, "total", SMALL_END_US))
        )
        parts = split_by_time(samples, SMALL_END_US, 56, 28)
        fits = [
            model.fit_model(parts, settings.model_copy(update=change), quiet)
            for change in ({}, {"train_threads": 2}, {"seed": 8})
        ]
        texts = [fit.booster.model_to_string().split("\nparameters:")[0] for fit in fits]
        assert texts[0] == texts[1] != texts[2]


class TestZone1:
    def test_it_is_refused_because_last_week_does_better(self, refused):
        settings, result = refused
        assert not result.promoted
        assert result.version is None
        numbers = result.metrics
        assert numbers["rmse_over_train_std"] == pytest.approx(0.164, abs=0.003)
        assert numbers["rmse_over_train_std.naive_168"] == pytest.approx(0.160, abs=0.001)
        assert result.verdict.threshold_pass
        assert [reason.split()[0] for reason in result.verdict.reasons] == ["skill"]
        assert numbers["skill"] < 0

    def test_it_is_written_down_and_nothing_is_registered(self, refused, tmp_path):
        settings, result = refused
        parent = runs(settings)["power-training"]
        assert parent.info.status == "FINISHED"
        assert parent.data.tags["gate"] == "refused"
        assert parent.data.tags["gate_reasons"] == result.verdict.reasons[0]
        assert (
            "**Refused by the gate**"
            in artifact(settings, result.run_id, card.CARD, tmp_path).read_text()
        )
        for name in ("power-zone", "power-zone-zone1"):
            assert Registry(settings, name).list_versions() == []
        with pytest.raises(RegistryError, match="no Production version"):
            forecast.forecast_day(settings, "zone1")


class TestForecast:
    def test_the_day_after_the_data_is_forecast_once_and_its_actuals_follow(self, promoted):
        settings, _, _ = promoted
        for _ in range(2):
            made = forecast.forecast_day(settings, "total")
        assert (made.day, made.version, len(made.rows)) == ("2017-12-31", "1", 24)
        assert made.rows["known_at_us"].unique().to_list() == [END_US]
        assert made.rows["actual_kw"].null_count() == 24
        assert made.rows["forecast_kw"].is_between(30_000, 110_000).all()
        assert len(power.forecasts(Lakehouse(settings), END_US, END_US + DAY_US)) == 24

    def test_a_day_that_the_model_saw_is_not_forecast_by_it(self, promoted):
        settings, _, _ = promoted
        with pytest.raises(RegistryError, match="no version that was made before 2017-12-30"):
            forecast.forecast_day(settings, "total", END_US - DAY_US)

    def test_a_day_without_yesterday_is_refused(self, promoted):
        settings, _, _ = promoted
        with pytest.raises(DatasetError, match="2017-12-31 lacks 24 of its 24 hours"):
            forecast.forecast_day(settings, "total", END_US + DAY_US)


class TestBackfill:
    def test_each_day_sees_its_own_past_and_forecasts_the_next(self, small, tmp_path, mlflow_home):
        settings = settings_in(small, mlflow_home, "power-backfill")
        assert all_steps.train_power(settings, "total", None, AT_US, quiet).version == "1"
        first_us = SMALL_END_US - 4 * DAY_US  # 2017-05-02
        days = list(
            backfill.backfill_days(
                settings, "total", first_us, first_us + DAY_US, lambda: AT_US, quiet
            )
        )
        assert [day.day for day in days] == ["2017-05-02", "2017-05-03"]
        assert [day.error for day in days] == ["", ""]
        assert [day.forecast.day for day in days] == ["2017-05-03", "2017-05-04"]
        assert (
            [day.forecast.version for day in days]
            == [day.result.version for day in days]
            == ["2", "3"]
        )
        assert all(day.forecast.rows["actual_kw"].null_count() == 0 for day in days)
        # Production knows more than either and stays.
        assert not any(day.result.promoted for day in days)
        assert Registry(settings, "power-backfill").production_version().version == "1"
        # A lakehouse that ends on that day makes the very same model.
        ended = settings_in(tmp_path, mlflow_home, "power-ended")
        power.store(Lakehouse(ended), SMALL.filter(pl.col("event_time_us") < first_us + DAY_US))
        assert all_steps.train_power(ended, "total", None, AT_US, quiet).promoted
        assert (
            Registry(ended, "power-ended").production_version().tags["digest"]
            == Registry(settings, "power-backfill").get_version("2").tags["digest"]
        )
        # What comes later is written alongside the forecast.
        assert forecast.forecast_day(ended, "total").rows["actual_kw"].null_count() == 24
        power.store(Lakehouse(ended), SMALL.filter(pl.col("event_time_us") < first_us + 2 * DAY_US))
        assert forecast.fill_actuals(ended, "total") == 24
        held = power.forecasts(Lakehouse(ended), series="total")
        assert (
            held["actual_kw"].to_list()
            == steps.past_hours(ended, "total", first_us + 2 * DAY_US)["kw"].to_list()[-24:]
        )

    def test_a_day_that_fails_does_not_end_the_others(self, small, mlflow_home):
        settings = settings_in(small, mlflow_home, "power-holes")
        days = list(
            backfill.backfill_days(
                settings, "total", SMALL_END_US, SMALL_END_US + DAY_US, lambda: AT_US, quiet
            )
        )
        assert [day.error for day in days] == [
            "2017-05-06 lacks 24 of its 24 hours",
            "2017-05-07 lacks 24 of its 24 hours",
        ]
        assert Registry(settings, "power-holes").list_versions() == []


class TestFailures:
    @pytest.mark.parametrize(
        ("rows", "end_us", "said"),
        [
            (None, None, "holds no power readings"),
            (readings(30), None, "0 days are left to fit on, 28 is the least"),
            (readings(30), T0 + 31 * DAY_US, "2017-01-31 lacks 24 of its 24 hours"),
        ],
    )
    def test_what_cannot_be_trained_fails_its_runs_and_registers_nothing(
        self, tmp_path, mlflow_home, rows, end_us, said, request
    ):
        settings = settings_in(tmp_path, mlflow_home, request.node.name)
        power.readings(Lakehouse(settings))
        if rows is not None:
            power.store(Lakehouse(settings), files.to_silver(rows, "made up"))
        with pytest.raises(DatasetError, match=said):
            all_steps.train_power(settings, "total", end_us, AT_US, quiet)
        assert {run.info.status for run in runs(settings).values()} == {"FAILED"}
        assert Registry(settings, settings.power_model_name).list_versions() == []

    def test_an_interrupted_training_registers_nothing(self, small, mlflow_home):
        settings = settings_in(small, mlflow_home, "power-interrupted")

        def interrupt(step, done, total):
            if step == "evaluate":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            all_steps.train_power(settings, "total", None, AT_US, interrupt)
        assert runs(settings)["power-training"].info.status == "FAILED"
        assert Registry(settings, "power-interrupted").list_versions() == []

    def test_a_kill_between_version_and_alias_leaves_a_whole_version_that_the_next_run_promotes(
        self, small, mlflow_home
    ):
        settings = settings_in(small, mlflow_home, "power-killed")
        code = f"""
import os, signal
from pathlib import Path
from tests.support.power_data import settings_in
from models.registry import Registry
from models.versions import GATE_PASS
from training.power import all_steps
Registry.promote = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
settings = settings_in(Path({str(small)!r}), Path({str(mlflow_home)!r}), "power-killed")
all_steps.train_power(settings, "total", None, {AT_US}, lambda *_: None)
"""
        child = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(REPO)},
            capture_output=True,
            check=False,
        )
        assert child.returncode == -signal.SIGKILL, child.stderr.decode()[-2000:]
        (left,) = Registry(settings, "power-killed").list_versions()
        assert not left.production
        assert left.tags[GATE_PASS] == "true"
        Registry(settings, left.name).fetch_version(left)
        again = all_steps.train_power(settings, "total", None, AT_US, quiet)
        assert (again.version, again.repeated, again.promoted) == ("1", True, True)
        assert len(Registry(settings, "power-killed").list_versions()) == 1
