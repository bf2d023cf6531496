"""`tick stats` and `tick drift` as a person types them: a real lakehouse and a real MLflow; only
drift's rows are made by hand.
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
from contracts.features import CORE
from lakehouse import tables
from models import registry, tracking
from models.export import export_estimator
from tests.support.market import dataset
from tests.support.prices import D0, ticks
from training.daily_stats import compute, publish
from training.daily_stats.trades import DAY_US
from training.monitoring import drift_check
from training.run import mlflow_run
from training.tick import drift
from training.tick.data import dataset as datasets

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
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

    def call(*words):
        result = CliRunner().invoke(app, words)
        return result.exit_code, result.output

    yield call
    settings.cache_clear()


def png(file: Path) -> bool:
    return file.read_bytes().startswith(b"\x89PNG")


class TestStats:
    @pytest.fixture
    def filled(self, tick):
        tables.create(settings())
        tables.append_ticks(settings(), ticks([0, 1, 3], rate=0.005))
        return tick

    def test_a_range_becomes_tables_pictures_and_one_run(self, filled, tmp_path):
        code, said = filled(
            "stats", "--from", DAYS[0], "--to", DAYS[3], "--out", str(tmp_path / "out" / "here")
        )
        assert code == 0, said
        assert "2 days computed" in said
        assert f"1 days without ticks: {DAYS[2]}" in said
        assert (
            sorted(file.name for file in (tmp_path / "out" / "here").iterdir() if png(file))
            == PICTURES
        )
        client = tracking.client(settings())
        run_id = said.split("MLflow run ")[1].split(";")[0].strip()
        found = client.get_run(run_id)
        assert client.get_experiment(found.info.experiment_id).name == publish.EXPERIMENT
        assert found.info.status == "FINISHED"
        assert found.data.metrics["days"] == 2
        assert [file.path for file in client.list_artifacts(run_id)] == sorted(
            [*PICTURES, "days.json"]
        )
        told = json.loads(
            Path(client.download_artifacts(run_id, "days.json", str(tmp_path))).read_text()
        )
        assert (told["days"], told["holes"]) == (DAYS[:2], [DAYS[2]])

    def test_without_a_range_the_whole_lakehouse_is_done(self, filled):
        code, said = filled("stats", "--symbols", "V:A, V:X")
        assert code == 0, said
        assert "3 days computed" in said
        assert "no ticks of V:X" in said

    def test_a_range_without_ticks_is_said_and_draws_nothing(self, filled, tmp_path):
        code, said = filled(
            "stats", "--from", "2020-01-01", "--to", "2020-02-01", "--out", str(tmp_path / "out")
        )
        assert code == 0, said
        assert "31 days without ticks" in said
        assert "and 21 more" in said
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--from", "2026-01-02", "--to", "2026-01-01"], "the range is empty"),
            (["--symbols", "BTCUSDT"], "VENUE:SYMBOL"),
            (["--symbols", ","], "VENUE:SYMBOL"),
        ],
    )
    def test_what_cannot_be_is_an_error_with_a_hint(self, filled, words, said):
        code, output = filled("stats", *words)
        assert code == 1
        assert said in output
        assert "→" in output

    def test_an_empty_lakehouse_says_how_to_fill_it(self, tick):
        code, said = tick("stats")
        assert code == 1
        assert "holds no ticks" in said

    def test_one_day_of_one_symbol_with_a_constant_price_can_be_drawn(self, tick, tmp_path):
        tables.create(settings())
        tables.append_ticks(
            settings(), ticks([0], symbols=("V:A",), rate=0.0005).with_columns(price=pl.lit(5.0))
        )
        code, said = tick(
            "stats", "--from", DAYS[0], "--to", DAYS[1], "--out", str(tmp_path / "out")
        )
        assert code == 0, said
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
        made = export_estimator(
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
            registry.promote(
                settings(),
                registry.register_version(
                    settings(), made, run.run_id, {registry.GATE_PASS: "true"}
                ),
            )
        return run

    def rows(self, monkeypatch, frame):
        monkeypatch.setattr(datasets, "read_dataset", lambda *_: datasets.Dataset(frame, {}, ""))

    def test_rows_like_those_of_the_training_ask_for_nothing(self, tick, production, monkeypatch):
        self.rows(monkeypatch, dataset(days=6, strength=0.3, seed=9).frame)
        code, said = tick("drift", "--from", "2025-10-10", "--to", "2025-10-16")
        assert code == 0, said
        assert "no retrain" in said
        assert "IC of the last 5 days 0.2" in said

    def test_shifted_rows_ask_for_a_retrain_a_day_after_the_last_one(
        self, tick, production, monkeypatch
    ):
        shifted = dataset(days=1, seed=9).frame.with_columns(pl.col(CORE[:3]) + 2)
        self.rows(monkeypatch, shifted)
        code, said = tick("drift", "--from", "2025-10-10")
        assert code == 0, said  # asked for, and the last training is minutes old
        assert "less than 24 hours" in said
        monkeypatch.setattr(drift, "COOLDOWN_US", 0)
        code, said = tick("drift", "--from", "2025-10-10", "--json")
        assert code == 3, said
        told = json.loads(said)
        assert (told["retrain"], told["due"], told["rows"]) == (True, True, len(shifted))
        assert {line["name"] for line in told["columns"] if line["level"] == "alert"} >= set(
            CORE[:3]
        )
        code, said = tick("drift", "--from", "2025-10-10", "--reference-from", "2025-10-01")
        assert code == 0, said  # against the same shifted rows

    def test_without_a_reference_the_error_says_what_to_do(self, tick, production, monkeypatch):
        self.rows(monkeypatch, dataset(days=1).frame)
        monkeypatch.setattr(drift, "REFERENCE_FILE", "elsewhere.json")
        code, said = tick("drift", "--from", "2025-10-10")
        assert code == 1
        assert "has no elsewhere.json" in said
        assert "--reference-from" in said

    def test_without_a_production_model_there_is_nothing_to_compare(self, tick, monkeypatch):
        monkeypatch.setenv("TICK_MODEL_NAME", "none-yet")
        settings.cache_clear()
        code, said = tick("drift", "--from", "2025-10-10")
        assert code == 1
        assert "no Production version" in said

    def test_the_last_training_counts_whatever_came_of_it(self, production):
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
