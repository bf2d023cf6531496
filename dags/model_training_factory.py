"""Training DAGs from arguments or from a YAML file: every training DAG is built here."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, chain, task

from dags import spec
from dags.approval import approved
from dags.spec import Spec, arguments, moment
from dags.tasks import power, tick, vision
from dags.variant import DATASETS, Variant, checked, read

STEPS = ("prepare_data", "train_model", "evaluate_model", "register_model")
TEXT, NUMBER = ["null", "string"], ["null", "integer"]
ZONES = ["total", "zone1", "zone2", "zone3"]
# The drift asset starts this DAG alone: variants of it would compete for the one backfill.
DRIFT_ASSETS = {"tick_model_training": "tick_drift"}


@dataclass(frozen=True)
class Pipeline:
    """Tasks of a training in order, the last one registers; run parameters from their defaults."""

    tasks: Callable[[Variant], list[Any]]
    params: Callable[[Mapping[str, Any]], Mapping[str, Param]]


def create_ml_training_dag(
    dag_id: str,
    schedule: str | None,
    model_type: str,
    dataset: str,
    framework: str,
    pool: str = "default_pool",
    priority_weight: int = 5,
    tags: Iterable[str] | None = None,
) -> DAG:
    """A training DAG of one data set. docs/airflow.md lists the known combinations.

    `schedule` is cron in UTC, None: by hand. `pool` holds the training task (and the feature
    aggregation of `tick`); the other tasks run in the default pool. `tags` default to
    ("ml", model_type, dataset). Raises SettingError, which lists what is known, when the
    arguments do not fit together.
    """
    fields = {
        "dag_id": dag_id,
        "schedule": schedule,
        "model_type": model_type,
        "dataset": dataset,
        "framework": framework,
        "pool": pool,
        "priority_weight": priority_weight,
        "tags": tags,
    }
    return _build(checked(fields, f"create_ml_training_dag({dag_id!r})"))


def variants(folder: Path) -> dict[str, DAG]:
    """A DAG per YAML file of the folder, by id. Raises SettingError naming every file and field
    that is wrong.
    """
    return {each.dag_id: _build(each) for each in read(folder, spec.DAG_IDS)}


def _build(variant: Variant) -> DAG:
    known, pipeline = DATASETS[variant.dataset], PIPELINES[variant.dataset]
    described = Spec(
        dag_id=variant.dag_id,
        owner=known.owner,
        schedule=variant.schedule,
        asset=DRIFT_ASSETS.get(variant.dag_id, ""),
        tags=variant.tags or ("ml", variant.model_type, variant.dataset),
        queue=known.queue,
        training_queue=known.training_queue,
        priority=variant.priority_weight,
        retries=known.retries,
        retry_min=known.retry_min,
        deadline_h=known.deadline_h,
        experiment=known.experiment,
        gate=known.gate,
        params=pipeline.params(variant.params),
    )
    with DAG(**arguments(described)) as dag:
        *steps, register = pipeline.tasks(variant)
        chain(*steps, approved(known.experiment), register)
    return dag


def _tick_tasks(variant: Variant) -> list[Any]:
    """Aggregation needs the pool as well: it plans and starts the features of the whole range."""
    span_us = task(tick.aggregate_weekly_features, pool=variant.pool)()
    return [
        task(tick.prepare_training_data)(span_us),
        task(tick.train_model, pool=variant.pool)(),
        task(tick.backtest_model)(),
        task(tick.register_to_production)(),
    ]


def _power_tasks(variant: Variant) -> list[Any]:
    return _four_tasks(variant, power)


def _vision_tasks(variant: Variant) -> list[Any]:
    profile = DATASETS[variant.dataset].models[variant.model_type]
    return _four_tasks(variant, vision, variant.dataset, profile)


def _four_tasks(variant: Variant, module: Any, *words: str) -> list[Any]:
    """The four steps of a module. Only training needs the pool, and the queue of its hardware."""
    known = DATASETS[variant.dataset]
    training = {"pool": variant.pool, "queue": known.training_queue or known.queue}
    special = {"train_model": training}
    return [task(getattr(module, step), **special.get(step, {}))(*words) for step in STEPS]


def _tick_params(defaults: Mapping[str, Any]) -> Mapping[str, Param]:
    # A fixed length cuts at fixed days: next week reuses this week's chunks and computes the rest.
    length = "length of a chunk of features: 12h, 1d, 2w or auto"
    last = "no decision at or after this; default: end of the run's interval, or now"
    return {
        "from": moment("first decision; default: the oldest data", defaults.get("from")),
        "to": moment(last, defaults.get("to")),
        "chunk": Param(defaults.get("chunk", "1w"), type="string", description=length),
    }


def _power_params(defaults: Mapping[str, Any]) -> Mapping[str, Param]:
    series = defaults.get("series", "total")
    return {
        "series": Param(series, enum=ZONES, description="a zone, or the sum"),
        "day": moment("last day of data; default: the last whole one"),
    }


def _image_params(defaults: Mapping[str, Any]) -> Mapping[str, Param]:
    def param(name: str, description: str, **schema: Any) -> Param:
        return Param(defaults.get(name), description=description, **schema)

    return {
        "data": param("data", "the public file or its folder; default: fetched once", type=TEXT),
        "epochs": param("epochs", "at most so many", type=NUMBER, minimum=1, maximum=1000),
        "seed": param("seed", "default: TICK_SEED", type=NUMBER, minimum=0),
        "rows_max": param("rows_max", "limits the training images", type=NUMBER, minimum=1),
    }


IMAGES = Pipeline(_vision_tasks, _image_params)
PIPELINES = {
    "mnist": IMAGES,
    "cifar10": IMAGES,
    "tick": Pipeline(_tick_tasks, _tick_params),
    "power": Pipeline(_power_tasks, _power_params),
}
