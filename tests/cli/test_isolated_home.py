"""A separate home for a demonstration: empty, and next to the user's own state."""

import os

import pytest

from cli.isolated_home import create_isolated_home
from contracts.config import paths
from contracts.config.settings import settings


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The user's home with some state."""
    monkeypatch.setenv("TICK_HOME", str(tmp_path / "own"))
    monkeypatch.setenv("TICK_CACHE", "")
    monkeypatch.delenv("TICK_CACHE")
    settings.cache_clear()
    (settings().root / "lake").mkdir(parents=True)
    (settings().root / "lake" / "rows").write_text("own")
    yield settings().root
    settings.cache_clear()


def test_it_is_below_the_own_home_and_empty(own):
    created = create_isolated_home("demo")
    assert created.root == own / "demo"
    assert not created.root.exists() or list(created.root.iterdir()) == []


def test_this_process_and_its_children_use_it(own):
    created = create_isolated_home("demo")
    assert settings() is created
    assert os.environ["TICK_HOME"] == str(own / "demo")


def test_the_jars_stay_shared(own):
    jars = paths.jars(settings())
    assert paths.jars(create_isolated_home("demo")) == jars


def test_the_state_of_an_earlier_demonstration_is_deleted_and_the_own_is_kept(own):
    left = own / "demo" / "lake" / "rows"
    left.parent.mkdir(parents=True)
    left.write_text("earlier")
    (own / "other").mkdir()
    create_isolated_home("demo")
    assert not left.exists()
    assert (own / "lake" / "rows").read_text() == "own"
    assert (own / "other").is_dir()


def test_two_homes_are_nested_only_if_asked_for(own, monkeypatch):
    first = create_isolated_home("demo")
    monkeypatch.setenv("TICK_HOME", str(own))
    settings.cache_clear()
    second = create_isolated_home("airflow-demo")
    assert (first.root.parent, second.root.parent) == (own, own)
