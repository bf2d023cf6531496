"""Builds every training DAG, from arguments or from a YAML file."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, chain, task

from dags.factory import spec
from dags.factory.approval import approval_step
from dags.factory.spec import DagSpec, arguments, time_param
from dags.factory.training_config import (
    TRAINING_PROFILES,
    TrainingDagConfig,
    load_variants,
    validate_config,
)
from dags.tasks import power, tick, vision

STEPS = ("prepare_data", "train_model", "evaluate_model", "register_model")
TEXT, NUMBER = ["null", "string"], ["null", "integer"]
ZONES = ["total", "zone1", "zone2", "zone3"]
# The drift asset starts only this DAG: its variants would compete for the single backfill slot.
DRIFT_ASSETS = {"tick_model_training": "tick_drift"}


@dataclass(frozen=True)
class DagTasks:
    """Tasks of a training in order, the last of which registers; and its run parameters."""

    tasks: Callable[[TrainingDagConfig], list[Any]]
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
    return _build(validate_config(fields, f"create_ml_training_dag({dag_id!r})"))


def variant_dags(folder: Path) -> dict[str, DAG]:
    """One DAG per YAML file of the folder, by id.

    Raises SettingError, which lists every wrong file and field.
    """
    return {config.dag_id: _build(config) for config in load_variants(folder, spec.DAG_IDS)}


def _build(config: TrainingDagConfig) -> DAG:
    profile = TRAINING_PROFILES[config.dataset]
    dag_tasks = DAG_TASKS[config.dataset]
    dag_spec = DagSpec(
        dag_id=config.dag_id,
        owner=profile.owner,
        schedule=config.schedule,
        asset=DRIFT_ASSETS.get(config.dag_id, ""),
        tags=config.tags or ("ml", config.model_type, config.dataset),
        queue=profile.queue,
        training_queue=profile.training_queue,
        priority=config.priority_weight,
        retries=profile.retries,
        retry_min=profile.retry_min,
        deadline_h=profile.deadline_h,
        experiment=profile.experiment,
        gate=profile.gate,
        params=dag_tasks.params(config.params),
    )
    with DAG(**arguments(dag_spec)) as dag:
        *steps, register = dag_tasks.tasks(config)
        chain(*steps, approval_step(profile.experiment), register)
    return dag


def _tick_tasks(config: TrainingDagConfig) -> list[Any]:
    """The aggregation also uses the pool: like the training, it is heavy."""
    aggregated = task(tick.aggregate_weekly_features, pool=config.pool)()
    return [
        task(tick.prepare_training_data)(aggregated),
        task(tick.train_model, pool=config.pool)(),
        task(tick.backtest_model)(),
        task(tick.register_to_production)(),
    ]


def _power_tasks(config: TrainingDagConfig) -> list[Any]:
    return _four_tasks(config, power)


def _vision_tasks(config: TrainingDagConfig) -> list[Any]:
    network = TRAINING_PROFILES[config.dataset].models[config.model_type]
    return _four_tasks(config, vision, config.dataset, network)


def _four_tasks(config: TrainingDagConfig, module: Any, *args: str) -> list[Any]:
    """The four steps of a module. Only training needs the pool, and the queue of its hardware."""
    profile = TRAINING_PROFILES[config.dataset]
    training = {"pool": config.pool, "queue": profile.training_queue or profile.queue}
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


IMAGES = DagTasks(_vision_tasks, _image_params)
DAG_TASKS = {
    "mnist": IMAGES,
    "cifar10": IMAGES,
    "tick": DagTasks(_tick_tasks, _tick_params),
    "power": DagTasks(_power_tasks, _power_params),
}
