"""`tick stats` and `tick drift` on a real lakehouse and a real MLflow; only
the rows of `tick drift` are synthetic.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import RandomForestRegressor
from typer.testing import CliRunner

from cli.main import app
from contracts.config.settings import settings
from contracts.durations import DAY_US
from contracts.features import CORE
from lakehouse.tables import Lakehouse
from models import tracking
from models.export.sklearn_estimator import export_estimator
from models.registry import Registry
from models.versions import GATE_PASS
from tests.support.market import dataset
from tests.support.prices import D0, ticks
from training.daily_stats import compute, publish
from training.monitoring import drift_check
from training.run import mlflow_run
from training.tick import drift
from training.tick.data import dataset as datasets

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning",
    "ignore::DeprecationWarning",
    "ignore::ResourceWarning",
    "ignore:Creating legend:UserWarning",  # matplotlib warns when a loaded machine draws for 1 s
)
PICTURES = ["correlation.png", "volatility_curve.png", "volume_profile.png"]
DAYS = [compute.iso_date(D0 + day * DAY_US) for day in range(4)]
NAME = "drifting"


@pytest.fixture
def tick(mlflow_home, tmp_path, monkeypatch):
    """Runs the command line with a lakehouse of this test's own and the MLflow of the session;
    returns exit code and all output.
    """
    uri = f"sqlite:///{mlflow_home / 'mlflow' / 'mlflow.db'}"
    chosen = {"HOME": tmp_path, "MLFLOW_TRACKING_URI": uri, "MODEL_NAME": NAME, "EXPERIMENT": NAME}
    for name, value in chosen.items():
        monkeypatch.setenv(f"TICK_{name}", str(value))
    monkeypatch.setenv("COLUMNS", "200")
    (mlflow_home / "mlflow").mkdir(exist_ok=True)
    settings.cache_clear()

    def call(*arguments):
        result = CliRunner().invoke(app, arguments)
        if not isinstance(result.exception, SystemExit | None):
            raise result.exception
        return result.exit_code, result.output

    yield call
    settings.cache_clear()


def png(file: Path) -> bool:
    return file.read_bytes().startswith(b"\x89PNG")


class TestStats:
    @pytest.fixture
    def filled(self, tick):
        Lakehouse(settings()).create()
        Lakehouse(settings()).append_ticks(ticks([0, 1, 3], rate=0.005))
        return tick

    def test_a_range_becomes_tables_pictures_and_one_run(self, filled, tmp_path):
        code, output = filled(
            "stats", "--from", DAYS[0], "--to", DAYS[3], "--out", str(tmp_path / "out" / "here")
        )
        assert code == 0, output
        assert "2 days computed" in output
        assert f"1 days without ticks: {DAYS[2]}" in output
        assert (
            sorted(file.name for file in (tmp_path / "out" / "here").iterdir() if png(file))
            == PICTURES
        )
        client = tracking.client(settings())
        run_id = output.split("MLflow run ")[1].split(";")[0].strip()
        mlflow_entry = client.get_run(run_id)
        assert client.get_experiment(mlflow_entry.info.experiment_id).name == publish.EXPERIMENT
        assert mlflow_entry.info.status == "FINISHED"
        assert mlflow_entry.data.metrics["days"] == 2
        assert [file.path for file in client.list_artifacts(run_id)] == sorted(
            [*PICTURES, "days.json"]
        )
        document = json.loads(
            Path(client.download_artifacts(run_id, "days.json", str(tmp_path))).read_text()
        )
        assert (document["days"], document["holes"]) == (DAYS[:2], [DAYS[2]])

    def test_without_a_range_the_whole_lakehouse_is_done(self, filled):
        code, output = filled("stats", "--symbols", "V:A, V:X")
        assert code == 0, output
        assert "3 days computed" in output
        assert "no ticks of V:X" in output

    def test_a_range_without_ticks_is_listed_and_draws_nothing(self, filled, tmp_path):
        code, output = filled(
            "stats", "--from", "2020-01-01", "--to", "2020-02-01", "--out", str(tmp_path / "out")
        )
        assert code == 0, output
        assert "31 days without ticks" in output
        assert "and 21 more" in output
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--from", "2026-01-02", "--to", "2026-01-01"], "the range is empty"),
            (["--symbols", "BTCUSDT"], "VENUE:SYMBOL"),
            (["--symbols", ","], "VENUE:SYMBOL"),
        ],
    )
    def test_an_invalid_range_or_symbol_is_an_error_with_a_hint(self, filled, arguments, message):
        code, output = filled("stats", *arguments)
        assert code == 1
        assert message in output
        assert "→" in output

    def test_an_empty_lakehouse_is_named(self, tick):
        code, output = tick("stats")
        assert code == 1
        assert "holds no ticks" in output

    def test_one_day_of_one_symbol_with_a_constant_price_can_be_drawn(self, tick, tmp_path):
        Lakehouse(settings()).create()
        Lakehouse(settings()).append_ticks(
            ticks([0], symbols=("V:A",), rate=0.0005).with_columns(price=pl.lit(5.0))
        )
        code, output = tick(
            "stats", "--from", DAYS[0], "--to", DAYS[1], "--out", str(tmp_path / "out")
        )
        assert code == 0, output
        assert all(png(tmp_path / "out" / name) for name in PICTURES)


class TestDrift:
    @pytest.fixture
    def production(self, tick, tmp_path):
        """A Production model that forecasts by the 15-minute flow, its reference alongside it."""
        rows = dataset(days=2, strength=0.3).frame
        x, y = datasets.feature_matrix(rows), rows["y"].to_numpy()
        forest = RandomForestRegressor(10, min_samples_leaf=100, random_state=1).fit(
            x.astype(np.float32), y
        )
        model_files = export_estimator(
            forest,
            x,
            tmp_path / "model",
            features=CORE,
            trained_on="synthetic",
            trained_to_us=1,
            horizon_s=60,
            seed=1,
        )
        run = mlflow_run.start(settings(), drift_check.PIPELINE.run_name, 0)
        with run.closing():
            fresh = datasets.feature_matrix(dataset(days=2, strength=0.3, seed=5).frame)
            run.log_json(
                drift.build_reference(rows, forest.predict(fresh.astype(np.float32))),
                drift.REFERENCE_FILE,
            )
            registry = Registry(settings())
            registry.promote(
                registry.register_version(model_files, run.run_id, {GATE_PASS: "true"})
            )
        return run

    def rows(self, monkeypatch, frame):
        monkeypatch.setattr(
            datasets, "read_dataset", lambda *_: datasets.TickDataset(frame, {}, "")
        )

    def test_rows_like_those_of_the_training_need_no_retrain(self, tick, production, monkeypatch):
        self.rows(monkeypatch, dataset(days=6, strength=0.3, seed=9).frame)
        code, output = tick("drift", "--from", "2025-10-10", "--to", "2025-10-16")
        assert code == 0, output
        assert "no retrain" in output
        assert "IC of the last 5 days 0.2" in output

    def test_shifted_rows_need_a_retrain_a_day_after_the_last_one(
        self, tick, production, monkeypatch
    ):
        shifted = dataset(days=1, seed=9).frame.with_columns(pl.col(CORE[:3]) + 2)
        self.rows(monkeypatch, shifted)
        code, output = tick("drift", "--from", "2025-10-10")
        assert code == 0, output  # asked for, and the last training is minutes old
        assert "less than 24 hours" in output
        monkeypatch.setattr(drift, "COOLDOWN_US", 0)
        code, output = tick("drift", "--from", "2025-10-10", "--json")
        assert code == 3, output
        document = json.loads(output)
        assert (document["retrain"], document["due"], document["rows"]) == (
            True,
            True,
            len(shifted),
        )
        assert {line["name"] for line in document["columns"] if line["level"] == "alert"} >= set(
            CORE[:3]
        )
        code, output = tick("drift", "--from", "2025-10-10", "--reference-from", "2025-10-01")
        assert code == 0, output  # against the same shifted rows

    def test_without_a_reference_the_error_names_the_option(self, tick, production, monkeypatch):
        self.rows(monkeypatch, dataset(days=1).frame)
        monkeypatch.setattr(drift, "REFERENCE_FILE", "elsewhere.json")
        code, output = tick("drift", "--from", "2025-10-10")
        assert code == 1
        assert "has no elsewhere.json" in output
        assert "--reference-from" in output

    def test_without_a_production_model_there_is_nothing_to_compare(self, tick, monkeypatch):
        monkeypatch.setenv("TICK_MODEL_NAME", "none-yet")
        settings.cache_clear()
        code, output = tick("drift", "--from", "2025-10-10")
        assert code == 1
        assert "no Production version" in output

    def test_the_last_training_counts_even_if_it_failed(self, production):
        first = drift_check.last_training_us(settings())
        with mlflow_run.start(settings(), "something-else", 0).closing():
            pass
        assert drift_check.last_training_us(settings()) == first
        with (
            pytest.raises(ZeroDivisionError),
            mlflow_run.start(settings(), drift_check.PIPELINE.run_name, 0).closing(),
        ):
            raise ZeroDivisionError
        assert drift_check.last_training_us(settings()) >= first
