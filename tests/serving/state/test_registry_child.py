"""What the child process reads of a registry, with a registry in memory instead of MLflow."""

import sys
from types import SimpleNamespace

import orjson
import pytest

from contracts.config.settings import Settings
from contracts.errors import RegistryError
from serving.state.registry_child import VERSIONS_MAX, dump_registry
from serving.state.registry_state import served_model_names

STAGE = "Production"


def entry(number: int, production: bool = False):
    stage = STAGE if production else "None"
    return SimpleNamespace(
        version=str(number), stage=stage, production=production, created_us=number, tags={}
    )


def model(name: str):
    return SimpleNamespace(name=name, version="1", path="/models/1", digest="d")


@pytest.fixture
def dump(monkeypatch):
    """The child's result for a registry with these `versions`; an exception is raised instead."""

    def run(versions, challenger=None):
        class Registry:
            def __init__(self, _settings, name=None):
                self.name = name

            def fetch_production(self):
                if self.name is None:
                    raise RegistryError("no Production version", "train one")
                return model(self.name)

            def fetch_challenger(self):
                return challenger

            def list_versions(self):
                if isinstance(versions, Exception):
                    raise versions
                return versions

        registry = SimpleNamespace(Registry=Registry)
        monkeypatch.setitem(sys.modules, "models.registry", registry)
        return orjson.loads(dump_registry(Settings().model_dump_json()))

    return run


def test_the_newest_versions_and_an_older_production_one_are_listed(dump):
    count = VERSIONS_MAX + 5
    state = dump([entry(number, number == 2) for number in range(count, 0, -1)])
    listed = [int(version["version"]) for version in state["versions"]]
    assert listed == [*range(count, count - VERSIONS_MAX, -1), 2]
    assert state["absent"] is False


def test_versions_without_a_production_one_are_absent(dump):
    state = dump([entry(1)], challenger=model("tick-model"))
    assert state["absent"] is True
    assert state["production"] == {"error": "no Production version", "hint": "train one"}
    assert state["challenger"]["name"] == "tick-model"
    others = served_model_names(Settings())[1:]
    assert {name: fields["name"] for name, fields in state["others"].items()} == dict(
        zip(others, others, strict=True)
    )


def test_an_unavailable_registry_is_not_absent(dump):
    state = dump(RegistryError("unavailable"))
    assert (state["versions"], state["absent"], state["challenger"]) == ([], False, None)
