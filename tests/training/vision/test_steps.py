"""Steps of a vision training without a framework: a network as the training process leaves it is
judged, registered once, or refused.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from contracts.config.settings import Settings
from contracts.errors import DatasetError, RegistryError
from models import runtime, tracking
from models.registry import Registry
from tests.support.made_images import digits, trained
from tests.training.vision.test_images import keras_file
from training.run import mlflow_run
from training.run.download import DownloadError
from training.run.provenance import iso
from training.vision import card, child, directory, steps
from training.vision.child import TrainingError
from training.vision.images import Images
from training.vision.specs import DATASETS, VisionSpec

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)
SPEC = VisionSpec("mnist")


def quiet(step, done, total):
    pass


@pytest.fixture
def settings(tmp_path, mlflow_home, request) -> Settings:
    """A separate home, the shared MLflow data base, and a model name of this test's own."""
    (mlflow_home / "mlflow").mkdir(exist_ok=True)
    uri, name = (
        f"sqlite:///{mlflow_home}/mlflow/mlflow.db",
        f"vision-{abs(hash(request.node.name))}",
    )
    return Settings(
        home=tmp_path / "home",
        mlflow_tracking_uri=uri,
        mnist_model_name=name,
        mnist_experiment=name,
    )


@pytest.fixture(scope="module")
def made() -> Images:
    return digits(tested=steps.TEST_IMAGES_MIN)


def runs(settings: Settings) -> dict[str, str]:
    """Status of every run of the experiment, by name; no two are of one name."""
    client = tracking.client(settings)
    found = client.search_runs(
        [client.get_experiment_by_name(settings.mnist_experiment).experiment_id]
    )
    names = {run.info.run_name: run.info.status for run in found}
    assert len(names) == len(found)
    return names


def logged_epochs(settings: Settings) -> int:
    """Epochs whose loss is in the run of train_cnn."""
    client = tracking.client(settings)
    experiment = client.get_experiment_by_name(settings.mnist_experiment).experiment_id
    (run,) = client.search_runs([experiment], "tags.`mlflow.runName` = 'train_cnn'")
    return len(client.get_metric_history(run.info.run_id, "val_loss"))


def prepared(settings: Settings, tmp_path: Path, made: Images, key: str = "k") -> None:
    steps.prepare_data(settings, SPEC, key, keras_file(tmp_path / "mnist.npz", made), quiet)
    trained(settings, SPEC, key, made)


def test_what_passes_is_registered_once_and_served_by_the_runtime(settings, tmp_path, made):
    prepared(settings, tmp_path, made)
    steps.train_model(settings, SPEC, "k", quiet)
    assert steps.evaluate_model(settings, SPEC, "k", quiet).gate_pass
    first = steps.register_model(settings, SPEC, "k", quiet)
    again = steps.register_model(settings, SPEC, "k", quiet)
    assert (first.version, first.repeated, again.version, again.repeated) == ("1", False, "1", True)
    now = Registry(settings, settings.mnist_model_name).fetch_production()
    model = runtime.load_model(now.path, now.digest)
    assert model.labels == tuple("0123456789") and model.shape == (28, 28, 1)
    assert (model.predict(made.test_x).argmax(axis=1) == made.test_y).all()


def test_the_runs_tell_the_story(settings, tmp_path, made):
    prepared(settings, tmp_path, made)
    steps.train_model(settings, SPEC, "k", quiet)
    steps.evaluate_model(settings, SPEC, "k", quiet)
    result = steps.register_model(settings, SPEC, "k", quiet)
    client = tracking.client(settings)
    parent = client.get_run(result.run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["test_accuracy"] == 1.0 and parent.data.params["profile"] == "cnn"
    day = iso(parent.info.start_time // 1000 * 1_000_000)[:10]
    assert (
        parent.data.params["model_type"] == "cnn"
        and parent.data.params["execution_date"][:10] == day
    )
    assert (
        parent.data.tags["dataset_sha256"] == made.sha256()
        and parent.data.tags["registered_version"] == "1"
    )
    runs = client.search_runs([parent.info.experiment_id])
    children = {
        run.data.tags["mlflow.runName"]: run
        for run in runs
        if run.data.tags.get(mlflow_run.PARENT) == result.run_id
    }
    assert children.keys() == {"prepare_data", "train_cnn", "evaluate"}
    assert (
        client.get_metric_history(children["train_cnn"].info.run_id, "val_accuracy")[0].value == 0.9
    )
    names = {file.path for file in client.list_artifacts(children["evaluate"].info.run_id)}
    assert names == {"verdict.json", "confusion.png"}
    assert card.CARD in {file.path for file in client.list_artifacts(result.run_id)}


def test_a_repeated_step_goes_on_in_its_run_and_a_finished_training_stays_finished(
    settings, tmp_path, made
):
    prepared(settings, tmp_path, made)
    for _ in range(2):
        steps.prepare_data(settings, SPEC, "k", tmp_path / "mnist.npz", quiet)
        steps.train_model(settings, SPEC, "k", quiet)
        steps.evaluate_model(settings, SPEC, "k", quiet)
        assert steps.register_model(settings, SPEC, "k", quiet).version == "1"
    steps.evaluate_model(settings, SPEC, "k", quiet)
    assert runs(settings) == dict.fromkeys(
        ("mnist-training", "prepare_data", "train_cnn", "evaluate"), "FINISHED"
    )
    assert logged_epochs(settings) == 1


def test_epochs_are_logged_while_the_training_runs(settings, tmp_path, made, monkeypatch):
    steps.prepare_data(settings, SPEC, "k", keras_file(tmp_path / "mnist.npz", made), quiet)
    at, seen = directory.vision_directory(settings, SPEC, "k"), []
    line = {"epoch": 1.0, "loss": 0.5, "accuracy": 0.9, "val_loss": 0.4, "val_accuracy": 0.9}

    def run(settings, spec, at, progress):
        for number in (1, 2):
            at.history.write_text(json.dumps([line] * number))
            progress("train", number, 2)
            seen.append(logged_epochs(settings))
        raise TrainingError("killed", "")

    monkeypatch.setattr(child, "run_training_process", run)
    for _ in range(2):
        with pytest.raises(TrainingError):
            steps.train_model(settings, SPEC, "k", quiet)
    assert seen == [1, 2, 2, 2]
    assert runs(settings) == {
        "mnist-training": "FAILED",
        "prepare_data": "FINISHED",
        "train_cnn": "FAILED",
    }
    trained(settings, SPEC, "k", made)
    steps.train_model(settings, SPEC, "k", quiet)
    assert runs(settings) == {
        "mnist-training": "RUNNING",
        "prepare_data": "FINISHED",
        "train_cnn": "FINISHED",
    }
    assert at.read_state()["trained"]


def test_a_file_that_cannot_be_read_fails_its_runs_and_the_right_one_then_goes_on(
    settings, tmp_path, made
):
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 and no more")
    for _ in range(2):
        with pytest.raises(DatasetError, match="cannot be read"):
            steps.prepare_data(settings, SPEC, "k", tmp_path / "bad.npz", quiet)
    assert runs(settings) == {"mnist-training": "FAILED", "prepare_data": "FAILED"}
    steps.prepare_data(settings, SPEC, "k", keras_file(tmp_path / "mnist.npz", made), quiet)
    assert runs(settings) == {"mnist-training": "RUNNING", "prepare_data": "FINISHED"}
    assert Registry(settings, settings.mnist_model_name).list_versions() == []


def test_without_a_network_the_runs_fail_too(settings):
    away = settings.model_copy(update={"mnist_url": "http://127.0.0.1:9/mnist.npz"})
    with pytest.raises(DownloadError, match="cannot be fetched"):
        steps.prepare_data(away, SPEC, "k", None, quiet)
    assert runs(settings) == {"mnist-training": "FAILED", "prepare_data": "FAILED"}


def test_few_test_images_open_no_gate(settings, tmp_path):
    prepared(settings, tmp_path, digits())
    steps.train_model(settings, SPEC, "k", quiet)
    verdict = steps.evaluate_model(settings, SPEC, "k", quiet)
    assert verdict.threshold_pass
    assert verdict.reasons == ["test_images 60 is not >= 10000"]
    assert steps.register_model(settings, SPEC, "k", quiet).version is None
    assert Registry(settings, settings.mnist_model_name).list_versions() == []


def test_what_is_not_accurate_enough_never_enters_the_registry(settings, tmp_path, made):
    wrong = Images(made.train_x, made.train_y, made.test_x, np.roll(made.test_y, 7))
    prepared(settings, tmp_path, wrong)
    steps.train_model(settings, SPEC, "k", quiet)
    verdict = steps.evaluate_model(settings, SPEC, "k", quiet)
    result = steps.register_model(settings, SPEC, "k", quiet)
    assert not verdict.gate_pass and result.version is None and "accuracy" in verdict.reasons[0]
    assert Registry(settings, settings.mnist_model_name).list_versions() == []


@pytest.mark.parametrize(
    ("kind", "accuracy", "passes"),
    [
        ("mnist", 0.95, False),
        ("mnist", 0.9501, True),
        ("cifar10", 0.85, True),
        ("cifar10", 0.8499, False),
        ("mnist", float("nan"), False),
    ],
)
def test_the_gates_are_the_required_ones(kind, accuracy, passes):
    assert steps.evaluate_vision_gate(VisionSpec(kind), accuracy, 10_000).gate_pass is passes


def test_a_network_that_answers_otherwise_than_its_original_is_not_judged(settings, tmp_path, made):
    prepared(settings, tmp_path, made)
    at = directory.vision_directory(settings, SPEC, "k")
    with (at.path / "answers.npz").open("wb") as out:
        np.savez(out, answers=np.full((512, 10), 0.1, np.float32))
    steps.train_model(settings, SPEC, "k", quiet)
    with pytest.raises(RegistryError, match="differs from the original"):
        steps.evaluate_model(settings, SPEC, "k", quiet)
    assert runs(settings)["evaluate"] == runs(settings)["mnist-training"] == "FAILED"


def test_steps_name_the_one_that_must_come_first(settings, tmp_path, made):
    with pytest.raises(DatasetError, match="lacks the results of prepare_data"):
        steps.train_model(settings, SPEC, "k", quiet)
    steps.prepare_data(settings, SPEC, "k", keras_file(tmp_path / "mnist.npz", made), quiet)
    with pytest.raises(DatasetError, match="lacks the results of train_model"):
        steps.evaluate_model(settings, SPEC, "k", quiet)
    with pytest.raises(DatasetError, match="lacks the results of evaluate_model"):
        steps.register_model(settings, SPEC, "k", quiet)


def test_other_data_or_another_spec_begins_again_the_same_goes_on(settings, tmp_path, made):
    prepared(settings, tmp_path, made)
    at = directory.vision_directory(settings, SPEC, "k")
    run_id = at.read_state()["run_id"]
    steps.prepare_data(settings, SPEC, "k", tmp_path / "mnist.npz", quiet)
    assert at.network.is_file() and at.read_state()["run_id"] == run_id
    steps.prepare_data(settings, VisionSpec("mnist", seed=8), "k", tmp_path / "mnist.npz", quiet)
    assert not at.network.is_file() and at.read_state()["run_id"] != run_id
    trained(settings, SPEC, "k", made)
    steps.prepare_data(
        settings,
        VisionSpec("mnist", seed=8),
        "k",
        keras_file(tmp_path / "other.npz", digits(seed=9)),
        quiet,
    )
    assert not at.network.is_file()


def test_a_missing_framework_says_which_group(settings, monkeypatch):
    monkeypatch.setitem(child.MODULES, "keras", "no_such_framework")
    with pytest.raises(
        DatasetError, match="no_such_framework is not installed: group `keras`"
    ) as caught:
        steps.train_network(settings, SPEC, None, "k", quiet)
    assert (
        "make install-vision" in caught.value.hint
        and "uv sync --inexact --group keras" in caught.value.hint
    )
    assert not (settings.root / "training").exists()


def test_the_python_that_trains_is_the_settings_or_this_one_or_the_projects_other_one(
    settings, tmp_path, monkeypatch
):
    other = tmp_path / ".venv-vision" / "bin" / "python"
    other.parent.mkdir(parents=True)
    settings = settings.model_copy(update={"project": tmp_path})
    monkeypatch.setitem(child.MODULES, "keras", "only_there")
    with pytest.raises(DatasetError, match="not installed"):
        child.find_python(settings, "keras")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "only_there.py").touch()
    other.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}/site exec {sys.executable} "$@"\n')
    other.chmod(0o755)
    assert child.find_python(settings, "keras") == other
    assert child.find_python(settings.model_copy(update={"vision_python": other}), "keras") == other
    monkeypatch.setitem(child.MODULES, "keras", "json")
    assert child.find_python(settings, "keras") == Path(sys.executable)
    for wrong in (tmp_path / "none", Path(sys.executable)):
        monkeypatch.setitem(child.MODULES, "keras", "only_there")
        with pytest.raises(DatasetError, match=str(wrong)):
            child.find_python(settings.model_copy(update={"vision_python": wrong}), "keras")


def test_a_child_that_dies_says_why(settings, tmp_path, made, monkeypatch):
    steps.prepare_data(settings, SPEC, "k", keras_file(tmp_path / "mnist.npz", made), quiet)
    monkeypatch.setitem(
        child.MODULES, "keras", "json"
    )  # passes the check; the child then fails on its own import, or on the spec
    at = directory.vision_directory(settings, SPEC, "k")
    (at.path / "spec.json").write_text(json.dumps({"kind": "mnist", "nonsense": 1}))
    with pytest.raises(TrainingError, match="exit code 1"):
        steps.train_model(settings, SPEC, "k", quiet)
    assert not at.network.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "imagenet"},
        {"kind": "mnist", "profile": "resnet9"},
        {"kind": "mnist", "epochs": -1},
    ],
)
def test_impossible_specs_are_refused(fields):
    with pytest.raises(DatasetError):
        VisionSpec(**fields)


def test_keys_become_plain_and_different_folders(settings):
    one, other = (
        directory.vision_directory(settings, SPEC, f"manual__2026-01-01T00:00:0{n}+00:00")
        for n in (1, 2)
    )
    assert one.path != other.path and ":" not in one.path.name
    assert directory.vision_directory(settings, SPEC, "x" * 500).path.name.startswith("x" * 80)
    assert DATASETS["cifar10"].model_name(Settings()) == "cifar10-cnn-model"
