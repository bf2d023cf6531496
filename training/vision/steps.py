"""The steps of a vision training: prepare_data → train_model → evaluate_model → register_model; each may be a process of its own.

What one leaves the next finds in the run folder, and their MLflow runs are children of one parent. Repeating a step changes nothing:
data is read again, a finished network is left, and equal content is one version of the registry.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contracts.clock import now_us
from contracts.settings import Settings
from models import registry, runtime
from models.export_images import seal
from training import download, tracks
from training.gate import Check, Verdict
from training.origin import iso
from training.tracks import Track
from training.vision import card, child, epochs, folder, images, picture
from training.vision.child import Progress
from training.vision.folder import Folder
from training.vision.kinds import Spec
from training.vision.within import COMPARED

ROWS_AT_ONCE = 500
RUN, SHA, ACCURACY = "run_id", "dataset_sha256", "accuracy"


@dataclass(frozen=True)
class Result:
    """How a training ended. `version`: the registered version that holds this network, None when refused; `repeated`: it was there."""

    run_id: str
    model: str
    verdict: Verdict
    version: str | None
    repeated: bool


def run(settings: Settings, spec: Spec, data: Path | None, key: str, progress: Progress) -> Result:
    """All four steps. An unfinished training of this key goes on; a finished one begins anew. Raises TickError; a refusal is a result."""
    if folder.of(settings, spec, key).state().get("finished"):
        folder.fresh(folder.of(settings, spec, key))
    child.require(spec.fields.framework)
    prepare_data(settings, spec, key, data, progress)
    train_model(settings, spec, key, progress)
    evaluate_model(settings, spec, key, progress)
    return register_model(settings, spec, key, progress)


def fetch(settings: Settings, spec: Spec, progress: Progress) -> Path:
    """The public file below HOME, downloaded once. Raises DownloadError."""
    url, sha256 = (getattr(settings, f"{spec.kind}_{what}") for what in ("url", "sha256"))
    target = settings.root / "downloads" / spec.kind / Path(url).name
    return download.fetch(url, target, sha256, settings.download_timeout_s, settings.download_bytes_max, progress)


def prepare_data(settings: Settings, spec: Spec, key: str, data: Path | None, progress: Progress) -> None:
    """Read and verify the data set (by default the downloaded file) and keep its arrays. Raises DatasetError or DownloadError."""
    progress("prepare", 0, 1)
    made = images.read(spec.fields, data or fetch(settings, spec, progress))
    at, sha256 = folder.of(settings, spec, key), made.sha256()
    earlier = at.state()
    if earlier and (earlier.get(SHA) != sha256 or json.loads((at.path / "spec.json").read_bytes()) != spec.as_dict()):
        folder.fresh(at)  # another data set or another training: its epochs are of no use
    folder.whole(at.path / "spec.json", lambda part: part.write_text(json.dumps(spec.as_dict())))
    at.note(**{SHA: sha256, "lossy": made.lossy, "source": (data or Path(f"{spec.kind}_url")).name})
    at.store(made)
    track = _track(settings, spec, at)
    with track.child("prepare_data") as step:
        counts = {"train_samples": len(made.train_x), "test_samples": len(made.test_x)}
        for each in (step, track):
            each.metrics(counts | {"records_processed": len(made.train_x) + len(made.test_x)})
            each.tags({SHA: sha256, "lossy_jpeg_copy": str(made.lossy).lower(), "execution_date": iso(track.at_ms * 1000)})
    progress("prepare", 1, 1)


def train_model(settings: Settings, spec: Spec, key: str, progress: Progress) -> None:
    """Fit in a process of its own, or go on where a kill ended that; a finished network is left. Raises TrainingError."""
    at = folder.of(settings, spec, key)
    at.need(SHA, "prepare_data")
    if not child.written(at).is_file():
        child.run(settings, spec, at, progress)
    track, facts = _track(settings, spec, at), json.loads((at.path / "facts.json").read_bytes())
    history = epochs.read(at)
    with track.child("train_cnn") as step:
        for each in (step, track):
            each.params(spec.as_dict() | facts)
        for name in sorted(set(history[0]) - {"epoch"}):
            step.steps(name, [line[name] for line in history])
        best = history[int(facts["best_epoch"]) - 1]
        track.metrics({"val_accuracy": best["val_accuracy"], "train_accuracy": best["accuracy"], "epochs": len(history)})
    at.note(trained=True)


def evaluate_model(settings: Settings, spec: Spec, key: str, progress: Progress) -> Verdict:
    """Judge the very file that would be served, on the test images as they are. Raises RegistryError when it answers otherwise."""
    at = folder.of(settings, spec, key)
    at.need("trained", "train_model")
    progress("evaluate", 0, 1)
    made = at.images()
    with np.load(at.path / "answers.npz", allow_pickle=False) as kept:
        original = kept["answers"]
    source = f"{spec.kind}{' (JPEG copy)' if made.lossy else ''}"
    content, labels = child.written(at).read_bytes(), spec.fields.labels
    exported = seal(content, at.model, made.test_x[:COMPARED], original, labels=labels, trained_on=source)
    answers = _answers(exported, made.test_x, progress)
    right = answers.argmax(axis=1) == made.test_y
    verdict = judge(spec, float(right.mean()))
    _log(_track(settings, spec, at), spec, at, verdict, exported, picture.confusion(made.test_y, answers, labels, spec.kind))
    at.note(digest=exported.digest, difference=exported.difference, accuracy=float(right.mean()))
    return verdict


def judge(spec: Spec, accuracy: float) -> Verdict:
    """The gate: accuracy on the test images, by the kind's own limit."""
    return Verdict((Check(ACCURACY, accuracy, spec.fields.relation, spec.fields.accuracy_min),), thresholds=(ACCURACY,))


def register_model(settings: Settings, spec: Spec, key: str, progress: Progress) -> Result:
    """Register and promote what passed the gate; one version per content, also when a kill came in between and this is repeated."""
    at, name = folder.of(settings, spec, key), spec.fields.model_name(settings)
    verdict, digest = judge(spec, at.need(ACCURACY, "evaluate_model")), at.need("digest", "evaluate_model")
    track, version, repeated = _track(settings, spec, at), None, False
    if verdict.gate_pass:
        same = registry.with_digest(settings, digest, name)
        tags = {registry.PASSED: "true", ACCURACY: f"{at.state()[ACCURACY]:.4f}", "profile": spec.profile}
        exported = runtime.Exported(at.model, digest, at.state()["difference"])
        version, repeated = (same or registry.register(settings, exported, track.run_id, tags, name)), same is not None
        track.tags({"registered_version": version})
        now = registry.current(settings, name)
        if now is None or now.version != version:
            registry.promote(settings, version, name)
    at.note(finished=True)
    track.client.set_terminated(track.run_id, "FINISHED")
    progress("register", 1, 1)
    return Result(track.run_id, name, verdict, version, repeated)


def _track(settings: Settings, spec: Spec, at: Folder) -> Track:
    """The parent run of this training: made by its first step, found again by the others."""
    known = at.state().get(RUN)
    if known is not None:
        return tracks.resume(settings, known)
    track = tracks.start(settings, f"{spec.kind}-training", now_us(), spec.fields.experiment(settings))
    at.note(**{RUN: track.run_id})
    return track


def _answers(exported: runtime.Exported, test_x: images.Bytes, progress: Progress) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    model, made = runtime.load(exported.folder, exported.digest), []
    for first in range(0, len(test_x), ROWS_AT_ONCE):
        made.append(model.predict(test_x[first : first + ROWS_AT_ONCE]))
        progress("evaluate", min(first + ROWS_AT_ONCE, len(test_x)), len(test_x))
    return np.concatenate(made)


def _log(track: Track, spec: Spec, at: Folder, verdict: Verdict, exported: runtime.Exported, figure: picture.Figure) -> None:
    accuracy = verdict.checks[0].value
    with track.child("evaluate") as step:
        step.document(verdict.as_dict(), "verdict.json")
        step.picture(figure, "confusion.png")
        reasons = "; ".join(verdict.reasons) or "none"
        for each in (step, track):
            each.metrics({"test_accuracy": accuracy, "onnx_difference_max": exported.difference, "gate_pass": float(verdict.gate_pass)})
            each.tags({"gate": "passed" if verdict.gate_pass else "refused", "gate_reasons": reasons})
        facts = json.loads((at.path / "facts.json").read_bytes())
        track.text(card.card(spec, verdict, at.state(), facts, epochs.read(at)), card.CARD)
