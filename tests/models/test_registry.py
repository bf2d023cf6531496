"""The life of a version in a real MLflow on SQLite: registered, promoted, replaced, rolled back,
tampered with.
"""

import getpass
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.errors import RegistryError
from contracts.redis_keys import COMPARISON_KEY, RETIRED, model_key
from models import runtime, tracking
from models.registry import Registry
from tests.feature_store.conftest import RedisServer
from tests.support.model_folder import FEATURES, GATE_PASSED_TAGS, export_small_forest, forest

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)


@pytest.fixture
def settings(mlflow_home, request, monkeypatch):
    """One data base for all tests, a model name for each."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Settings(home=mlflow_home, model_name=request.node.name)


@pytest.fixture
def registry(settings):
    return Registry(settings)


@pytest.fixture
def run_id(settings):
    client = tracking.client(settings)
    return client.create_run(
        tracking.experiment_id(settings, client, settings.experiment)
    ).info.run_id


@pytest.fixture
def version(registry, run_id, tmp_path):
    return registry.register_version(
        export_small_forest(tmp_path / "one"), run_id, GATE_PASSED_TAGS
    )


def stages(settings):
    """Stage by version, read with MLflow's own client."""
    return {
        str(v.version): v.current_stage
        for v in MlflowClient(tracking.tracking_uri(settings)).search_model_versions(
            f"name='{settings.model_name}'"
        )
    }


def alias(settings):
    return str(
        MlflowClient(tracking.tracking_uri(settings))
        .get_model_version_by_alias(settings.model_name, "production")
        .version
    )


def stored(registry, version) -> Path:
    """The model file in the artifact store itself."""
    return Path(registry.get_version(version).source.removeprefix("file://")) / runtime.MODEL_FILE


def another(registry, settings, tmp_path, seed=2):
    client = tracking.client(settings)
    own_run = client.create_run(
        tracking.experiment_id(settings, client, settings.experiment)
    ).info.run_id
    return registry.register_version(
        export_small_forest(tmp_path / f"model-{seed}", seed), own_run, GATE_PASSED_TAGS
    )


class TestLife:
    def test_a_new_version_is_not_production(self, registry, settings, version):
        assert (version, stages(settings)) == ("1", {"1": "None"})
        with pytest.raises(RegistryError, match="no Production version"):
            registry.fetch_production()

    def test_promotion_moves_alias_and_stage_together(self, registry, settings, version, tmp_path):
        registry.promote(version)
        second = another(registry, settings, tmp_path)
        promoted = registry.promote(second)
        assert promoted.production
        assert stages(settings) == {"1": "Archived", "2": "Production"}
        assert alias(settings) == second

    def test_rollback_goes_back_step_by_step_and_then_says_no(
        self, registry, settings, version, tmp_path
    ):
        registry.promote(version)
        for seed in (2, 3):
            registry.promote(another(registry, settings, tmp_path, seed))
        assert [registry.roll_back().version, registry.roll_back().version] == [
            "2",
            "1",
        ]
        assert stages(settings) == {"1": "Production", "2": "Archived", "3": "Archived"}
        assert alias(settings) == "1"
        with pytest.raises(RegistryError, match="no earlier"):
            registry.roll_back()

    def test_promoting_again_changes_nothing_and_mends_a_half_done_promotion(
        self, registry, settings, version, tmp_path
    ):
        registry.promote(version)
        second = another(registry, settings, tmp_path)
        client = MlflowClient(tracking.tracking_uri(settings))
        client.transition_model_version_stage(
            settings.model_name, second, "Production", archive_existing_versions=True
        )  # and then killed
        assert registry.fetch_production().version == version
        registry.promote(second)
        registry.promote(second)
        assert registry.fetch_production().version == second
        assert registry.roll_back().version == version

    def test_retired_means_no_production_at_all(self, registry, settings, version):
        registry.promote(version)
        registry.retire()
        assert stages(settings) == {"1": "Archived"}
        assert registry.production_version() is None
        with pytest.raises(RegistryError):
            registry.retire()

    def test_what_has_not_passed_the_gate_is_never_promoted(self, registry, run_id, tmp_path):
        version = registry.register_version(
            export_small_forest(tmp_path / "refused"), run_id, {"gate_pass": "false"}
        )
        with pytest.raises(RegistryError, match="has not passed the gate"):
            registry.promote(version)
        assert registry.production_version() is None

    def test_an_unknown_version_or_model_is_said_so(self, registry):
        assert registry.list_versions() == []
        with pytest.raises(RegistryError, match="no version 9"):
            registry.promote("9")


class TestProduction:
    def test_the_fetched_copy_forecasts_like_the_original_and_like_mlflow(
        self, registry, settings, version
    ):
        import mlflow

        registry.promote(version)
        found = registry.fetch_production()
        assert found.path == settings.root / "models" / settings.model_name / version
        estimator, x = forest()
        ours = runtime.load_model(found.path, found.digest, found.name, found.version).predict(
            x[:100]
        )
        assert np.abs(ours - estimator.predict(x[:100])).max() <= runtime.DIFFERENCE_MAX
        mlflow.set_tracking_uri(tracking.tracking_uri(settings))
        generic = mlflow.pyfunc.load_model(f"models:/{settings.model_name}@production")
        theirs = generic.predict(pd.DataFrame(x[:100].astype(np.float64), columns=list(FEATURES)))
        assert np.allclose(
            np.asarray(next(iter(theirs.values())) if isinstance(theirs, dict) else theirs).reshape(
                -1
            ),
            ours,
        )

    def test_an_altered_cache_is_fetched_again(self, registry, version):
        registry.promote(version)
        found = registry.fetch_production()
        (found.path / runtime.MODEL_FILE).write_bytes(b"altered")
        again = registry.fetch_production()
        runtime.load_model(again.path, again.digest)

    @pytest.mark.parametrize("damage", ["altered", "truncated", "gone"])
    def test_a_damaged_store_is_refused_and_the_caller_lives(
        self, registry, settings, version, damage
    ):
        file = stored(registry, version)
        content = file.read_bytes()
        if damage == "gone":
            file.unlink()
        else:
            file.write_bytes(
                content[: len(content) // 2]
                if damage == "truncated"
                else content[:-1] + bytes([content[-1] ^ 1])
            )
        with pytest.raises(RegistryError):
            registry.promote(version)
        assert registry.production_version() is None

    def test_a_store_damaged_after_promotion_is_refused_where_there_is_no_copy(
        self, registry, settings, version, tmp_path
    ):
        registry.promote(version)
        stored(registry, version).write_bytes(b"altered")
        runtime.load_model(
            registry.fetch_production().path, registry.fetch_production().digest
        )  # the verified copy still serves
        (registry.fetch_production().path / runtime.MODEL_FILE).unlink()
        with pytest.raises(RegistryError, match="is not the file that was registered"):
            registry.fetch_production()


class TestTracking:
    def test_the_settings_come_first_then_the_environment_then_home(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        assert tracking.tracking_uri(Settings(home=tmp_path)) == "http://127.0.0.1:9"
        assert (
            tracking.tracking_uri(Settings(home=tmp_path, mlflow_tracking_uri="sqlite:///x.db"))
            == "sqlite:///x.db"
        )
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        assert (
            tracking.tracking_uri(Settings(home=tmp_path))
            == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
        )

    def test_artifacts_stay_below_home(self, settings, run_id):
        info = tracking.client(settings).get_run(run_id).info
        assert info.artifact_uri.startswith(tracking.artifact_root(settings).as_uri())

    def test_a_registry_that_does_not_answer_is_an_error_with_its_address(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(RegistryError, match="does not answer") as refused:
            Registry(
                Settings(home=tmp_path, mlflow_tracking_uri="http://127.0.0.1:9")
            ).list_versions()
        assert "127.0.0.1:9" in refused.value.hint


class TestHistory:
    def test_every_change_is_written_down_with_who_and_what_before(
        self, registry, settings, version, tmp_path
    ):
        began_us = now_us()
        assert registry.list_events() == []
        registry.promote(version)
        registry.promote(version)  # mends, changes nothing
        second = another(registry, settings, tmp_path)
        registry.promote(second)
        registry.roll_back()
        registry.retire()
        told = [(event.action, event.version, event.before) for event in registry.list_events()]
        assert told == [
            ("retire", None, "1"),
            ("rollback", "1", "2"),
            ("promote", "2", "1"),
            ("promote", "1", None),
        ]
        me = f"{getpass.getuser()}@{socket.gethostname()}"
        assert {event.by for event in registry.list_events()} == {me}
        times = [event.at_us for event in registry.list_events()]
        assert began_us <= times[-1] and times[0] <= now_us()
        assert times == sorted(times, reverse=True)

    def test_running_apis_are_told_through_redis(self, settings, version, tmp_path):
        server = RedisServer(tmp_path)
        try:
            given = settings.model_copy(update={"redis_port": server.port})
            Registry(given).promote(version)
            with server.client() as client:
                client.set(COMPARISON_KEY, b"of others")
            Registry(given).retire()
            with server.client() as client:
                assert not client.exists(COMPARISON_KEY), (
                    "it compared a version that serves no longer"
                )
                assert client.get(model_key(settings.model_name)).startswith(f"{RETIRED}@".encode())
        finally:
            server.stop()
