"""Builds every training DAG, from arguments or from a YAML file."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, chain, task

from dags.factory import spec
from dags.factory.approval import approval_step
from dags.factory.spec import Spec, arguments, time_param
from dags.factory.variant import DATASETS, Variant, load_variants, validate_variant
from dags.tasks import power, tick, vision

STEPS = ("prepare_data", "train_model", "evaluate_model", "register_model")
TEXT, NUMBER = ["null", "string"], ["null", "integer"]
ZONES = ["total", "zone1", "zone2", "zone3"]
# The drift asset starts only this DAG: its variants would compete for the single backfill slot.
DRIFT_ASSETS = {"tick_model_training": "tick_drift"}


@dataclass(frozen=True)
class Pipeline:
    """Tasks of a training in order, the last of which registers; and its run parameters."""

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
    """Build the training DAG of one data set. docs/airflow.md lists the supported combinations.

    `schedule` is cron in UTC, None = on demand. `pool` is used by the training task (and by the
    feature aggregation of `tick`); the other tasks run in the default pool. `tags` default to
    ("ml", model_type, dataset). Raises SettingError, which lists the supported combinations, if the
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
    return _build(validate_variant(fields, f"create_ml_training_dag({dag_id!r})"))


def variant_dags(folder: Path) -> dict[str, DAG]:
    """One DAG per YAML file of the folder, by id.

    Raises SettingError, which lists every wrong file and field.
    """
    return {variant.dag_id: _build(variant) for variant in load_variants(folder, spec.DAG_IDS)}


def _build(variant: Variant) -> DAG:
    dataset, pipeline = DATASETS[variant.dataset], PIPELINES[variant.dataset]
    dag_spec = Spec(
        dag_id=variant.dag_id,
        owner=dataset.owner,
        schedule=variant.schedule,
        asset=DRIFT_ASSETS.get(variant.dag_id, ""),
        tags=variant.tags or ("ml", variant.model_type, variant.dataset),
        queue=dataset.queue,
        training_queue=dataset.training_queue,
        priority=variant.priority_weight,
        retries=dataset.retries,
        retry_min=dataset.retry_min,
        deadline_h=dataset.deadline_h,
        experiment=dataset.experiment,
        gate=dataset.gate,
        params=pipeline.params(variant.params),
    )
    with DAG(**arguments(dag_spec)) as dag:
        *steps, register = pipeline.tasks(variant)
        chain(*steps, approval_step(dataset.experiment), register)
    return dag


def _tick_tasks(variant: Variant) -> list[Any]:
    """Aggregation also needs the pool: it plans and starts the features of the whole range."""
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


def _four_tasks(variant: Variant, module: Any, *args: str) -> list[Any]:
    """The four steps of a module. Only training needs the pool, and the queue of its hardware."""
    dataset = DATASETS[variant.dataset]
    training = {"pool": variant.pool, "queue": dataset.training_queue or dataset.queue}
    options = {"train_model": training}
    return [task(getattr(module, step), **options.get(step, {}))(*args) for step in STEPS]


def _tick_params(defaults: Mapping[str, Any]) -> Mapping[str, Param]:
    # With a fixed length, chunks begin at fixed days: next week reuses this week's chunks.
    length = "length of a chunk of features: 12h, 1d, 2w or auto"
    last = "no decision at or after this; default: end of the run's interval, or now"
    return {
        "from": time_param("first decision; default: the oldest data", defaults.get("from")),
        "to": time_param(last, defaults.get("to")),
        "chunk": Param(defaults.get("chunk", "1w"), type="string", description=length),
    }


def _power_params(defaults: Mapping[str, Any]) -> Mapping[str, Param]:
    series = defaults.get("series", "total")
    return {
        "series": Param(series, enum=ZONES, description="a zone, or the sum of all"),
        "day": time_param("last day of data; default: the last complete day"),
    }


def _image_params(defaults: Mapping[str, Any]) -> Mapping[str, Param]:
    def param(name: str, description: str, **schema: Any) -> Param:
        return Param(defaults.get(name), description=description, **schema)

    return {
        "data": param("data", "the public file or its folder; default: download it", type=TEXT),
        "epochs": param("epochs", "maximum of epochs", type=NUMBER, minimum=1, maximum=1000),
        "seed": param("seed", "default: TICK_SEED", type=NUMBER, minimum=0),
        "rows_max": param("rows_max", "maximum of training images", type=NUMBER, minimum=1),
    }


IMAGES = Pipeline(_vision_tasks, _image_params)
PIPELINES = {
    "mnist": IMAGES,
    "cifar10": IMAGES,
    "tick": Pipeline(_tick_tasks, _tick_params),
    "power": Pipeline(_power_tasks, _power_params),
}
