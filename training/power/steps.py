"""The steps of a power training; each may be a separate process: prepare_data → train_model →
evaluate_model → register_model.

What one leaves the next finds in the run folder. Repeating a step changes nothing: equal data and
seed give an equal model, a step's MLflow run goes on, and equal content is one version of the
registry.
"""

from dataclasses import dataclass

import polars as pl

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from contracts.progress import Progress
from lakehouse import power
from lakehouse.tables import Lakehouse
from models import registry, runtime
from training.power import card, evaluate, features, model, plot
from training.power.evaluate import Judged, Numbers
from training.power.files import DAY_US, dates
from training.power.model import Fitted
from training.power.split import Parts, split
from training.run import directory, mlflow_run, state
from training.run.directory import Folder, whole
from training.run.gate import Verdict
from training.run.mlflow_run import EXECUTION_DATE, Track
from training.run.provenance import iso

PIPELINE, RUN_NAME, MODEL_TYPE = "power", "power-training", "gbm"
SERIES, THROUGH = "series", "data_through_us"
SHA, VERDICT, NUMBERS = "dataset_sha256", "verdict", "numbers"
HOURS = "hours.parquet"


@dataclass(frozen=True)
class Prepared:
    """Hours up to the end of the day, how many of them are usable samples, and the parts of
    those."""

    hours: pl.DataFrame
    samples: int
    parts: Parts
    sha256: str


@dataclass(frozen=True)
class Settled:
    """`version` that holds the model, None when refused; `repeated`: it was there before;
    `promoted`: it is Production.
    """

    verdict: Verdict
    version: str | None
    repeated: bool
    promoted: bool


def of(settings: Settings, key: str) -> Folder:
    """The run folder of a training; `key` is a name of the caller's choice, such as a DAG run's."""
    return Folder(directory.place(settings, PIPELINE, key))


def model_name(settings: Settings, series: str) -> str:
    """Registered model of a series: the total has the plain name, so that a zone never replaces
    it."""
    return (
        settings.power_model_name
        if series == features.TOTAL
        else f"{settings.power_model_name}-{series}"
    )


def last_end_us(settings: Settings) -> int:
    """End of the last whole day in silver, µs UTC. Raises DatasetError while it is empty."""
    end_us = power.end_us(Lakehouse(settings))
    if end_us is None:
        raise DatasetError(
            "the lakehouse holds no power readings", "`tick train power --data FILE`, or --download"
        )
    return end_us


def past(settings: Settings, series: str, end_us: int) -> pl.DataFrame:
    """The hours before `end_us`. Raises DatasetError unless the day that ends there is whole."""
    power_hours = features.hours(power.readings(Lakehouse(settings), to_us=end_us), series, end_us)
    missing = power_hours.tail(features.HOURS_A_DAY)["kw"].null_count()
    if missing:
        day = dates([end_us // DAY_US - 1])[0]
        raise DatasetError(
            f"{day} lacks {missing} of its 24 hours",
            "load the readings of that day, or name an earlier one with --to",
        )
    return power_hours


def prepare_data(
    settings: Settings, key: str, series: str, end_us: int | None, at_us: int, progress: Progress
) -> Prepared:
    """Keep the hours through the day that ends at `end_us`, by default that of an earlier try, else
    the last whole day of silver.

    Raises DatasetError.
    """
    progress("prepare", 0, 1)
    at = of(settings, key)
    track = state.begin(
        settings,
        at,
        RUN_NAME,
        at_us,
        {mlflow_run.MODEL_TYPE: MODEL_TYPE},
        settings.power_experiment,
    )
    with track.going_on():
        end_us = end_us or at.state().get(THROUGH) or last_end_us(settings)
        at.note(**{THROUGH: end_us})
        day = dates([end_us // DAY_US - 1])[0]
        track.params({EXECUTION_DATE: day})
        track.tags(
            {
                SERIES: series,
                EXECUTION_DATE: day,
                "data_through": iso(end_us),
                "seed": settings.seed,
            }
        )
        with track.step("prepare_data") as child:
            hours = past(settings, series, end_us)
            made = _prepared(settings, hours, end_us)
            for each in (child, track):
                each.metrics(_counts(made))
                each.tags(_facts(settings, made))
    whole(at.path / HOURS, hours.write_parquet)
    at.note(**{SERIES: series, SHA: made.sha256})
    progress("prepare", 1, 1)
    return made


def train_model(settings: Settings, key: str, progress: Progress) -> runtime.Exported:
    """Fit LightGBM and seal it in the run folder. Raises RegistryError when the file answers
    otherwise than the booster.
    """
    at = of(settings, key)
    data, track = _kept(settings, at), state.track(settings, at)
    with track.going_on(), track.step("train_lgbm") as child:
        fitted = model.fit(data.parts, settings, progress)
        _log_training(child, track, fitted, settings)
        exported = evaluate.write(fitted, data.parts, at.need(SERIES, "prepare_data"), at.model)
    state.keep(at, exported)
    return exported


def evaluate_model(settings: Settings, key: str, progress: Progress) -> Judged:
    """Judge the sealed model on the untouched days; its verdict decides what `register_model`
    does."""
    at = of(settings, key)
    data, track, series = (
        _kept(settings, at),
        state.track(settings, at),
        str(at.need(SERIES, "prepare_data")),
    )
    with track.going_on():
        with track.step("evaluate") as child:
            judged = evaluate.judge(state.kept(at), data.parts)
            _log_verdict(
                child,
                track,
                judged,
                f"{series}: the last days before {iso(int(data.hours['event_time_us'][-1]))}",
            )
            parameters = model.hyper_parameters(settings)
            track.text(
                card.card(
                    series, data.parts, judged.verdict, judged.numbers, parameters, data.sha256
                ),
                card.CARD,
            )
        progress("evaluate", 1, 1)
    at.note(**{VERDICT: judged.verdict.as_dict(), NUMBERS: judged.numbers})
    return judged


def register_model(settings: Settings, key: str, progress: Progress) -> Settled:
    """Register and promote what passed the gate; what did not never enters the registry.

    A kill leaves no half of it: the files are stored before the version exists, it carries all its
    tags from its first moment, and the alias moves last. The same training again finds the version
    by its digest and goes on from there.
    """
    at = of(settings, key)
    verdict, track = Verdict.of(at.need(VERDICT, "evaluate_model")), state.track(settings, at)
    settled = Settled(verdict, None, repeated=False, promoted=False)
    with track.ending():
        if verdict.gate_pass:
            settled = _settle(settings, at, verdict, track)
        progress("register", 1, 1)
    at.note(version=settled.version)
    return settled


def _settle(settings: Settings, at: Folder, verdict: Verdict, track: Track) -> Settled:
    exported, end_us, series = (
        state.kept(at),
        int(at.need(THROUGH, "prepare_data")),
        str(at.need(SERIES, "prepare_data")),
    )
    name, known = model_name(settings, series), at.need(NUMBERS, "evaluate_model")
    # 1. One version per content.
    same = registry.with_digest(settings, exported.digest, name)
    numbers = {each: f"{known[each]:.4f}" for each in ("rmse_over_train_std", "skill")}
    tags = {registry.PASSED: "true", SERIES: series, THROUGH: str(end_us), **numbers}
    version = same or registry.register(settings, exported, track.run_id, tags, name)
    track.tags({"registered_version": version})
    # 2. A model of an earlier day, such as a backfill makes, never replaces one that knows more.
    now = registry.current(settings, name)
    if now is not None and int(now.tags.get(THROUGH, "0")) > end_us:
        return Settled(verdict, version, same is not None, promoted=False)
    # 3. Production.
    if now is None or now.version != version:
        registry.promote(settings, version, name)
    return Settled(verdict, version, same is not None, promoted=True)


def _prepared(settings: Settings, hours: pl.DataFrame, end_us: int) -> Prepared:
    samples = features.samples(features.design(hours))
    parts = split(samples, end_us, settings.power_test_days, settings.power_valid_days)
    return Prepared(hours, len(samples), parts, features.fingerprint(hours))


def _kept(settings: Settings, at: Folder) -> Prepared:
    """What `prepare_data` left. Raises DatasetError when that is not what is there."""
    end_us, sha256 = int(at.need(THROUGH, "prepare_data")), at.need(SHA, "prepare_data")
    made = _prepared(settings, pl.read_parquet(at.path / HOURS), end_us)
    if made.sha256 != sha256:
        raise DatasetError(
            f"the hours in {at.path} are not those that were prepared", "run prepare_data again"
        )
    return made


def _counts(made: Prepared) -> Numbers:
    parts = made.parts
    counts = {
        "records_processed": len(made.hours),
        "dropped_samples": len(made.hours) - made.samples,
    }
    counts |= {
        "train_samples": len(parts.train),
        "valid_samples": len(parts.valid),
        "test_samples": len(parts.test),
    }
    return {name: float(count) for name, count in counts.items()}


def _facts(settings: Settings, made: Prepared) -> dict[str, object]:
    facts = {
        "dataset_sha256": made.sha256,
        "snapshot.silver.power_consumption": power.snapshot_id(Lakehouse(settings)),
    }
    return {
        **facts,
        "test_from": iso(made.parts.test["event_time_us"][0]),
        "features": ",".join(features.FEATURES),
    }


def _log_training(child: Track, track: Track, fitted: Fitted, settings: Settings) -> None:
    for each in (child, track):
        each.params({"model": model.NAME, **model.hyper_parameters(settings)})
        each.metrics(
            {"best_iteration": fitted.booster.best_iteration, "val_rmse": min(fitted.valid_rmse)}
        )
    child.steps("fit_rmse", fitted.fit_rmse)
    child.steps("valid_rmse", fitted.valid_rmse)
    gains = fitted.booster.feature_importance(importance_type="gain")
    child.document(dict(zip(features.FEATURES, map(float, gains), strict=True)), "importances.json")


def _log_verdict(child: Track, track: Track, judged: Judged, title: str) -> None:
    child.document(judged.verdict.as_dict(), "verdict.json")
    child.picture(plot.forecast(judged.test, title), "forecast.png")
    reasons = "; ".join(judged.verdict.reasons) or "none"
    for each in (child, track):
        each.metrics(judged.numbers)
        each.tags(
            {"gate": "passed" if judged.verdict.gate_pass else "refused", "gate_reasons": reasons}
        )
