"""Steps of a tick training as separate processes: aggregation of features, registration."""

import sys
import types
from dataclasses import dataclass, field

import pytest

from contracts.config.settings import Settings
from contracts.errors import DatasetError, JobError, RegistryError
from contracts.progress import silent
from models import tracking
from models.registry import Registry
from tests.support.market import T0
from tests.support.model_folder import export_small_forest
from training.run.gate import GateCheck, GateVerdict
from training.run.training_run import VERDICT
from training.tick import steps
from training.tick.gate import THRESHOLDS

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)
HOUR_US = 3_600_000_000


@pytest.fixture
def settings(mlflow_home, tmp_path, request):
    (mlflow_home / "mlflow").mkdir(exist_ok=True)
    uri = f"sqlite:///{mlflow_home}/mlflow/mlflow.db"
    name = request.node.name
    return Settings(home=tmp_path, mlflow_tracking_uri=uri, model_name=name, experiment=name)


def backtested(settings, key, seed=1, passed=True, compared_with=None):
    """A training after `backtest_model`, with a small forest as its model."""
    training = steps.training_run(settings, key)
    training.begin(T0, {})
    training.save_model(export_small_forest(training.directory.model, seed))
    check = GateCheck("sharpe", 3.0 if passed else 1.0, ">", 1.5)
    training.directory.update_state(
        **{
            VERDICT: GateVerdict((check,), THRESHOLDS).as_dict(),
            steps.COMPARED_WITH: compared_with,
            steps.TAGS: {"sharpe": "3.0000"},
        }
    )
    return training


class TestRegister:
    def test_one_training_registers_one_version_however_often_it_is_repeated(self, settings):
        training = backtested(settings, "k")
        for _ in range(2):
            verdict, version = steps.register_to_production(settings, "k")
            assert (verdict.gate_pass, version) == (True, "1")
        assert training.directory.read_state()["version"] == "1"
        assert len(Registry(settings).list_versions()) == 1
        assert Registry(settings).production_version().tags["sharpe"] == "3.0000"

    def test_another_training_of_equal_content_registers_another_version(self, settings):
        backtested(settings, "one")
        backtested(settings, "two", compared_with="1")
        assert steps.register_to_production(settings, "one")[1] == "1"
        assert steps.register_to_production(settings, "two")[1] == "2"
        digests = {each.tags["digest"] for each in Registry(settings).list_versions()}
        assert len(digests) == 1

    def test_a_production_model_that_is_new_since_the_backtest_stops_it(self, settings):
        backtested(settings, "one")
        backtested(settings, "two", seed=2, compared_with=None)
        steps.register_to_production(settings, "one")
        with pytest.raises(RegistryError, match="version 1 became Production since") as error:
            steps.register_to_production(settings, "two")
        assert "backtest_model" in error.value.hint
        assert [each.version for each in Registry(settings).list_versions()] == ["1"]

    def test_a_refused_model_is_not_registered_and_its_run_is_finished(self, settings):
        training = backtested(settings, "k", passed=False)
        verdict, version = steps.register_to_production(settings, "k")
        assert (version, verdict.reasons) == (None, ["sharpe 1 is not > 1.5"])
        assert Registry(settings).list_versions() == []
        run = tracking.client(settings).get_run(training.parent_run().run_id)
        assert run.info.status == "FINISHED"

    def test_it_needs_the_backtest(self, settings):
        steps.training_run(settings, "k").begin(T0, {})
        with pytest.raises(DatasetError, match="lacks the results of backtest_model"):
            steps.register_to_production(settings, "k")


@dataclass
class BackfillResult:
    """As `feature_store.backfill.run` returns it."""

    computed: list = field(default_factory=lambda: ["a", "b"])
    unchanged: list = field(default_factory=lambda: ["c"])
    failed: dict = field(default_factory=dict)
    ticks: int = 70
    rows: int = 30


class TestAggregate:
    @pytest.fixture
    def backfill(self, monkeypatch):
        """Replaces the backfill, which needs PyFlink; its result and arguments are attributes."""
        module = types.ModuleType("feature_store.backfill.run")
        module.result = BackfillResult()
        module.calls = []

        def run(settings, from_us, to_us, progress, chunk_us):
            module.calls.append((from_us, to_us, chunk_us))
            return module.result

        module.run = run
        package = types.ModuleType("feature_store.backfill")
        package.run = module
        monkeypatch.setitem(sys.modules, "feature_store.backfill", package)
        monkeypatch.setitem(sys.modules, "feature_store.backfill.run", module)
        return module

    def aggregate(self, settings):
        return steps.aggregate_weekly_features(
            settings, "k", T0, T0 + 4 * HOUR_US, HOUR_US, T0, silent
        )

    def logged(self, settings):
        client = tracking.client(settings)
        experiment = client.get_experiment_by_name(settings.experiment).experiment_id
        (run,) = client.search_runs([experiment], "tags.`mlflow.runName` = 'aggregate_features'")
        return run

    def test_counts_are_returned_and_logged(self, settings, backfill):
        counts = self.aggregate(settings)
        assert counts == {"computed": 2, "unchanged": 1, "rows": 30, "ticks": 70}
        assert backfill.calls == [(T0, T0 + 4 * HOUR_US, HOUR_US)]
        run = self.logged(settings)
        assert run.info.status == "FINISHED"
        assert run.data.metrics == {
            "records_processed": 70,
            "feature_rows": 30,
            "chunks_computed": 2,
            "chunks_unchanged": 1,
            "chunks_failed": 0,
        }
        assert run.data.tags["range_from"] == "2025-10-10T00:00:00+00:00"

    def test_a_failed_chunk_fails_the_run_and_a_repeat_resumes_it(self, settings, backfill):
        backfill.result = BackfillResult(failed={"2025-10-10": "no disk space"})
        with pytest.raises(JobError, match="1 chunks of features failed; 2025-10-10: no disk"):
            self.aggregate(settings)
        failed = self.logged(settings)
        assert (failed.info.status, failed.data.metrics["chunks_failed"]) == ("FAILED", 1)
        backfill.result = BackfillResult()
        self.aggregate(settings)
        repeated = self.logged(settings)
        assert (repeated.info.run_id, repeated.info.status) == (failed.info.run_id, "FINISHED")
