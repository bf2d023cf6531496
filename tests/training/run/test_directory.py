"""Run directories: distinct paths, atomic state, and errors that name the step to run."""

import json

import pytest

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from training.run.directory import KEY_CHARS_MAX, RunDirectory, replace_file, run_path


@pytest.fixture
def directory(tmp_path):
    return RunDirectory(tmp_path / "run")


def test_a_plain_key_is_the_name_of_the_directory(tmp_path):
    path = run_path(Settings(home=tmp_path), "tick", "manual.run-1")
    assert path == tmp_path / "training" / "tick" / "manual.run-1"


def test_keys_that_differ_only_in_unsafe_characters_have_different_directories(tmp_path):
    settings = Settings(home=tmp_path)
    names = [run_path(settings, "tick", f"a{mark}b").name for mark in ":/ _"]
    assert len(set(names)) == 4
    assert names[-1] == "a_b"
    assert all(name.startswith("a_b-") for name in names[:-1])


def test_long_keys_are_cut_and_stay_different(tmp_path):
    settings = Settings(home=tmp_path)
    names = {run_path(settings, "tick", "x" * KEY_CHARS_MAX + end).name for end in ("a", "b")}
    assert len(names) == 2
    assert {len(name) for name in names} == {KEY_CHARS_MAX + 9}


def test_state_is_merged_and_survives_another_process(directory):
    assert directory.read_state() == {}
    directory.update_state(a=1, b=2)
    directory.update_state(b=3)
    assert RunDirectory(directory.path).read_state() == {"a": 1, "b": 3}
    assert json.loads(directory.state_file.read_text()) == {"a": 1, "b": 3}


def test_a_missing_entry_names_the_step_to_run(directory):
    directory.update_state(other=None)
    assert directory.require_state("other", "any step") is None
    with pytest.raises(DatasetError, match="lacks the results of prepare_data") as error:
        directory.require_state("rows", "prepare_data")
    assert error.value.hint == "train again, or in Airflow clear the task prepare_data"


def test_an_interrupted_write_leaves_the_old_file(directory):
    directory.update_state(a=1)

    def fail(partial):
        partial.write_text("{")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(directory.state_file, fail)
    assert directory.read_state() == {"a": 1}
    assert [file.name for file in directory.path.iterdir()] == ["state.json"]


def test_remove_deletes_everything_and_may_be_repeated(directory):
    directory.update_state(a=1)
    directory.model.mkdir()
    directory.remove()
    directory.remove()
    assert not directory.path.exists()
