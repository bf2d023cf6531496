"""A Flink SQL program as data, and its submission to the standalone cluster by a child process with
its own JVM.

The parent renders text only; the child (`python -m feature_store.flink.program`) loads PyFlink,
which takes seconds and a gateway JVM.
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
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from contracts.config import paths
from contracts.config.settings import Settings
from contracts.errors import JobError
from lakehouse.catalog_options import masked

CLOSE_TIMEOUT_S = 10.0
ERROR_LINES = 12
# Planning is cold code run once: the optimising compiler and its threads cost more than they save
# (82 → 48 s of CPU for the live job).
PLANNER_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
JOB_ID, REFUSED, FINISHED = "job_id=", "refused=", "finished="
RECOVERY_PATH = "execution.state-recovery.path"


class FinishedReaderError(JobError):
    """The state to continue from holds readers that had finished: a job restored from it would
    never run them.
    """

    def __init__(self, state: str, readers: Sequence[str]) -> None:
        super().__init__(
            f"the state {state} was taken after a reader had finished: {', '.join(readers)}. "
            "A job that continues there would never read its topic again"
        )
        self.state, self.readers = state, tuple(readers)


@dataclass(frozen=True, slots=True)
class Program:
    """`ddl` statements and `views` (name, SELECT) in order, then `inserts` as one statement set;
    `options` are Flink configuration keys.

    When they name a state to continue from, only the sources over the tables `may_finish` may have
    finished in it.

    A view is registered as a planned table, not as SQL text: text is expanded anew for each reader,
    with correlation names of its own, and the planner then no longer sees that two readers share
    it.
    """

    name: str
    mode: Literal["stream", "batch"]
    ddl: tuple[str, ...]
    views: tuple[tuple[str, str], ...]
    inserts: tuple[str, ...]
    parallelism: int
    options: Mapping[str, str] = field(default_factory=dict)
    may_finish: tuple[str, ...] = ()


def base_options(settings: Settings) -> dict[str, str]:
    """Options every job of this platform shares."""
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
    """Submit one program and return its job id. Raises JobError with what Flink said,
    FinishedReaderError.
    """
    with Submitter(settings) as child:
        return child.submit(program)


class Submitter:
    """A child process that submits programs one after the other: only the first one waits for a JVM
    and a cold planner.

    It ends with `close`, or by itself when this process is gone: its input ends then.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._alone = settings, threading.Lock()
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child, see close
        self._child = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "feature_store.flink.program"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env={"JVM_ARGS": PLANNER_JVM} | os.environ | paths.flink_env(settings),
            start_new_session=True,  # Ctrl-C must not stop it before it has told a new job's id
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, program: Program) -> str:
        """Submit and return the job id; programs of several threads wait for each other.

        Raises JobError with what Flink said, FinishedReaderError for a state that is not to be
        continued.
        """
        state = program.options.get(RECOVERY_PATH)
        if state and (
            readers := sorted(set(self.finished_readers(state)) - set(program.may_finish))
        ):
            raise FinishedReaderError(state, readers)
        options = (
            base_options(self._settings)
            | {"parallelism.default": str(program.parallelism)}
            | dict(program.options)
        )
        spec = json.dumps(asdict(program) | {"options": options})
        return self._answer(spec, JOB_ID, f"Flink refused {program.name}")

    def finished_readers(self, state: str) -> list[str]:
        """Tables of the sources of which a task had finished in the checkpoint or savepoint at this
        URI.

        Raises JobError when it cannot be read.
        """
        spec = json.dumps({"inspect": state})
        return list(json.loads(self._answer(spec, FINISHED, f"the state {state} cannot be read")))

    def _answer(self, spec: str, kind: str, problem: str) -> str:
        """What the child answers, without its kind. Raises JobError with the reason of the
        child."""
        with self._alone:
            answer = self._ask(spec.encode() + b"\n", problem, self._settings.submit_timeout_s)
        if answer.startswith(kind):
            return answer.removeprefix(kind)
        said = (
            json.loads(answer.removeprefix(REFUSED)) if answer.startswith(REFUSED) else self._said()
        )
        why = _why(masked(self._settings, said))
        raise JobError(f"{problem}:\n{why}", "see `tick logs jobmanager`; is it up? `tick status`")

    def close(self) -> None:
        """End the child, which takes no job with it."""
        try:
            self._child.communicate(timeout=CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()
        self._complaints.close()

    def _ask(self, line: bytes, problem: str, timeout_s: float) -> str:
        """The child's answer to one line; empty when it died. Raises JobError when the time is
        up."""
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin is not None and stdout is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.write(line)
            stdin.flush()
        deadline = threading.Timer(timeout_s, self._child.kill)
        deadline.start()
        try:
            for answer in stdout:  # Flink may print lines of its own
                if answer.startswith((JOB_ID.encode(), REFUSED.encode(), FINISHED.encode())):
                    return answer.decode().strip()
        finally:
            deadline.cancel()
        if self._child.wait() == -signal.SIGKILL:
            raise JobError(
                f"{problem}: no answer within {timeout_s:.0f} s", "see `tick logs jobmanager`"
            )
        return ""

    def _said(self) -> str:
        self._complaints.seek(0)
        return self._complaints.read().decode(errors="replace")


def _why(output: str) -> str:
    causes = [
        line
        for line in output.splitlines()
        if line.startswith(("Caused by", "py4j.protocol", "TypeError"))
    ]
    return "\n".join((causes or output.splitlines())[-ERROR_LINES:])


def _run(spec: dict[str, Any]) -> str:
    from pyflink.table import EnvironmentSettings, TableEnvironment

    mode = (
        EnvironmentSettings.in_batch_mode()
        if spec["mode"] == "batch"
        else EnvironmentSettings.in_streaming_mode()
    )
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


def _handle(spec: dict[str, Any]) -> str:
    if state := spec.get("inspect"):
        from feature_store.flink.state import finished_readers

        return FINISHED + json.dumps(finished_readers(state))
    return JOB_ID + _run(spec)


def _serve() -> None:
    """One line in, a program or a state to inspect; one line out, what came of it or why it was
    refused.
    """
    for line in sys.stdin:
        try:
            answer = _handle(json.loads(line))
        except Exception:  # noqa: BLE001 - whatever ails this program, the parent is told and may send the next
            answer = REFUSED + json.dumps(traceback.format_exc())
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
