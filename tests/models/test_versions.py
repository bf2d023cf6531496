"""Look-ups of versions in a real MLflow: by number, alias, content and run."""

import pytest

from contracts.config.settings import Settings
from contracts.errors import RegistryError
from models import local_copy, tracking, versions
from models.registry import Registry
from tests.support.model_folder import GATE_PASSED_TAGS, export_small_forest

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)


@pytest.fixture
def settings(mlflow_home, request):
    return Settings(home=mlflow_home, model_name=request.node.name)


@pytest.fixture
def registry(settings):
    return Registry(settings)


@pytest.fixture
def register(registry, settings, tmp_path):
    """Registers a model of a seed in a new run; returns run id and digest."""

    def register(seed, tags=GATE_PASSED_TAGS):
        client = tracking.client(settings)
        experiment = tracking.experiment_id(settings, client, settings.experiment)
        run_id = client.create_run(experiment).info.run_id
        exported = export_small_forest(tmp_path / f"model-{run_id}", seed)
        registry.register_version(exported, run_id, tags)
        return run_id, exported.digest

    return register


def test_versions_are_listed_newest_first_with_their_tags_and_runs(registry, register):
    runs = [register(seed, GATE_PASSED_TAGS | {"seed": str(seed)})[0] for seed in (1, 2)]
    listed = registry.list_versions()
    assert [each.version for each in listed] == ["2", "1"]
    assert [each.run_id for each in listed] == runs[::-1]
    assert [each.tags["seed"] for each in listed] == ["2", "1"]
    assert listed[0].created_us > listed[1].created_us
    assert not any(each.production or each.challenger for each in listed)


def test_a_version_is_found_by_content_and_by_run_and_content(registry, settings, register):
    first_run, digest = register(1)
    second_run, same_digest = register(1)
    assert digest == same_digest
    # Per content: the newest with it. Per run: the one of that run.
    assert registry.find_version_with_digest(digest) == "2"
    assert registry.find_version_of_run(first_run, digest) == "1"
    assert registry.find_version_of_run(second_run, digest) == "2"
    assert registry.find_version_of_run(first_run, "0" * 64) is None
    assert registry.find_version_with_digest("0" * 64) is None
    assert Registry(settings, "another-model").find_version_with_digest(digest) is None


def test_without_production_the_error_has_the_callers_hint(registry, settings, register):
    register(1)
    assert registry.production_version() is None
    with pytest.raises(RegistryError, match="has no Production version") as error:
        registry.require_production("do this")
    assert error.value.hint == "do this"
    with pytest.raises(RegistryError, match="^other has no Production version"):
        Registry(settings, "other").require_production("")


def test_the_challenger_is_another_version_that_passed_and_its_trial_can_end(registry, register):
    for seed, passed in ((1, "true"), (2, "true"), (3, "false")):
        register(seed, {"gate_pass": passed})
    registry.promote("1")
    assert registry.fetch_challenger() is None
    with pytest.raises(RegistryError, match="version 1 is Production"):
        registry.set_challenger("1")
    with pytest.raises(RegistryError, match="version 3 has not passed the gate"):
        registry.set_challenger("3")
    registry.set_challenger("2")
    assert registry.fetch_challenger().version == "2"
    assert registry.get_version("2").challenger
    registry.remove_challenger()
    assert registry.fetch_challenger() is None
    events = [(event.action, event.version) for event in registry.list_events()]
    assert events == [("challenge", None), ("challenge", "2"), ("promote", "1")]


def test_a_promoted_challenger_is_no_longer_one(registry, register):
    for seed in (1, 2):
        register(seed)
    registry.promote("1")
    registry.set_challenger("2")
    promoted = registry.promote("2")
    assert (promoted.production, promoted.challenger) == (True, False)
    assert promoted.tags[versions.PREDECESSOR] == "1"


def test_a_download_that_fails_names_the_version_and_leaves_no_copy(registry, settings, register):
    register(1)
    version = registry.get_version("1")
    missing = versions.ModelVersion(**vars(version) | {"source": f"{version.source}-gone"})
    with pytest.raises(RegistryError, match=f"{settings.model_name} version 1 cannot be fetched"):
        registry.fetch_version(missing)
    folder = settings.root / "models" / settings.model_name
    assert not (folder / "1").exists()
    assert not list(folder.glob(".new-*"))


def test_a_second_caller_uses_the_copy_of_the_first(registry, register, monkeypatch):
    register(1)
    version = registry.get_version("1")
    first = registry.fetch_version(version)
    monkeypatch.setattr(local_copy, "_download", None)
    assert registry.fetch_version(version) == first
