"""Attacks by a model folder (S5, S6): a planted pickle is not executed, no other file is opened."""

import json
import pickle
import sys
from pathlib import Path

import pytest

from contracts.errors import RegistryError
from models import runtime
from models.runtime import MANIFEST_FILE, MODEL_FILE, Manifest
from tests.support.model_folder import export_small_forest

PLACES = ["model.pkl", "model.joblib", "python_model.pkl", "MLmodel.pickle"]


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self):
        return Path.touch, (self._mark,)


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "executed"


@pytest.fixture
def model(tmp_path):
    return export_small_forest(tmp_path / "model")


def reseal(folder: Path, content: bytes | None = None, **fields) -> str:
    """Write the model file and a manifest that fits it; returns the digest of the manifest."""
    if content is not None:
        (folder / MODEL_FILE).write_bytes(content)
        fields["sha256"] = runtime.file_sha256(folder / MODEL_FILE)
    stored = json.loads((folder / MANIFEST_FILE).read_bytes())
    return Manifest(**stored | fields).write(folder)


def test_the_pickle_of_these_tests_does_execute(mark):
    pickle.loads(pickle.dumps(Evil(mark)))
    assert mark.exists()


def test_a_pickle_in_place_of_the_model_is_refused_and_not_executed(model, mark):
    digest = reseal(model.folder, pickle.dumps(Evil(mark)))
    with pytest.raises(RegistryError, match="first load in a child process"):
        runtime.check_in_child(model.folder, digest, 60)
    with pytest.raises(RegistryError, match="cannot be loaded|not a model|ONNX"):
        runtime.load_model(model.folder, digest)
    assert not mark.exists()


def test_pickles_next_to_the_model_are_not_executed(model, mark):
    for name in PLACES:
        (model.folder / name).write_bytes(pickle.dumps(Evil(mark)))
    runtime.load_model(model.folder, model.digest)
    assert not mark.exists()


@pytest.mark.parametrize(
    "name",
    [*PLACES, "../secret", "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:9/m", "a/../b"],
)
def test_a_manifest_that_names_another_place_opens_no_file_there(model, name):
    """The audit hook sees every file that Python opens."""
    digest = reseal(model.folder, file=name)
    opened: list[str] = []
    is_watching = True

    def watch(event, arguments):
        if is_watching and event in {"open", "socket.connect"}:
            opened.append(str(arguments[0]))

    sys.addaudithook(watch)
    try:
        with pytest.raises(RegistryError, match="is not a kind of model file"):
            runtime.load_model(model.folder, digest)
    finally:
        is_watching = False
    assert {Path(path).parent for path in opened} == {model.folder}, "its manifest alone"
