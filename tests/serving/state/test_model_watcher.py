"""The poll schedule, and which models are served after a read of the registry."""

import asyncio
from types import SimpleNamespace

import pytest

from contracts.config.settings import Settings
from contracts.errors import RegistryError
from contracts.features import CORE
from feature_store.online.reader import OnlineReader
from models.runtime import MODEL_FILE
from serving.state.metrics import Metrics
from serving.state.model_watcher import ModelWatcher, PollSchedule
from serving.state.registry_state import RegistryState, ServedVersion
from serving.state.served_models import ServedModels


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, model_retry_s=10, model_refresh_s=60)


class TestPollSchedule:
    def test_failures_double_the_interval_up_to_that_of_a_success(self, settings):
        schedule = PollSchedule(settings)
        intervals = []
        for _ in range(5):
            schedule.note_failure(age_s=0)
            intervals.append(schedule.interval_s)
        assert intervals == [10, 20, 40, 60, 60]
        schedule.note_success(age_s=0)
        assert schedule.interval_s == 60
        schedule.note_failure(age_s=0)
        assert schedule.interval_s == 10

    def test_a_signal_starts_the_backoff_again(self, settings):
        schedule = PollSchedule(settings)
        for _ in range(3):
            schedule.note_failure(age_s=0)
        schedule.reset_backoff()
        assert schedule.interval_s == 40
        schedule.note_failure(age_s=0)
        assert schedule.interval_s == 10

    def test_a_cached_state_is_due_by_its_age(self, settings):
        schedule = PollSchedule(settings)
        schedule.note_success(age_s=0)
        assert not schedule.is_due
        schedule.note_success(age_s=61)
        assert schedule.is_due


class Watched:
    """A watcher on a registry whose state the test chooses, without Redis."""

    def __init__(self, settings):
        self.state = None
        self.models = ServedModels(settings, Metrics())
        self._watcher = ModelWatcher(settings, self.models, self._read)

    async def _read(self, *_):
        if isinstance(self.state, Exception):
            raise self.state
        return self.state

    def refresh(self, state):
        self.state = state
        asyncio.run(self._watcher._refresh())


@pytest.fixture
def watched(settings):
    return Watched(settings)


@pytest.fixture
def other(export_model):
    exported = export_model(seed=41)
    return ServedVersion("power-model", "3", str(exported.folder), exported.digest)


def test_another_model_is_loaded_once(watched, production, other):
    watched.refresh(RegistryState(production, others={"power-model": other}))
    first = watched.models.others["power-model"]
    watched.refresh(RegistryState(production, others={"power-model": other}))
    assert watched.models.others["power-model"] is first


def test_a_broken_other_model_keeps_its_predecessor_and_blocks_nothing(
    watched, production, other, export_model
):
    watched.refresh(RegistryState(production, others={"power-model": other}))
    exported = export_model(seed=42)
    (exported.folder / MODEL_FILE).unlink()
    broken = ServedVersion("power-model", "4", str(exported.folder), exported.digest)
    watched.refresh(RegistryState(production, others={"power-model": broken, "new-model": broken}))
    assert {name: model.version for name, model in watched.models.others.items()} == {
        "power-model": "3"
    }
    assert watched.models.explanation == ""


def test_a_missing_production_model_does_not_block_the_others(watched, other):
    error = RegistryError("tick-model has no Production version")
    watched.refresh(RegistryState(error, others={"power-model": other}, no_production=True))
    assert watched.models.production is None
    assert watched.models.explanation == "tick-model has no Production version"
    assert set(watched.models.others) == {"power-model"}


def test_the_same_version_is_not_swapped(watched, production):
    watched.refresh(RegistryState(production))
    predictor = watched.models.production
    watched.refresh(RegistryState(production))
    assert watched.models.production is predictor


def test_a_new_version_with_the_same_features_keeps_the_connections(
    watched, production, export_model
):
    watched.refresh(RegistryState(production))
    before = watched.models.production
    exported = export_model(seed=43)
    newer = ServedVersion("tick-model", "8", str(exported.folder), exported.digest)
    watched.refresh(RegistryState(newer))
    assert watched.models.production.model.version == "8"
    assert watched.models.production.reader is before.reader


def test_a_challenger_ends_with_its_trial(watched, production, export_model):
    exported = export_model(seed=44)
    challenger = ServedVersion("tick-model", "8", str(exported.folder), exported.digest)
    watched.refresh(RegistryState(production, challenger=challenger))
    assert watched.models.challenger.model.version == "8"
    watched.refresh(RegistryState(production))
    assert watched.models.challenger is None


def test_production_is_not_its_own_challenger(watched, production):
    watched.refresh(RegistryState(production, challenger=production))
    assert watched.models.challenger is None


def test_without_production_a_challenger_is_not_used(settings):
    models = ServedModels(settings, Metrics())
    models.set_challenger(SimpleNamespace(features=("x",), version="8"))
    assert models.challenger is None


def test_the_reader_of_a_model_with_other_features_is_closed_with_its_model(
    settings, production, export_model, monkeypatch
):
    closed = []

    async def close(reader):
        closed.append(reader)

    monkeypatch.setattr(OnlineReader, "close", close)
    watched = Watched(settings.model_copy(update={"feature_read_ms_max": 1}))
    readers = []
    for at in range(1, 4):
        exported = export_model(seed=50 + at, features=CORE[:-at])
        version = ServedVersion("tick-model", str(at), str(exported.folder), exported.digest)
        watched.refresh(RegistryState(version))
        readers.append(watched.models.reader)
    assert closed == readers[:2]
    watched.refresh(RegistryState(production))
    assert closed == readers and watched.models.reader not in closed
