"""Tasks that keep the platform small: old logs and run folders, snapshots, small files, Airflow's
own rows.
"""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from dags.tasks.run import DAY_US, given, log, parameter, tell

FILES_MAX = 8  # of a partition before it is compacted, as `tick lake compact` has it
CLEAN_TIMEOUT_S = 1800
# By these Airflow keeps its tasks away from its data base.
BLOCKED = ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__SQL_ALCHEMY_CONN")


def _before_us() -> int:
    from contracts.clock import now_us

    return now_us() - int((parameter("keep_days") or given().airflow_keep_days) * DAY_US)


def delete_old_logs() -> int:
    """Logs of Airflow's tasks and processors, untouched for `keep_days`; returns how many files."""
    from contracts.config import paths

    return forget_files(paths.airflow_home(given()) / "logs", _before_us())


def delete_old_trainings() -> int:
    """Run folders untouched for `keep_days`: what counts of them is in MLflow; returns how many."""
    from contracts.config import paths

    return forget_folders(paths.trainings(given()), _before_us())


def compact_tables() -> int:
    """Merge small files; returns how many partitions."""
    from lakehouse import maintenance

    return maintenance.compact(given(), FILES_MAX, tell)


def expire_snapshots() -> dict[str, int]:
    """Forget snapshots older than `keep_days`, and delete what only they needed."""
    from contracts.clock import now_us
    from lakehouse import maintenance
    from streaming.job import states as job_states

    gone = maintenance.expire(given(), _before_us(), now_us(), job_states.newest_state_us(given()))
    return {"snapshots": gone.snapshots, "files": gone.files, "bytes": gone.bytes}


def clean_database() -> None:
    """`airflow db clean`: rows of runs older than `keep_days`. A task may not touch the data base,
    a command of its own may.
    """
    before = datetime.fromtimestamp(_before_us() / 1e6, UTC).isoformat()
    command = [
        sys.executable,
        "-m",
        "airflow",
        "db",
        "clean",
        "--clean-before-timestamp",
        before,
        "--skip-archive",
        "--yes",
    ]
    environment = {name: value for name, value in os.environ.items() if name not in BLOCKED}
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=CLEAN_TIMEOUT_S,
        check=False,
    )
    for line in done.stdout.splitlines()[-20:]:
        log.info("%s", line)
    if done.returncode != 0:
        raise RuntimeError(f"`airflow db clean` failed: {done.stderr[-2000:]}")


def forget_files(folder: Path, before_us: int) -> int:
    """Delete files below `folder` last written before `before_us`, then the folders that are
    empty."""
    old = [
        file
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink() and _touched_us(file) < before_us
    ]
    for file in old:
        file.unlink(missing_ok=True)
    for inner in sorted((each for each in folder.rglob("*") if each.is_dir()), reverse=True):
        if not any(inner.iterdir()):
            inner.rmdir()
    return len(old)


def forget_folders(folder: Path, before_us: int) -> int:
    """Delete run folders (two levels down) in which nothing was written since `before_us`."""
    old = [
        each
        for each in folder.glob("*/*")
        if max(map(_touched_us, [each, *each.rglob("*")])) < before_us
    ]
    for each in old:
        shutil.rmtree(each, ignore_errors=True)
    return len(old)


def _touched_us(file: Path) -> int:
    try:
        return file.lstat().st_mtime_ns // 1000
    except FileNotFoundError:  # somebody else was first
        return 1 << 62
