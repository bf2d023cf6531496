"""Run as a child process: `dag.test()` of the DAGs in a JSON object from names to parameters.

Prints the states as JSON.
"""

import json
import sys
from typing import Any

from airflow.dag_processing.dagbag import DagBag

from stack.services.airflow import DAGS_FOLDER


def tried(dag: Any, conf: dict[str, Any]) -> dict[str, Any]:
    # Airflow 3.3.2: dag.test() looks up deadlines by content instead of id, and fails.
    dag.deadline = None
    run = dag.test(run_conf=conf)
    return {
        "state": run.state,
        "tasks": {task.task_id: task.state for task in run.get_task_instances()},
    }


def main(confs: dict[str, dict[str, Any]]) -> None:
    bag = DagBag(DAGS_FOLDER)
    unknown = set(bag.dags) ^ set(confs)
    assert not unknown, f"every DAG, and no other: {sorted(unknown)}"
    sys.stdout.write(
        "\n" + json.dumps({name: tried(bag.dags[name], conf) for name, conf in confs.items()})
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
