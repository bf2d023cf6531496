"""In Compose the live job is kept running, unless it was stopped on purpose."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streaming.job import intent

ROOT = Path(__file__).parents[2]
SCRIPTS = {
    # The job does not run, and every other command succeeds.
    "tick": 'echo "$*" >> calls; [ "$*" != "job status" ]',
    "python": f'[ "$2" = stack.services.flink_home ] || exec {sys.executable} "$@"',
    "sleep": "kill $PPID",  # after the first round
}


@pytest.mark.parametrize(
    ("stopped", "calls"), [(False, ["job status", "job resume --alone"]), (True, ["job status"])]
)
def test_a_job_that_a_person_stopped_is_not_resumed(free_settings, tmp_path, stopped, calls):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, code in SCRIPTS.items():
        (programs / name).write_text(f"#!/bin/sh\n{code}\n")
        (programs / name).chmod(0o700)
    intent.record_start(free_settings, "a" * 32, None)
    if stopped:
        with intent.stopping(free_settings, "a" * 32):
            pass
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "TICK_HOME": str(free_settings.root),
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run(
        ["sh", ROOT / "deploy" / "keep-job.sh"], cwd=tmp_path, env=environment, check=False
    )
    assert (tmp_path / "calls").read_text().splitlines() == calls
