"""Run as a child process: imports DAG files as Airflow does and describes them as JSON."""

import json
import sys
from pathlib import Path
from typing import Any

HEAVY = (
    "tensorflow",
    "torch",
    "mlflow",
    "pandas",
    "polars",
    "sklearn",
    "lightgbm",
    "pyiceberg",
    "feast",
    "pyflink",
)


def _retry(policy: Any) -> list[str]:
    return [name for rule in policy.rules for name in rule.exception] if policy else []


def _listed(value: Any) -> list[Any]:
    """The value as a list: a mapped task keeps the argument as it was passed."""
    return list(value or ()) if isinstance(value, list | tuple | type(None)) else [value]


def _task(task: Any) -> dict[str, Any]:
    names = (
        "owner",
        "pool",
        "queue",
        "priority_weight",
        "weight_rule",
        "retries",
        "retry_exponential_backoff",
    )
    plain = {name: getattr(task, name) for name in names}
    times = {
        name: getattr(task, name).total_seconds() for name in ("retry_delay", "max_retry_delay")
    }
    called = [each.__qualname__ for each in _listed(task.on_failure_callback)]
    followed = sorted(task.downstream_task_ids)
    more = {"on_failure": called, "next": followed, "not_retried": _retry(task.retry_policy)}
    return {**plain, **times, **more, "weight_rule": str(task.weight_rule)}


def _dag(dag: Any) -> dict[str, Any]:
    table = dag.timetable
    cron = getattr(table, "timetable", table)
    deadlines = [
        (type(each.reference).__name__, each.interval.total_seconds(), each.callback.path)
        for each in dag.deadline or ()
    ]
    return {
        "tasks": {task.task_id: _task(task) for task in dag.tasks},
        "timetable": type(table).__name__,
        "cron": getattr(cron, "expression", None),
        "start": dag.start_date.isoformat(),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "tags": sorted(dag.tags),
        "params": sorted(dag.params),
        "access": sorted(dag.access_control or ()),
        "deadlines": deadlines,
        "doc": dag.doc_md,
    }


def _file(path: str) -> dict[str, Any]:
    """What one file defines; `heavy` are the modules that it is the first to import."""
    from airflow.dag_processing.dagbag import DagBag

    before = set(sys.modules)
    bag = DagBag(path)
    described = {name: _dag(dag) for name, dag in bag.dags.items()}
    heavy = [name for name in HEAVY if name in sys.modules and name not in before]
    return {"dags": described, "errors": bag.import_errors, "heavy": heavy}


if __name__ == "__main__":
    files = {Path(path).name: _file(path) for path in sys.argv[1:]}
    sys.stdout.write("\n" + json.dumps(files))
