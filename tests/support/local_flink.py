"""Runs SQL in Flink's local mini cluster: a child process, `python -m tests.support.local_flink`.

It reads `{"mode", "ddl", "views", "query"}` as JSON from stdin and prints the rows as JSON.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from contracts.config import paths

TIMEOUT_S = 300


def query(
    mode: str, ddl: Sequence[str], views: Iterable[tuple[str, str]], select: str
) -> list[list[Any]]:
    """The rows of `select` over the tables and views, in a batch or a bounded stream."""
    spec = {"mode": mode, "ddl": list(ddl), "views": list(views), "query": select}
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.support.local_flink"],
        input=json.dumps(spec),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=os.environ | {"JAVA_HOME": str(paths.java_home())},
    )
    assert child.returncode == 0, child.stderr[-4000:]
    rows: list[list[Any]] = json.loads(child.stdout.splitlines()[-1])
    return rows


def main() -> None:
    from pyflink.table import EnvironmentSettings, TableEnvironment

    spec = json.load(sys.stdin)
    modes = {
        "batch": EnvironmentSettings.in_batch_mode,
        "stream": EnvironmentSettings.in_streaming_mode,
    }
    env = TableEnvironment.create(modes[spec["mode"]]())
    env.get_config().set("table.local-time-zone", "UTC")
    env.get_config().set("parallelism.default", "1")
    for statement in spec["ddl"]:
        env.execute_sql(statement)
    for name, select in spec["views"]:
        env.create_temporary_view(name, env.sql_query(select))
    with env.execute_sql(spec["query"]).collect() as rows:
        print(json.dumps([list(row) for row in rows]))


if __name__ == "__main__":
    main()
