"""Training DAGs of one shape, prepare_data → train_model → evaluate_model → register_model, from arguments or from a YAML file."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, task

from dags import spec
from dags.approval import approved
from dags.spec import Spec, arguments, moment
from dags.tasks import power, vision
from dags.variant import DATASETS, Variant, checked, read

STEPS = ("prepare_data", "train_model", "evaluate_model", "register_model")
TEXT, NUMBER = ["null", "string"], ["null", "integer"]


def create_ml_training_dag(
    dag_id: str,
    schedule: str | None,
    model_type: str,
    dataset: str,
    framework: str,
    pool: str,
    priority_weight: int,
    tags: Iterable[str],
    **params: Any,
) -> DAG:
    """The DAG; `params` are defaults of its run parameters (epochs, seed, data …; of power: series).

    `pool` is where it trains; everything else runs in the default pool. Raises SettingError for what does not fit together.
    """
    given = {"dag_id": dag_id, "schedule": schedule, "model_type": model_type, "dataset": dataset, "framework": framework}
    more = {"pool": pool, "priority_weight": priority_weight, "tags": tuple(tags), "params": params}
    return _made(checked({**given, **more}, f"create_ml_training_dag({dag_id!r})"))


def variants(folder: Path) -> dict[str, DAG]:
    """A DAG per YAML file of the folder, by id. Raises SettingError naming every file and field that is wrong."""
    return {each.dag_id: _made(each) for each in read(folder, spec.DAG_IDS)}


def _made(variant: Variant) -> DAG:
    known = DATASETS[variant.dataset]
    described = Spec(
        dag_id=variant.dag_id,
        owner=known.owner,
        schedule=variant.schedule,
        tags=variant.tags,
        queue=known.queue,
        priority=variant.priority_weight,
        retries=2,
        retry_min=known.retry_min,
        deadline_h=known.deadline_h,
        experiment=known.experiment,
        gate=known.gate,
        params=_params(variant),
    )
    with DAG(**arguments(described)) as dag:
        prepare, train, evaluate, register = _tasks(variant)
        prepare >> train >> evaluate >> approved(known.experiment) >> register
    return dag


def _tasks(variant: Variant) -> list[Any]:
    """The four tasks. Only training needs the pool."""
    is_power = variant.dataset == "power"
    words = () if is_power else (variant.dataset, "" if variant.dataset == "mnist" else variant.model_type)
    own = {"train_model": {"pool": variant.pool}}
    return [task(getattr(power if is_power else vision, name), **own.get(name, {}))(*words) for name in STEPS]


def _params(variant: Variant) -> Mapping[str, Param]:
    default = variant.params
    if variant.dataset == "power":
        series = Param(default.get("series", "total"), enum=["total", "zone1", "zone2", "zone3"], description="a zone, or the sum")
        return {"series": series, "day": moment("last day of data; default: the last whole one")}
    return {
        "data": Param(default.get("data"), type=TEXT, description="the public file or its folder; default: fetched once"),
        "epochs": Param(default.get("epochs"), type=NUMBER, minimum=1, maximum=1000, description="at most so many"),
        "seed": Param(default.get("seed"), type=NUMBER, minimum=0, description="default: TICK_SEED"),
        "rows_max": Param(default.get("rows_max"), type=NUMBER, minimum=1, description="cuts the training images, for a look"),
    }
