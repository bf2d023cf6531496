"""A Flink SQL program as data, and its submission to the standalone cluster in a child process with its own JVM.

The parent renders text only; the child (`python -m feature_store.flink`) loads PyFlink, which takes seconds and a gateway JVM.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from contracts import paths
from contracts.errors import JobError
from contracts.settings import Settings

SUBMIT_TIMEOUT_S = 180.0
ERROR_LINES = 12


@dataclass(frozen=True, slots=True)
class Program:
    """`ddl` statements and `views` (name, SELECT) in order, then `inserts` as one statement set; `options` are Flink configuration keys.

    A view is registered as a planned table, not as SQL text: text is expanded anew for each reader, with correlation names of
    its own, and the planner then no longer sees that two readers share it.
    """

    name: str
    mode: Literal["stream", "batch"]
    ddl: tuple[str, ...]
    views: tuple[tuple[str, str], ...]
    inserts: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)


def base_options(settings: Settings) -> dict[str, str]:
    """Options every job of this platform shares."""
    return {
        "execution.target": "remote",
        "rest.address": settings.host,
        "rest.port": str(settings.flink_port),
        "parallelism.default": str(settings.parallelism),
        "pipeline.object-reuse": "true",
        "table.local-time-zone": "UTC",
    }


def submit(settings: Settings, program: Program, timeout_s: float = SUBMIT_TIMEOUT_S) -> str:
    """Submit and return the job id. Raises JobError with what Flink said."""
    spec = json.dumps(asdict(program) | {"options": base_options(settings) | dict(program.options)})
    command = [sys.executable, "-W", "ignore", "-m", "feature_store.flink"]
    env = os.environ | paths.flink_env(settings)
    try:
        done = subprocess.run(command, input=spec, capture_output=True, text=True, env=env, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise JobError(f"Flink did not accept {program.name} within {timeout_s:.0f} s", "see `tick logs jobmanager`") from error
    job_id = next((line.split("=", 1)[1] for line in done.stdout.splitlines() if line.startswith("job_id=")), None)
    if job_id is None:
        raise JobError(
            f"Flink refused {program.name}:\n{_why(done.stdout + done.stderr)}", "see `tick logs jobmanager`; is it up? `tick status`"
        )
    return job_id


def _why(output: str) -> str:
    causes = [line for line in output.splitlines() if line.startswith(("Caused by", "py4j.protocol", "TypeError"))]
    return "\n".join((causes or output.splitlines())[-ERROR_LINES:])


def _run(spec: dict[str, Any]) -> str:
    from pyflink.table import EnvironmentSettings, TableEnvironment

    mode = EnvironmentSettings.in_batch_mode() if spec["mode"] == "batch" else EnvironmentSettings.in_streaming_mode()
    env = TableEnvironment.create(mode)
    for key, value in (spec["options"] | {"pipeline.name": spec["name"]}).items():
        env.get_config().set(key, value)
    for statement in spec["ddl"]:
        env.execute_sql(statement)
    for name, select in spec["views"]:
        env.create_temporary_view(name, env.sql_query(select))
    statements = env.create_statement_set()
    for statement in spec["inserts"]:
        statements.add_insert_sql(statement)
    return str(statements.execute().get_job_client().get_job_id())


if __name__ == "__main__":
    sys.stdout.write(f"job_id={_run(json.load(sys.stdin))}\n")
