"""The trial of a challenger: what running APIs are told, and when nothing changes."""

import pytest

from contracts.config.settings import Settings
from contracts.errors import RegistryError
from contracts.redis_keys import COMPARISON_KEY, RETIRED, model_key
from models import audit, tracking
from models.registry import Registry
from tests.feature_store.conftest import RedisServer
from tests.support.model_folder import GATE_PASSED_TAGS, export_small_forest

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


def register(registry, folder, seed=1):
    """Register a version that passed the gate; returns its number."""
    settings = registry._settings
    client = tracking.client(settings)
    experiment = tracking.experiment_id(settings, client, settings.experiment)
    run_id = client.create_run(experiment).info.run_id
    return registry.register_version(export_small_forest(folder, seed), run_id, GATE_PASSED_TAGS)


@pytest.fixture
def registry(mlflow_home, request, redis_server, tmp_path):
    """A registry with one version that passed the gate, which is not Production."""
    name = request.node.name
    settings = Settings(home=mlflow_home, model_name=name, redis_port=redis_server.port)
    registry = Registry(settings)
    register(registry, tmp_path / "model")
    return registry


@pytest.fixture
def signal(registry, redis_server):
    """The newest signal, a Production version (or none) and a time."""

    def read():
        with redis_server.client() as client:
            return client.get(model_key(registry.name)).decode()

    return read


def test_apis_are_told_of_a_challenger_and_of_the_end_of_its_trial(registry, signal, tmp_path):
    second = register(registry, tmp_path / "second", 2)
    registry.promote("1")
    signals = [signal()]
    registry.set_challenger(second)
    signals.append(signal())
    registry.remove_challenger()
    signals.append(signal())
    assert len(set(signals)) == 3, "each is a new signal"
    assert {each.partition("@")[0] for each in signals} == {"1"}, "of the Production version"


def test_a_challenger_is_not_taken_for_production(registry, signal):
    registry.set_challenger("1")
    assert signal().partition("@")[0] == RETIRED


def test_the_end_of_a_trial_names_the_production_version(registry, signal):
    registry.promote("1")
    registry.remove_challenger()
    assert signal().startswith("1@")
    assert registry.production_version().version == "1"


def test_ending_no_trial_changes_no_version(registry):
    before = registry.list_versions()
    registry.remove_challenger()
    assert registry.list_versions() == before


def test_an_unknown_version_is_not_tried_and_nothing_is_recorded(registry):
    with pytest.raises(RegistryError) as error:
        registry.set_challenger("2")
    assert error.value.message == f"{registry.name} has no version 2"
    assert error.value.hint == "see `tick model list`"
    assert registry.list_events() == []


def test_only_the_served_model_forgets_the_last_comparison(registry, redis_server):
    settings = registry._settings.model_copy(update={"model_name": "served"})
    with redis_server.client() as client:
        client.set(COMPARISON_KEY, b"numbers")
        audit.signal_apis(settings, "power", "3@1")
        assert client.get(COMPARISON_KEY) == b"numbers"
        audit.signal_apis(settings, "served", "3@1")
        assert client.get(COMPARISON_KEY) is None
