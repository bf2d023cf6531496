"""The steps of a vision training: prepare_data → train_model → evaluate_model → register_model;
each may be a separate process.

What one leaves the next finds in the run folder, and their MLflow runs are children of one parent.
Repeating a step changes nothing: data is read again, a finished network is left, the step's run
goes on, and equal content is one version of the registry. A step that fails marks its run and the
parent; another try opens both again.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.errors import TickError
from contracts.progress import Progress
from models import registry, runtime
from models.export_images import seal
from training.run import download, mlflow_run
from training.run.gate import Check, Verdict
from training.run.mlflow_run import Track
from training.run.provenance import iso
from training.vision import card, child, directory, images, plot, training_loop
from training.vision.directory import Folder
from training.vision.specs import Spec
from training.vision.worker_common import COMPARED

MODEL_TYPE = "cnn"
ROWS_AT_ONCE = 500
RUN, SHA, ACCURACY, TESTED = "run_id", "dataset_sha256", "accuracy", "test_images"
TEST_IMAGES_MIN = 10_000  # all of the public sets: on fewer, an accuracy says less than it seems to


@dataclass(frozen=True)
class Result:
    """How a training ended. `version`: the registered version that holds this network, None when
    refused; `repeated`: it was there.
    """

    run_id: str
    model: str
    verdict: Verdict
    version: str | None
    repeated: bool


def run(settings: Settings, spec: Spec, data: Path | None, key: str, progress: Progress) -> Result:
    """All four steps. An unfinished training of this key goes on; a finished one starts over.
    Raises TickError; a refusal is a result.
    """
    if directory.of(settings, spec, key).state().get("finished"):
        directory.fresh(directory.of(settings, spec, key))
    child.python(settings, spec.fields.framework)  # before anything is fetched or read
    prepare_data(settings, spec, key, data, progress)
    train_model(settings, spec, key, progress)
    evaluate_model(settings, spec, key, progress)
    return register_model(settings, spec, key, progress)


def fetch(settings: Settings, spec: Spec, progress: Progress) -> Path:
    """The public file below HOME, downloaded once. Raises DownloadError."""
    url, sha256 = (getattr(settings, f"{spec.kind}_{what}") for what in ("url", "sha256"))
    target = settings.root / "downloads" / spec.kind / Path(url).name
    return download.fetch(
        url, target, sha256, settings.download_timeout_s, settings.download_bytes_max, progress
    )


def prepare_data(
    settings: Settings, spec: Spec, key: str, data: Path | None, progress: Progress
) -> None:
    """Read and verify the data set (by default the downloaded file) and keep its arrays. Raises
    DatasetError or DownloadError.
    """
    progress("prepare", 0, 1)
    at = directory.of(settings, spec, key)
    try:
        made = images.read(spec.fields, data or fetch(settings, spec, progress))
    except TickError:
        with _step(settings, spec, at, "prepare_data"):
            raise
    sha256, earlier = made.sha256(), at.state()
    if SHA in earlier and (
        earlier[SHA] != sha256 or json.loads((at.path / "spec.json").read_bytes()) != spec.as_dict()
    ):
        directory.fresh(at)  # another data set or another training: its epochs are of no use
    directory.whole(at.path / "spec.json", lambda part: part.write_text(json.dumps(spec.as_dict())))
    at.note(**{SHA: sha256, "lossy": made.lossy, "source": (data or Path(f"{spec.kind}_url")).name})
    at.store(made)
    with _step(settings, spec, at, "prepare_data") as (track, step):
        counts = {"train_samples": len(made.train_x), "test_samples": len(made.test_x)}
        for each in (step, track):
            each.metrics(counts | {"records_processed": len(made.train_x) + len(made.test_x)})
            each.tags(
                {
                    SHA: sha256,
                    "lossy_jpeg_copy": str(made.lossy).lower(),
                    "execution_date": iso(track.at_ms * 1000),
                }
            )
    progress("prepare", 1, 1)


def train_model(settings: Settings, spec: Spec, key: str, progress: Progress) -> None:
    """Fit in a separate process, or go on where a kill ended that; a finished network is left.
    Raises TrainingError.
    """
    at = directory.of(settings, spec, key)
    at.need(SHA, "prepare_data")
    with _step(settings, spec, at, "train_cnn") as (track, step):
        log = _epoch_log(step, at)

        def told(name: str, done: int, total: int) -> None:
            progress(name, done, total)
            log()

        if not child.written(at).is_file():
            child.run(settings, spec, at, told)
        log()
        history, facts = training_loop.read(at), json.loads((at.path / "facts.json").read_bytes())
        for each in (step, track):
            each.params(spec.as_dict() | facts)
        best = history[int(facts["best_epoch"]) - 1]
        track.metrics(
            {
                "val_accuracy": best["val_accuracy"],
                "train_accuracy": best["accuracy"],
                "epochs": len(history),
            }
        )
    at.note(trained=True)


def evaluate_model(settings: Settings, spec: Spec, key: str, progress: Progress) -> Verdict:
    """Judge the very file that would be served, on the test images as they are. Raises
    RegistryError when it answers otherwise.
    """
    at = directory.of(settings, spec, key)
    at.need("trained", "train_model")
    with _step(settings, spec, at, "evaluate") as (track, step):
        return _judged(spec, at, track, step, progress)


def _judged(spec: Spec, at: Folder, track: Track, step: Track, progress: Progress) -> Verdict:
    progress("evaluate", 0, 1)
    made = at.images()
    with np.load(at.path / "answers.npz", allow_pickle=False) as kept:
        original = kept["answers"]
    source = f"{spec.kind}{' (JPEG copy)' if made.lossy else ''}"
    content, labels = child.written(at).read_bytes(), spec.fields.labels
    exported = seal(
        content, at.model, made.test_x[:COMPARED], original, labels=labels, trained_on=source
    )
    answers = _answers(exported, made.test_x, progress)
    accuracy = float((answers.argmax(axis=1) == made.test_y).mean())
    verdict = judge(spec, accuracy, len(made.test_y))
    _log(
        track,
        step,
        spec,
        at,
        verdict,
        exported,
        plot.confusion(made.test_y, answers, labels, spec.kind),
    )
    at.note(
        digest=exported.digest,
        difference=exported.difference,
        **{ACCURACY: accuracy, TESTED: len(made.test_y)},
    )
    return verdict


def judge(spec: Spec, accuracy: float, test_images: int) -> Verdict:
    """The gate: accuracy on the test images, by the kind's own limit, and all of the public test
    images.
    """
    checks = (
        Check(ACCURACY, accuracy, spec.fields.relation, spec.fields.accuracy_min),
        Check(TESTED, test_images, ">=", TEST_IMAGES_MIN),
    )
    return Verdict(checks, thresholds=(ACCURACY,))


def register_model(settings: Settings, spec: Spec, key: str, progress: Progress) -> Result:
    """Register and promote what passed the gate; one version per content, also when a kill came in
    between and this is repeated.
    """
    at, name = directory.of(settings, spec, key), spec.fields.model_name(settings)
    known = {
        each: at.need(each, "evaluate_model") for each in (ACCURACY, TESTED, "digest", "difference")
    }
    verdict, track, version, repeated = (
        judge(spec, known[ACCURACY], known[TESTED]),
        _track(settings, spec, at),
        None,
        False,
    )
    with track.ending():
        if verdict.gate_pass:
            same = registry.with_digest(settings, known["digest"], name)
            tags = {
                registry.PASSED: "true",
                ACCURACY: f"{known[ACCURACY]:.4f}",
                "profile": spec.profile,
            }
            exported = runtime.Exported(at.model, known["digest"], known["difference"])
            version, repeated = (
                (same or registry.register(settings, exported, track.run_id, tags, name)),
                same is not None,
            )
            track.tags({"registered_version": version})
            now = registry.current(settings, name)
            if now is None or now.version != version:
                registry.promote(settings, version, name)
    at.note(finished=True)
    progress("register", 1, 1)
    return Result(track.run_id, name, verdict, version, repeated)


@contextmanager
def _step(settings: Settings, spec: Spec, at: Folder, name: str) -> Iterator[tuple[Track, Track]]:
    """The parent run and the step's own, the same ones for every try."""
    track, kept = _track(settings, spec, at), f"run_id.{name}"
    with track.going_on(), track.child(name, at.state().get(kept, "")) as step:
        at.note(**{kept: step.run_id})
        yield track, step


def _epoch_log(step: Track, at: Folder) -> Callable[[], None]:
    """Logs the finished epochs that the step's run does not hold yet, so that a training can be
    watched.
    """
    held = step.logged("val_loss")  # the last one of an epoch's names

    def log() -> None:
        nonlocal held
        history = training_loop.read(at)
        if len(history) > held:
            for name in sorted(set(history[0]) - {"epoch"}):
                step.steps(name, [line[name] for line in history], after=held)
            held = len(history)

    return log


def _track(settings: Settings, spec: Spec, at: Folder) -> Track:
    """The parent run of this training: made by its first step, found again by the others."""
    known = at.state().get(RUN)
    if known is not None:
        return mlflow_run.resume(settings, known)
    at_us = now_us()
    track = mlflow_run.start(
        settings, f"{spec.kind}-training", at_us, spec.fields.experiment(settings)
    )
    track.params({mlflow_run.MODEL_TYPE: MODEL_TYPE, mlflow_run.EXECUTION_DATE: iso(at_us)})
    at.note(**{RUN: track.run_id})
    return track


def _answers(
    exported: runtime.Exported, test_x: images.Bytes, progress: Progress
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    model, made = runtime.load(exported.folder, exported.digest), []
    for first in range(0, len(test_x), ROWS_AT_ONCE):
        made.append(model.predict(test_x[first : first + ROWS_AT_ONCE]))
        progress("evaluate", min(first + ROWS_AT_ONCE, len(test_x)), len(test_x))
    return np.concatenate(made)


def _log(
    track: Track,
    step: Track,
    spec: Spec,
    at: Folder,
    verdict: Verdict,
    exported: runtime.Exported,
    figure: plot.Figure,
) -> None:
    accuracy, reasons = verdict.checks[0].value, "; ".join(verdict.reasons) or "none"
    step.document(verdict.as_dict(), "verdict.json")
    step.picture(figure, "confusion.png")
    for each in (step, track):
        each.metrics(
            {
                "test_accuracy": accuracy,
                "onnx_difference_max": exported.difference,
                "gate_pass": float(verdict.gate_pass),
            }
        )
        each.tags({"gate": "passed" if verdict.gate_pass else "refused", "gate_reasons": reasons})
    facts = json.loads((at.path / "facts.json").read_bytes())
    track.text(card.card(spec, verdict, at.state(), facts, training_loop.read(at)), card.CARD)
