"""Steps of a vision training: prepare_data → train_model → evaluate_model → register_model.

Each step may be a separate process; results are passed in the run directory. Repeating a step is
safe: the data is read again, a finished network is not trained again, the MLflow run of the step is
resumed, and equal content is registered once. A failed step marks its run and the parent run
FAILED; the next attempt reopens both.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.clock import now_us
from contracts.config.home import HomeSettings
from contracts.config.settings import Settings
from contracts.errors import TickError
from contracts.progress import Progress
from models import runtime
from models.export.image_network import export_network
from models.registry import Registry
from training.run import download
from training.run.directory import replace_file
from training.run.gate import GateCheck, GateVerdict
from training.run.mlflow_run import EXECUTION_DATE, MlflowRun
from training.run.provenance import iso
from training.run.training_run import RegisterPolicy, TrainingPipeline, TrainingRun
from training.vision import card, child, images, plot, training_loop
from training.vision.directory import VisionDirectory, vision_directory
from training.vision.specs import VisionSpec
from training.vision.worker_common import COMPARED_ROWS

MODEL_TYPE = "cnn"
EVALUATION_BATCH = 500
SHA, ACCURACY, TEST_IMAGES = "dataset_sha256", "accuracy", "test_images"
TEST_IMAGES_MIN = 10_000  # all of the public test sets: on fewer, an accuracy is less certain


@dataclass(frozen=True)
class VisionTraining:
    """Result of a training.

    `version` is the registered version with this network, None if the gate refused it; `repeated`:
    the same content was registered before.
    """

    run_id: str
    model: str
    verdict: GateVerdict
    version: str | None
    repeated: bool


def training_run(settings: Settings, spec: VisionSpec, key: str) -> TrainingRun:
    """The training `key`, a name chosen by the caller (e.g. a DAG run)."""
    pipeline = TrainingPipeline(
        spec.kind, f"{spec.kind}-training", MODEL_TYPE, train_step="evaluate_model"
    )
    return TrainingRun(settings, pipeline, key)


def train_network(
    settings: Settings, spec: VisionSpec, data: Path | None, key: str, progress: Progress
) -> VisionTraining:
    """All four steps in this process; only the network is trained in a child.

    Resumes an unfinished training of this key; a finished one starts over. Raises TickError; a
    refusal by the gate is a result, not an error.
    """
    directory = vision_directory(settings, spec, key)
    if directory.read_state().get("finished"):
        directory.remove()
    child.find_python(settings, spec.dataset.framework)  # before the download
    prepare_data(settings, spec, key, data, progress)
    train_model(settings, spec, key, progress)
    evaluate_model(settings, spec, key, progress)
    return register_model(settings, spec, key, progress)


def download_dataset(settings: HomeSettings, spec: VisionSpec, progress: Progress) -> Path:
    """The public file below TICK_HOME, downloaded once. Raises DownloadError."""
    url = str(getattr(settings, f"{spec.kind}_url"))
    sha256 = str(getattr(settings, f"{spec.kind}_sha256"))
    target = settings.root / "downloads" / spec.kind / Path(url).name
    return download.download_file(
        url, target, sha256, settings.download_timeout_s, settings.download_bytes_max, progress
    )


def prepare_data(
    settings: Settings, spec: VisionSpec, key: str, data: Path | None, progress: Progress
) -> None:
    """Read and validate the data set in file or folder `data`, and save its arrays.

    By default downloads the public file. Raises DatasetError or DownloadError.
    """
    progress("prepare", 0, 1)
    directory = vision_directory(settings, spec, key)
    try:
        path = data or download_dataset(settings, spec, progress)
        dataset = images.read_images(spec.dataset, path)
    except TickError:
        # Fail the MLflow runs too.
        with _begin(settings, spec, key).step("prepare_data"):
            raise
    sha256 = dataset.sha256()
    if _is_outdated(directory, spec, sha256):
        directory.remove()
    replace_file(directory.spec, lambda partial: partial.write_text(json.dumps(spec.as_dict())))
    source = (data or Path(f"{spec.kind}_url")).name
    directory.update_state(**{SHA: sha256, "lossy": dataset.lossy, "source": source})
    directory.save_images(dataset)
    counts = {
        "train_samples": len(dataset.train_x),
        "test_samples": len(dataset.test_x),
        "records_processed": len(dataset.train_x) + len(dataset.test_x),
    }
    with _begin(settings, spec, key).step("prepare_data") as (parent, step):
        tags = {
            SHA: sha256,
            "lossy_jpeg_copy": str(dataset.lossy).lower(),
            EXECUTION_DATE: iso(parent.at_ms * 1000),
        }
        for run in (step, parent):
            run.log_metrics(counts)
            run.set_tags(tags)
    progress("prepare", 1, 1)


def train_model(settings: Settings, spec: VisionSpec, key: str, progress: Progress) -> None:
    """Train in a child process, or resume there; a finished network is not trained again.

    Raises DatasetError before `prepare_data`, TrainingError if the child fails.
    """
    directory = vision_directory(settings, spec, key)
    directory.require_state(SHA, "prepare_data")
    with _begin(settings, spec, key).step("train_cnn") as (parent, step):
        log_epochs = _epoch_logger(step, directory)

        def report(name: str, done: int, total: int) -> None:
            progress(name, done, total)
            log_epochs()

        if not directory.network.is_file():
            child.run_training_process(settings, spec, directory, report)
        log_epochs()
        history = training_loop.read_history(directory)
        facts = json.loads(directory.facts.read_bytes())
        best = history[int(facts["best_epoch"]) - 1]
        for run in (step, parent):
            run.log_params(spec.as_dict() | facts)
        parent.log_metrics(
            {
                "val_accuracy": best["val_accuracy"],
                "train_accuracy": best["accuracy"],
                "epochs": len(history),
            }
        )
    directory.update_state(trained=True)


def evaluate_model(
    settings: Settings, spec: VisionSpec, key: str, progress: Progress
) -> GateVerdict:
    """Export the network and evaluate that file on the original test images.

    Raises DatasetError before `train_model`, RegistryError if the exported file differs from the
    original network.
    """
    directory = vision_directory(settings, spec, key)
    directory.require_state("trained", "train_model")
    training = _begin(settings, spec, key)
    with training.step("evaluate") as (parent, step):
        progress("evaluate", 0, 1)
        dataset = directory.load_images()
        exported = _export(spec, directory, dataset)
        probabilities = _predict(exported, dataset.test_x, progress)
        accuracy = float((probabilities.argmax(axis=1) == dataset.test_y).mean())
        verdict = evaluate_vision_gate(spec, accuracy, len(dataset.test_y))
        labels = spec.dataset.labels
        step.log_json(verdict.as_dict(), "verdict.json")
        figure = plot.plot_confusion(dataset.test_y, probabilities, labels, spec.kind)
        step.log_figure(figure, "confusion.png")
        _log_evaluation(step, parent, verdict, exported.difference)
        facts = json.loads(directory.facts.read_bytes())
        history = training_loop.read_history(directory)
        card_text = card.write_card(spec, verdict, directory.read_state(), facts, history)
        parent.log_text(card_text, card.CARD)
        training.save_model(exported)
        directory.update_state(**{ACCURACY: accuracy, TEST_IMAGES: len(dataset.test_y)})
        return verdict


def evaluate_vision_gate(spec: VisionSpec, accuracy: float, test_images: int) -> GateVerdict:
    """Verdict on the accuracy (0 to 1), which must be measured on all public test images."""
    dataset = spec.dataset
    checks = (
        GateCheck(ACCURACY, accuracy, dataset.relation, dataset.accuracy_min),
        GateCheck(TEST_IMAGES, test_images, ">=", TEST_IMAGES_MIN),
    )
    return GateVerdict(checks, thresholds=(ACCURACY,))


def register_model(
    settings: Settings, spec: VisionSpec, key: str, progress: Progress
) -> VisionTraining:
    """Register and promote a network that passed the gate; equal content is registered once.

    Raises DatasetError before `evaluate_model`.
    """
    training = training_run(settings, spec, key)
    accuracy = training.directory.require_state(ACCURACY, "evaluate_model")
    test_images = training.directory.require_state(TEST_IMAGES, "evaluate_model")
    name = spec.dataset.model_name(settings)
    digest = training.saved_model().digest
    verdict = evaluate_vision_gate(spec, accuracy, test_images)
    policy = RegisterPolicy(
        find_version=lambda: Registry(settings, name).find_version_with_digest(digest),
        may_replace=lambda production, version: True,
    )
    tags = {ACCURACY: f"{accuracy:.4f}", "profile": spec.profile}
    parent = training.parent_run()
    with parent.closing():
        registration = training.register(verdict, tags, policy, name)
    training.directory.update_state(finished=True)
    progress("register", 1, 1)
    return VisionTraining(parent.run_id, name, verdict, registration.version, registration.repeated)


def _begin(settings: Settings, spec: VisionSpec, key: str) -> TrainingRun:
    """The training, with its parent run."""
    training = training_run(settings, spec, key)
    at_us = now_us()
    training.begin(at_us, {EXECUTION_DATE: iso(at_us)}, spec.dataset.experiment(settings))
    return training


def _is_outdated(directory: VisionDirectory, spec: VisionSpec, sha256: str) -> bool:
    """Whether the directory is of another data set or spec, so that its epochs are useless."""
    state = directory.read_state()
    if SHA not in state:
        return False
    return bool(state[SHA] != sha256 or json.loads(directory.spec.read_bytes()) != spec.as_dict())


def _export(
    spec: VisionSpec, directory: VisionDirectory, dataset: images.Images
) -> runtime.ExportedModel:
    with np.load(directory.probabilities, allow_pickle=False) as arrays:
        original = arrays["answers"]
    return export_network(
        directory.network.read_bytes(),
        directory.model,
        dataset.test_x[:COMPARED_ROWS],
        original,
        labels=spec.dataset.labels,
        trained_on=f"{spec.kind}{' (JPEG copy)' if dataset.lossy else ''}",
    )


def _predict(
    exported: runtime.ExportedModel, test_x: images.UInt8Array, progress: Progress
) -> NDArray[np.float64]:
    model = runtime.load_model(exported.folder, exported.digest)
    batches = []
    for first in range(0, len(test_x), EVALUATION_BATCH):
        batches.append(model.predict(test_x[first : first + EVALUATION_BATCH]))
        progress("evaluate", min(first + EVALUATION_BATCH, len(test_x)), len(test_x))
    return np.concatenate(batches)


def _epoch_logger(step: MlflowRun, directory: VisionDirectory) -> Callable[[], None]:
    """A function that logs the epochs finished since its last call, to follow a training live."""
    logged = step.last_step("val_loss")  # the last metric that is logged of an epoch

    def log_epochs() -> None:
        nonlocal logged
        history = training_loop.read_history(directory)
        if len(history) > logged:
            for name in sorted(set(history[0]) - {"epoch"}):
                step.log_series(name, [metrics[name] for metrics in history], after=logged)
            logged = len(history)

    return log_epochs


def _log_evaluation(
    step: MlflowRun, parent: MlflowRun, verdict: GateVerdict, difference: float
) -> None:
    metrics = {
        "test_accuracy": verdict.checks[0].value,
        "onnx_difference_max": difference,
        "gate_pass": float(verdict.gate_pass),
    }
    tags = {
        "gate": "passed" if verdict.gate_pass else "refused",
        "gate_reasons": "; ".join(verdict.reasons) or "none",
    }
    for run in (step, parent):
        run.log_metrics(metrics)
        run.set_tags(tags)
