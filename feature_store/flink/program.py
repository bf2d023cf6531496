"""A Flink SQL program as data, and its submission to the cluster by a child process with a JVM.

The parent only renders text; the child (`python -m feature_store.flink.program`) loads PyFlink,
which takes seconds and starts a gateway JVM.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

from contracts.config import paths
from contracts.config.groups.flink import FlinkSettings
from contracts.config.settings import Settings
from contracts.errors import JobError
from lakehouse.catalog_options import mask_secrets

CLOSE_TIMEOUT_S = 10.0
ERROR_LINES = 12
CAUSES = ("Caused by", "py4j.protocol", "TypeError")  # lines of an error output that tell why
# Planning runs cold code once, so the optimising compiler costs more than it saves: without it,
# planning the live job takes 48 s of CPU instead of 82.
PLANNER_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
JOB_ID, REFUSED, FINISHED = "job_id=", "refused=", "finished="
PLANNED, OFFSETS = "planned=", "offsets="
RESPONSES = tuple(kind.encode() for kind in (JOB_ID, REFUSED, FINISHED, PLANNED, OFFSETS))
RECOVERY_PATH = "execution.state-recovery.path"


class FinishedReaderError(JobError):
    """The saved state has finished readers: a job restored from it would never run them."""

    def __init__(self, state: str, readers: Sequence[str]) -> None:
        super().__init__(
            f"the state {state} was taken after a reader had finished: {', '.join(readers)}. "
            "A job that continues from it would never read that topic again"
        )
        self.state, self.readers = state, tuple(readers)


@dataclass(frozen=True, slots=True)
class Program:
    """A Flink SQL program: `ddl` and `views` (name, SELECT) in order, then all `inserts` at once.

    `options` are Flink configuration keys. When they name a state to continue from, only the
    sources of the tables in `may_finish` may have finished in it.

    A view is registered as a planned table, not as SQL text: text is expanded for each reader with
    new correlation names, and the planner then no longer sees that two readers share it.
    """

    name: str
    mode: Literal["stream", "batch"]
    ddl: tuple[str, ...]
    views: tuple[tuple[str, str], ...]
    inserts: tuple[str, ...]
    parallelism: int
    options: Mapping[str, str] = field(default_factory=dict)
    may_finish: tuple[str, ...] = ()

    def starting_from(self, state: str | None) -> Self:
        """The same program, to continue from the state at this URI; None: without state."""
        options = {name: value for name, value in self.options.items() if name != RECOVERY_PATH}
        return replace(self, options=options | ({RECOVERY_PATH: state} if state else {}))


def base_options(settings: FlinkSettings) -> dict[str, str]:
    """Options of every job of this platform."""
    return {
        "execution.target": "remote",
        "rest.address": settings.flink,
        "rest.port": str(settings.flink_port),
        "pipeline.object-reuse": "true",
        "table.local-time-zone": "UTC",
        # Bounded: a message that fails the job would otherwise restart it indefinitely. The backoff
        # is short, because most failures are a process that was killed and is back within seconds.
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "1 s",
        "restart-strategy.exponential-delay.max-backoff": "5 s",
        "restart-strategy.exponential-delay.attempts-before-reset-backoff": str(
            settings.restarts_max
        ),
        "restart-strategy.exponential-delay.reset-backoff-threshold": (
            f"{settings.restart_reset_s * 1000:.0f} ms"
        ),
    }


def submit(settings: Settings, program: Program) -> str:
    """Submit one program and return its job id.

    Raises JobError with Flink's reason, and FinishedReaderError.
    """
    with Submitter(settings) as child:
        return child.submit(program)


class Submitter:
    """A child process that submits programs one by one; only the first waits for JVM and planner.

    It ends with `close`, or when this process ends, because its stdin is then closed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._lock = settings, threading.Lock()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the child, see close
        self._child = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "feature_store.flink.program"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={"JVM_ARGS": PLANNER_JVM} | os.environ | paths.flink_env(settings),
            start_new_session=True,  # Ctrl-C must not stop it before it has returned a new job's id
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, program: Program) -> str:
        """Submit and return the job id; threads wait for each other.

        Raises JobError with Flink's reason, FinishedReaderError for a state that must not be
        continued.
        """
        self._refuse_finished_readers(program)
        return self._request(self._spec(program), JOB_ID, f"Flink rejected {program.name}")

    def plan(self, program: Program) -> None:
        """Plan a program without submitting it. Raises JobError with the planner's reason."""
        spec = self._spec(program, plan=True)
        self._request(spec, PLANNED, f"Flink cannot plan {program.name}")

    def _spec(self, program: Program, **more: bool) -> str:
        options = (
            base_options(self._settings)
            | {"parallelism.default": str(program.parallelism)}
            | dict(program.options)
        )
        return json.dumps(asdict(program) | {"options": options} | more)

    def _refuse_finished_readers(self, program: Program) -> None:
        if state := program.options.get(RECOVERY_PATH):
            readers = set(self.finished_readers(state)) - set(program.may_finish)
            if readers:
                raise FinishedReaderError(state, sorted(readers))

    def finished_readers(self, state: str) -> list[str]:
        """Tables of the sources with a finished task in the checkpoint or savepoint at this URI.

        Raises JobError when it cannot be read.
        """
        spec = json.dumps({"inspect": state})
        return list(json.loads(self._request(spec, FINISHED, f"the state {state} cannot be read")))

    def reader_offsets(self, state: str) -> dict[str, dict[int, int]]:
        """Next offset per partition of each source table in the state at this URI.

        Raises JobError when it cannot be read.
        """
        spec = json.dumps({"offsets": state})
        found = json.loads(self._request(spec, OFFSETS, f"the state {state} cannot be read"))
        return {
            table: {int(partition): offset for partition, offset in offsets.items()}
            for table, offsets in found.items()
        }

    def _request(self, spec: str, kind: str, problem: str) -> str:
        """The child's response without its kind. Raises JobError with the child's reason."""
        with self._lock:
            response = self._exchange(
                spec.encode() + b"\n", problem, self._settings.submit_timeout_s
            )
        if response.startswith(kind):
            return response.removeprefix(kind)
        refused = response.startswith(REFUSED)
        output = json.loads(response.removeprefix(REFUSED)) if refused else self._errors()
        causes = _causes(mask_secrets(self._settings, output))
        raise JobError(
            f"{problem}:\n{causes}", "see `tick logs jobmanager`; is it up? `tick status`"
        )

    def close(self) -> None:
        """End the child. Its submitted jobs keep running."""
        try:
            self._child.communicate(timeout=CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()
        self._stderr.close()

    def _exchange(self, line: bytes, problem: str, timeout_s: float) -> str:
        """The child's response to one line; empty when it died. Raises JobError on timeout."""
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin is not None and stdout is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.write(line)
            stdin.flush()
        deadline = threading.Timer(timeout_s, self._child.kill)
        deadline.start()
        try:
            for response in stdout:  # Flink may print other lines
                if response.startswith(RESPONSES):
                    return response.decode().strip()
        finally:
            deadline.cancel()
        if self._child.wait() == -signal.SIGKILL:
            raise JobError(
                f"{problem}: no answer within {timeout_s:.0f} s", "see `tick logs jobmanager`"
            )
        return ""

    def _errors(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")


def _causes(output: str) -> str:
    lines = output.splitlines()
    causes = [line for line in lines if line.startswith(CAUSES)]
    return "\n".join((causes or lines)[-ERROR_LINES:])


def _statements(spec: dict[str, Any]) -> Any:
    """The inserts of a program as one statement set, with its tables and views registered."""
    from pyflink.table import EnvironmentSettings, TableEnvironment

    modes = {
        "batch": EnvironmentSettings.in_batch_mode,
        "stream": EnvironmentSettings.in_streaming_mode,
    }
    env = TableEnvironment.create(modes[spec["mode"]]())
    for key, value in (spec["options"] | {"pipeline.name": spec["name"]}).items():
        env.get_config().set(key, value)
    for statement in spec["ddl"]:
        env.execute_sql(statement)
    for name, select in spec["views"]:
        env.create_temporary_view(name, env.sql_query(select))
    statements = env.create_statement_set()
    for statement in spec["inserts"]:
        statements.add_insert_sql(statement)
    return statements


def _handle(spec: dict[str, Any]) -> str:
    if state := spec.get("inspect"):
        from feature_store.flink.state import finished_readers

        return FINISHED + json.dumps(finished_readers(state))
    if state := spec.get("offsets"):
        from feature_store.flink.state import reader_offsets

        return OFFSETS + json.dumps(reader_offsets(state))
    if spec.get("plan"):
        _statements(spec).explain()
        return PLANNED
    return JOB_ID + str(_statements(spec).execute().get_job_client().get_job_id())


def _serve() -> None:
    """Answer each line of stdin, a program or a state to inspect, with one line."""
    for line in sys.stdin:
        try:
            response = _handle(json.loads(line))
        except Exception:  # noqa: BLE001 - report any error to the parent, which may send the next
            response = REFUSED + json.dumps(traceback.format_exc())
        sys.stdout.write(response + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
