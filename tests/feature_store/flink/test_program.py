"""The submission of a program, with a scripted child in the place of PyFlink."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from contracts.config.settings import Settings
from contracts.errors import JobError
from feature_store.flink import program as flink_program
from feature_store.flink.program import (
    FinishedReaderError,
    Program,
    Submitter,
    base_options,
    submit,
)

STATE = "file:/checkpoints/chk-7"
# Answers each line of stdin with the next of these texts.
CHILD = """
import json, sys
for line, answer in zip(sys.stdin, json.loads(sys.argv[1])):
    print(line, file=sys.stderr, end="")
    print(answer, flush=True)
"""
DIES = "import sys; sys.stdin.readline(); print('noise\\nCaused by: no JVM', file=sys.stderr)"
HANGS = "import sys; sys.stdin.readline(); sys.stdin.readline()"
Start = Callable[..., Submitter]


def program(**fields: Any) -> Program:
    parts = {"ddl": ("CREATE x",), "views": (("v", "SELECT 1"),), "inserts": ("INSERT y",)}
    return Program(**{"name": "mine", "mode": "stream", "parallelism": 3, **parts, **fields})


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Start:
    """Start a Submitter whose child runs `code` with `answers`."""
    popen = subprocess.Popen

    def start(*answers: str, code: str = CHILD, **fields: Any) -> Submitter:
        command = [sys.executable, "-c", code, json.dumps(answers)]
        monkeypatch.setattr(
            flink_program.subprocess, "Popen", lambda _command, **options: popen(command, **options)
        )
        return Submitter(Settings(home=tmp_path).model_copy(update=fields))

    return start


def requests(child: Submitter) -> list[dict[str, Any]]:
    return [json.loads(line) for line in child._errors().splitlines()]


def refused(output: str) -> str:
    return "refused=" + json.dumps(output)


def test_a_submitted_program_returns_its_job_id(start):
    with start("job_id=0123") as child:
        assert child.submit(program(options={"a.b": "c"})) == "0123"
        (request,) = requests(child)
    assert (request["name"], request["mode"]) == ("mine", "stream")
    assert request["views"] == [["v", "SELECT 1"]]
    assert request["options"]["parallelism.default"] == "3"
    assert request["options"]["a.b"] == "c"


def test_an_option_of_the_program_replaces_that_of_every_job(start):
    with start("job_id=1") as child:
        child.submit(program(options={"pipeline.object-reuse": "false"}))
        assert requests(child)[0]["options"]["pipeline.object-reuse"] == "false"


def test_one_child_submits_several_programs(start):
    with start("job_id=1", "job_id=2") as child:
        assert [child.submit(program()), child.submit(program())] == ["1", "2"]


def test_other_lines_on_stdout_are_not_responses(start):
    with start("WARNING: illegal access\n\njob_id=1") as child:
        assert child.submit(program()) == "1"


def test_the_short_form_submits_one_program_and_ends_the_child(start, tmp_path):
    start("job_id=1").close()  # now every Submitter has the scripted child
    assert submit(Settings(home=tmp_path), program()) == "1"


def test_a_rejected_program_is_an_error_with_its_causes_only(start):
    output = (
        "Traceback\n  at x\nCaused by: org.apache.Validation: no column v\n  at y\nTypeError: z"
    )
    with start(refused(output)) as child, pytest.raises(JobError) as error:
        child.submit(program())
    assert error.value.message.splitlines() == [
        "Flink rejected mine:",
        "Caused by: org.apache.Validation: no column v",
        "TypeError: z",
    ]
    assert error.value.hint == "see `tick logs jobmanager`; is it up? `tick status`"


def test_an_output_without_causes_is_shown_by_its_last_lines(start):
    with start(refused("\n".join(map(str, range(40))))) as child, pytest.raises(JobError) as error:
        child.submit(program())
    shown = error.value.message.splitlines()[1:]
    assert shown == [str(number) for number in range(40 - flink_program.ERROR_LINES, 40)]


def test_a_secret_in_the_reason_is_masked(start):
    with (
        start(
            refused("Caused by: bad key hidden-word"), kafka_password=SecretStr("hidden-word")
        ) as child,
        pytest.raises(JobError, match="Caused by: bad key") as error,
    ):
        child.submit(program())
    assert "hidden-word" not in str(error.value)


def test_after_a_rejection_the_next_program_is_submitted(start):
    with start(refused("no"), "job_id=2") as child:
        with pytest.raises(JobError, match="rejected mine"):
            child.submit(program())
        assert child.submit(program()) == "2"


def test_a_child_that_dies_is_an_error_with_the_end_of_its_output(start):
    with start(code=DIES) as child, pytest.raises(JobError, match="mine:\nCaused by: no JVM"):
        child.submit(program())


def test_a_child_that_has_died_does_not_break_the_next_submission(start):
    with start(code="pass") as child:
        child._child.wait()
        with pytest.raises(JobError, match="Flink rejected mine"):
            child.submit(program())


def test_a_child_that_does_not_answer_is_killed_after_the_time_out(start):
    with (
        start(code=HANGS, submit_timeout_s=0.3) as child,
        pytest.raises(JobError, match="Flink rejected mine: no answer within 0 s") as error,
    ):
        child.submit(program())
    assert error.value.hint == "see `tick logs jobmanager`"


def test_a_state_whose_readers_had_finished_is_not_continued(start):
    with start('finished=["wire", "served", "wire_warm"]') as child:
        with pytest.raises(FinishedReaderError, match="finished: served, wire") as error:
            child.submit(
                program(options={flink_program.RECOVERY_PATH: STATE}, may_finish=("wire_warm",))
            )
        assert [request["inspect"] for request in requests(child)] == [STATE], "nothing submitted"
    assert (error.value.state, error.value.readers) == (STATE, ("served", "wire"))


def test_a_state_in_which_only_bounded_readers_had_finished_is_continued(start):
    with start('finished=["wire_warm"]', "job_id=1") as child:
        options = {flink_program.RECOVERY_PATH: STATE}
        assert child.submit(program(options=options, may_finish=("wire_warm",))) == "1"
        assert requests(child)[1]["options"][flink_program.RECOVERY_PATH] == STATE


def test_a_state_that_cannot_be_read_is_an_error_with_its_place(start):
    with (
        start(refused("Caused by: FileNotFoundException: _metadata")) as child,
        pytest.raises(JobError, match=f"the state {STATE} cannot be read:\n.*_metadata"),
    ):
        child.finished_readers(STATE)


def test_a_child_that_does_not_end_is_killed(start, monkeypatch):
    monkeypatch.setattr(flink_program, "CLOSE_TIMEOUT_S", 0.05)
    child = start(code="import time; time.sleep(60)")
    child.close()
    assert child._child.returncode == -9


def test_the_child_reports_any_error_and_serves_the_next_line(monkeypatch, capsys):
    """Nothing of Flink is loaded for a line that is not JSON."""
    monkeypatch.setattr("sys.stdin", iter(["{", "[]"]))
    flink_program._serve()
    first, second = capsys.readouterr().out.splitlines()
    assert "JSONDecodeError" in json.loads(first.removeprefix("refused="))
    assert "AttributeError" in json.loads(second.removeprefix("refused="))


def test_every_job_restarts_a_bounded_number_of_times():
    options = base_options(Settings(restarts_max=4, restart_reset_s=90, flink_port=12345))
    strategy = "restart-strategy.exponential-delay"
    assert options[f"{strategy}.attempts-before-reset-backoff"] == "4"
    assert options[f"{strategy}.reset-backoff-threshold"] == "90000 ms"
    assert (options["rest.port"], options["table.local-time-zone"]) == ("12345", "UTC")


def test_a_program_is_planned_without_a_submission(start):
    with start("planned=") as child:
        child.plan(program(options={"a.b": "c"}))
        (request,) = requests(child)
    assert request["plan"] is True and request["options"]["a.b"] == "c"


def test_what_the_planner_refuses_is_reported(start):
    with (
        start(refused("Caused by: no column x")) as child,
        pytest.raises(JobError, match="cannot plan mine.*\n.*no column x"),
    ):
        child.plan(program())


def test_the_offsets_of_a_state_are_numbers_by_table_and_partition(start):
    with start('offsets={"wire": {"0": 7, "3": 9}, "served": {}}') as child:
        assert child.reader_offsets(STATE) == {"wire": {0: 7, 3: 9}, "served": {}}
        assert requests(child) == [{"offsets": STATE}]
