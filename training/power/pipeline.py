"""The power pipeline: hours → parts → LightGBM → the double gate → registered and promoted, or refused with reasons.

A run for day `ds` sees what was known when `ds` ended, and nothing later. Its MLflow parent run has a child per step: prepare_data,
train_lgbm, evaluate.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from contracts.errors import DatasetError
from contracts.settings import Settings
from feature_store import power
from models import registry, runtime
from training import tracks
from training.gate import Verdict
from training.origin import iso
from training.power import card, evaluate, features, model, picture
from training.power.evaluate import Judged, Numbers
from training.power.files import DAY_US, dates
from training.power.model import Fitted
from training.power.split import Parts, split
from training.tracks import Track

Progress = Callable[[str, int, int], None]
SERIES, THROUGH = "series", "data_through_us"


@dataclass(frozen=True)
class Result:
    """How a training ended. `version`: the registered version that holds this model, None when refused; `promoted`: it is Production.

    `repeated`: a version of equal content was there already, and no second one was made. `day`: the last day of data, ISO.
    """

    run_id: str
    series: str
    day: str
    verdict: Verdict
    numbers: Numbers
    version: str | None
    promoted: bool
    repeated: bool
    train_rows: int
    test_rows: int


@dataclass(frozen=True)
class Prepared:
    """Hours up to the end of the day, and their parts."""

    hours: pl.DataFrame
    parts: Parts
    sha256: str


def model_name(settings: Settings, series: str) -> str:
    """Registered model of a series: the total has the plain name, so that a zone never replaces it."""
    return settings.power_model_name if series == features.TOTAL else f"{settings.power_model_name}-{series}"


def train(settings: Settings, series: str, end_us: int | None, at_us: int, progress: Progress) -> Result:
    """Train on everything through the day that ends at `end_us` (µs UTC, a midnight), by default the last whole day of silver.

    `at_us` is the time that the runs carry. Raises DatasetError or RegistryError; a refusal by the gate is a result, not an error.
    """
    track = tracks.start(settings, "power-training", at_us, settings.power_experiment)
    with track.ending(), tempfile.TemporaryDirectory() as scratch:
        end_us = end_us or last_end_us(settings)
        day = dates([end_us // DAY_US - 1])[0]
        track.tags({SERIES: series, "execution_date": day, "data_through": iso(end_us), "seed": settings.seed})
        data = _prepare(settings, series, end_us, track, progress)
        exported, judged = _learn(settings, series, data, track, progress, Path(scratch) / "model")
        version, repeated, promoted = _settle(settings, series, end_us, judged, exported, track)
        progress("register", 1, 1)
        rows = len(data.parts.train), len(data.parts.test)
        return Result(track.run_id, series, day, judged.verdict, judged.numbers, version, promoted, repeated, *rows)


def last_end_us(settings: Settings) -> int:
    """End of the last whole day in silver, µs UTC. Raises DatasetError while it is empty."""
    end_us = power.end_us(settings)
    if end_us is None:
        raise DatasetError("the lakehouse holds no power readings", "`tick train power --data FILE`, or --download")
    return end_us


def past(settings: Settings, series: str, end_us: int) -> pl.DataFrame:
    """The hours before `end_us`. Raises DatasetError unless the day that ends there is whole."""
    power_hours = features.hours(power.readings(settings, to_us=end_us), series, end_us)
    missing = power_hours.tail(features.HOURS_A_DAY)["kw"].null_count()
    if missing:
        day = dates([end_us // DAY_US - 1])[0]
        raise DatasetError(f"{day} lacks {missing} of its 24 hours", "load the readings of that day, or name an earlier one with --to")
    return power_hours


def _prepare(settings: Settings, series: str, end_us: int, track: Track, progress: Progress) -> Prepared:
    progress("prepare", 0, 1)
    with track.child("prepare_data") as child:
        hours = past(settings, series, end_us)
        samples = features.samples(features.design(hours))
        parts = split(samples, end_us, settings.power_test_days, settings.power_valid_days)
        sha256 = features.fingerprint(hours)
        counts = {"records_processed": len(hours), "dropped_samples": len(hours) - len(samples)}
        counts |= {"train_samples": len(parts.train), "valid_samples": len(parts.valid), "test_samples": len(parts.test)}
        facts = {"dataset_sha256": sha256, "snapshot.silver.power_consumption": power.snapshot_id(settings)}
        facts |= {"test_from": iso(parts.test["event_time_us"][0]), "features": ",".join(features.FEATURES)}
        for each in (child, track):
            each.metrics(counts)
            each.tags(facts)
    progress("prepare", 1, 1)
    return Prepared(hours, parts, sha256)


def _learn(
    settings: Settings, series: str, data: Prepared, track: Track, progress: Progress, folder: Path
) -> tuple[runtime.Exported, Judged]:
    with track.child("train_lgbm") as child:
        fitted = model.fit(data.parts, settings, progress)
        _log_training(child, track, fitted, settings)
        exported = evaluate.write(fitted, data.parts, series, folder)
    with track.child("evaluate") as child:
        judged = evaluate.judge(exported, data.parts)
        child.document(judged.verdict.as_dict(), "verdict.json")
        child.picture(
            picture.forecast(judged.test, f"{series}: the last days before {iso(int(data.hours['event_time_us'][-1]))}"), "forecast.png"
        )
        reasons = "; ".join(judged.verdict.reasons) or "none"
        for each in (child, track):
            each.metrics(judged.numbers)
            each.tags({"gate": "passed" if judged.verdict.gate_pass else "refused", "gate_reasons": reasons})
        parameters = model.hyper_parameters(settings)
        track.text(card.card(series, data.parts, judged.verdict, judged.numbers, parameters, data.sha256), card.CARD)
    progress("evaluate", 1, 1)
    return exported, judged


def _log_training(child: Track, track: Track, fitted: Fitted, settings: Settings) -> None:
    for each in (child, track):
        each.params({"model": model.NAME, **model.hyper_parameters(settings)})
        each.metrics({"best_iteration": fitted.booster.best_iteration, "val_rmse": min(fitted.valid_rmse)})
    child.steps("fit_rmse", fitted.fit_rmse)
    child.steps("valid_rmse", fitted.valid_rmse)
    gains = fitted.booster.feature_importance(importance_type="gain")
    child.document(dict(zip(features.FEATURES, map(float, gains), strict=True)), "importances.json")


def _settle(
    settings: Settings, series: str, end_us: int, judged: Judged, exported: runtime.Exported, track: Track
) -> tuple[str | None, bool, bool]:
    """Version, whether it was there before, and whether it is Production. What the gate refused never enters the registry.

    A kill leaves no half of it: the files are stored before the version exists, it carries all its tags from its first moment, and
    the alias moves last. The same training again finds the version by its digest and goes on from there.
    """
    if not judged.verdict.gate_pass:
        return None, False, False
    name = model_name(settings, series)
    # 1. One version per content.
    same = registry.with_digest(settings, exported.digest, name)
    numbers = {key: f"{judged.numbers[key]:.4f}" for key in ("rmse_over_train_std", "skill")}
    tags = {registry.PASSED: "true", SERIES: series, THROUGH: str(end_us), **numbers}
    version = same or registry.register(settings, exported, track.run_id, tags, name)
    track.tags({"registered_version": version})
    # 2. A model of an earlier day, such as a backfill makes, never replaces one that knows more.
    now = registry.current(settings, name)
    if now is not None and int(now.tags.get(THROUGH, "0")) > end_us:
        return version, same is not None, False
    # 3. Production.
    if now is None or now.version != version:
        registry.promote(settings, version, name)
    return version, same is not None, True
