"""A training set made again from its run: equal while the snapshots live, whatever was written
since; and clear words when not.
"""

from dataclasses import asdict, replace

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from cli.main import app
from contracts.config import paths
from contracts.config.settings import Settings
from contracts.config.settings import settings as read_settings
from contracts.errors import DatasetError
from lakehouse.maintenance import expiry
from lakehouse.schemas import GOLD, SILVER
from lakehouse.tables import Lakehouse
from tests.support.market import DAY, T0, S, feature_rows, ticks
from tests.support.stored_market import TO_US, market, store
from training.run import mlflow_run
from training.tick.data import dataset as datasets
from training.tick.data import manifest
from training.tick.data.reproduce import find_manifest, reproduce_dataset

# The tables carry a property that only Flink's writer knows; MLflow's own tables use what
# SQLAlchemy has deprecated.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Parquet writer option:UserWarning",
    "ignore::FutureWarning",
    "ignore::DeprecationWarning",
    "ignore::ResourceWarning",
)
VIEWS = feature_rows(np.arange(1, 1800, 10))


@pytest.fixture
def settings(mlflow_home, tmp_path):
    """A lakehouse of this test's own, and the MLflow data base of all."""
    return Settings(
        home=tmp_path,
        mlflow_tracking_uri=paths.mlflow_uri(Settings(home=mlflow_home)),
        experiment=tmp_path.name,
        train_threads=1,
    )


def record(settings, dataset=None, **changed):
    """A run with the recipe of `dataset` (default: all of the lakehouse), changed as told."""
    made = manifest.describe_dataset(
        dataset or datasets.read_dataset(settings, T0, TO_US), settings
    )
    run = mlflow_run.start(settings, "tick-training", T0)
    with run.closing(), run.nested_run("prepare_data") as child:
        run.log_json(asdict(replace(made, **changed)), manifest.MANIFEST_FILE)
    return run.run_id, child.run_id


def spoil(settings):
    """More ticks, and other features for the whole range, as a later backfill would leave them."""
    store(settings, ticks([10, 11, 12], [1, 2, 3]).with_columns(pl.col("seq") + 10_000), VIEWS)
    Lakehouse(settings).table(GOLD).delete()
    store(settings, market().head(1), feature_rows(np.arange(1, 1800, 10), value=0.5))


class TestEqual:
    def test_what_was_written_since_is_not_read(self, settings):
        store(settings, market(), VIEWS)
        run_id, nested = record(settings)
        spoil(settings)
        assert (
            datasets.read_dataset(settings, T0, TO_US).fingerprint
            != find_manifest(settings, run_id)[1].fingerprint
        )
        made = reproduce_dataset(settings, run_id)
        assert made.equal
        assert made.fingerprint == made.recorded.fingerprint
        assert made.recorded.snapshots[SILVER] is not None
        assert (
            reproduce_dataset(settings, nested).run_id == run_id
        )  # a nested run stands for its parent

    def test_the_settings_of_then_are_used(self, settings):
        store(settings, market(), VIEWS)
        run_id, _ = record(settings)
        later = settings.model_copy(update={"horizon_s": 120, "decision_grid_s": 30, "stale_s": 60})
        assert reproduce_dataset(later, run_id).equal

    def test_a_column_that_the_table_gained_since_changes_nothing(self, settings):
        Lakehouse(settings).create()
        with Lakehouse(settings).table(GOLD).update_schema() as update:
            update.delete_column("range_1m")
        store_without(settings, "range_1m")
        run_id, _ = record(settings)
        Lakehouse(settings).create()  # a contract that gained it
        pinned = find_manifest(settings, run_id)[1].snapshots[GOLD]
        then = Lakehouse(settings).read_features("tick_1s", T0, TO_US, snapshot=pinned)
        assert then["range_1m"].is_null().all()
        assert reproduce_dataset(settings, run_id).equal


def store_without(settings, column):
    """Write the market as `store` does, into a gold that lacks a column."""
    from unittest.mock import patch

    with patch.object(Lakehouse, "create"):  # which would add it
        store(
            settings,
            market(),
            {view: frame.drop(column, strict=False) for view, frame in VIEWS.items()},
        )


class TestDifferent:
    @pytest.fixture
    def stored(self, settings):
        store(settings, market(), VIEWS)
        return settings

    def test_an_expired_snapshot_is_named(self, stored):
        run_id, _ = record(stored)
        spoil(stored)
        expiry.expire(Lakehouse(stored), expiry.Retention(2 * T0), 2 * T0, None)
        pinned = find_manifest(stored, run_id)[1].snapshots[SILVER]
        with pytest.raises(
            DatasetError, match=f"{SILVER} has no snapshot {pinned} any more"
        ) as error:
            reproduce_dataset(stored, run_id)
        assert "tick lake expire" in error.value.hint

    def test_other_values_are_named_by_column_and_day(self, stored):
        honest = datasets.read_dataset(stored, T0, TO_US)
        frame = honest.frame.with_columns(
            pl.when(pl.col("decision_us") == T0 + 600 * S)
            .then(pl.col("y") + 1e-12)
            .otherwise("y")
            .alias("y")
        )
        run_id, _ = record(
            stored, replace(honest, frame=frame, fingerprint=datasets.fingerprint(frame))
        )
        made = reproduce_dataset(stored, run_id)
        assert not made.equal
        assert made.differences == [
            "columns with other values: y",
            (
                f"days that differ: 1, the first is 2025-10-10 ({len(frame)} rows recorded,"
                f" {len(frame)} rebuilt)"
            ),
        ]

    def test_missing_rows_are_counted(self, stored):
        honest = datasets.read_dataset(stored, T0, TO_US)
        frame = honest.frame.head(5)
        run_id, _ = record(
            stored,
            replace(
                honest, frame=frame, fingerprint=datasets.fingerprint(frame), dropped={"halt": 1}
            ),
        )
        rows, dropped, day = reproduce_dataset(stored, run_id).differences
        assert rows == f"rows: 5 recorded, {len(honest.frame)} rebuilt"
        assert "'halt': 1" in dropped
        assert "2025-10-10 (5 rows recorded" in day

    def test_a_model_of_other_columns_is_said_without_reading(self, stored):
        columns = manifest.describe_dataset(
            datasets.read_dataset(stored, T0, TO_US), stored
        ).columns | {"an_old_one": "0"}
        run_id, _ = record(stored, columns=columns, snapshots={SILVER: 1, GOLD: 1})
        made = reproduce_dataset(stored, run_id)
        assert "an_old_one" in made.differences[0]
        assert not made.equal

    def test_a_run_that_is_unknown_or_recorded_nothing(self, stored):
        with pytest.raises(DatasetError, match="MLflow has no run"):
            reproduce_dataset(stored, "0" * 32)
        run = mlflow_run.start(stored, "something else", T0)
        with pytest.raises(DatasetError, match="recorded no training set"):
            reproduce_dataset(stored, run.run_id)
        run.log_json({"rows": 1}, manifest.MANIFEST_FILE)  # another tool's
        with pytest.raises(DatasetError, match="recorded no training set"):
            reproduce_dataset(stored, run.run_id)
        with pytest.raises(DatasetError, match="not read from the lakehouse"):
            reproduce_dataset(stored, record(stored, snapshots={})[0])


class TestDifferences:
    def test_columns_of_one_side_are_named(self, settings):
        store(settings, market(), VIEWS)
        made = manifest.describe_dataset(datasets.read_dataset(settings, T0, TO_US), settings)
        other = replace(made, fingerprint="x", columns={"y": made.columns["y"], "new": "0"})
        found = manifest.list_differences(made, other)
        assert "column new is only in the rebuilt one" in found
        assert "column entry_us is only in the recorded one" in found
        assert manifest.list_differences(made, made) == []


class TestCommands:
    """The whole way: eleven days in Iceberg, trained on, and made again."""

    @pytest.fixture
    def tick(self, settings, monkeypatch):
        values = {
            "HOME": settings.home,
            "MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
            "EXPERIMENT": settings.experiment,
        }
        for name, value in (
            values | {"MODEL_NAME": settings.experiment, "TRAIN_THREADS": 1}
        ).items():
            monkeypatch.setenv(f"TICK_{name}", str(value))
        monkeypatch.setenv("COLUMNS", "200")
        read_settings.cache_clear()
        yield lambda *words: CliRunner().invoke(app, words)
        read_settings.cache_clear()

    def test_train_and_rebuild(self, tick, settings):
        rng = np.random.default_rng(3)
        times = np.sort(rng.uniform(0, 11 * 86_400, 100_000))
        store(
            settings,
            ticks(times, 100 * np.exp(rng.standard_normal(len(times)).cumsum() * 1e-4)),
            feature_rows(np.arange(0, 11 * 86_400, 60)),
        )
        trained = tick("train", "tick", "--from", "2025-10-10", "--to", "2025-10-21")
        assert trained.exit_code in (0, 3), trained.output
        for shown in (
            "lightgbm",
            "turnover",
            "Walk-forward",
            "2 bp",
            "deflated",
            "bootstrap",
            "trainings: 1",
        ):
            assert shown in trained.output
        run_id = trained.output.split("tick dataset rebuild ")[1][:32]
        again = tick("dataset", "rebuild", run_id)
        assert again.exit_code == 0, again.output
        assert "equal" in again.output
        assert "snapshot of silver.tick_data" in again.output
        assert (
            find_manifest(settings, run_id)[1].from_us
            == T0
            == find_manifest(settings, run_id)[1].to_us - 11 * DAY
        )

    def test_a_difference_and_an_unknown_run_are_exit_code_one(self, tick, settings):
        store(settings, market(), VIEWS)
        run_id, _ = record(settings, fingerprint="0" * 64)
        different = tick("dataset", "rebuild", run_id)
        assert different.exit_code == 1
        assert "✗" in different.output
        unknown = tick("dataset", "rebuild", "0" * 32)
        assert unknown.exit_code == 1
        assert "MLflow has no run" in unknown.output
