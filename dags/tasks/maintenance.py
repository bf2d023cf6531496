"""Maintenance tasks: delete old logs, run directories, snapshots and rows; merge small files."""

import contextlib
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from contracts.durations import DAY_US
from dags.tasks.task_context import current_settings, log, log_progress, parameter

CLEAN_TIMEOUT_S = 1800
# Airflow sets these to deny its tasks access to the metadata database.
BLOCKED = ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__SQL_ALCHEMY_CONN")


def _before_us() -> int:
    from contracts.clock import now_us

    return now_us() - int((parameter("keep_days") or current_settings().airflow_keep_days) * DAY_US)


def delete_old_logs() -> int:
    """Delete Airflow's logs not written for `keep_days`; returns the number of files."""
    from contracts.config import paths

    return delete_old_files(paths.airflow_home(current_settings()) / "logs", _before_us())


def delete_old_trainings() -> int:
    """Delete run directories not written for `keep_days`; returns their number.

    Their metrics and models are in MLflow.
    """
    from contracts.config import paths

    return delete_old_runs(paths.trainings(current_settings()), _before_us())


def compact_tables() -> int:
    """Merge small files of closed partitions; returns the number of partitions."""
    from contracts.clock import now_us
    from lakehouse.maintenance import compaction
    from lakehouse.tables import Lakehouse

    rule = compaction.CompactionRule.of_closed_partitions(current_settings(), now_us())
    return compaction.compact(Lakehouse(current_settings()), rule, log_progress).partitions


def expire_snapshots() -> dict[str, int]:
    """Expire snapshots as the maintenance does, and delete files that only they reference."""
    from contracts.clock import now_us
    from lakehouse.maintenance import expiry
    from lakehouse.tables import Lakehouse
    from streaming.job import states as job_states

    settings, at_us = current_settings(), now_us()
    retention = expiry.Retention.of_maintenance(settings, at_us)
    state_us = job_states.newest_state_us(settings)
    expired = expiry.expire(Lakehouse(settings), retention, at_us, state_us)
    return {"snapshots": expired.snapshots, "files": expired.files, "bytes": expired.bytes}


def clean_database() -> None:
    """Run `airflow db clean` for rows of runs older than `keep_days`.

    A task has no access to the metadata database, but a subprocess may have.
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
    result = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=CLEAN_TIMEOUT_S,
        check=False,
    )
    for line in result.stdout.splitlines()[-20:]:
        log.info("%s", line)
    if result.returncode != 0:
        raise RuntimeError(f"`airflow db clean` failed: {result.stderr[-2000:]}")


def delete_old_files(folder: Path, before_us: int) -> int:
    """Delete files below `folder` last written before `before_us`, then empty folders."""
    old = [
        file
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink() and _written_us(file) < before_us
    ]
    for file in old:
        file.unlink(missing_ok=True)
    _delete_empty_folders(folder)
    return len(old)


def _delete_empty_folders(folder: Path) -> None:
    """Innermost first, so that a folder of empty folders is deleted too."""
    for inner in sorted(filter(Path.is_dir, folder.rglob("*")), reverse=True):
        # Not empty, a link (Airflow's `latest`), or filled by another task meanwhile.
        with contextlib.suppress(OSError):
            inner.rmdir()


def delete_old_runs(folder: Path, before_us: int) -> int:
    """Delete run directories (two levels down) in which nothing was written since `before_us`."""
    old = [
        run
        for run in folder.glob("*/*")
        if max(map(_written_us, [run, *run.rglob("*")])) < before_us
    ]
    for run in old:
        shutil.rmtree(run, ignore_errors=True)
    return len(old)


def _written_us(file: Path) -> int:
    try:
        return file.lstat().st_mtime_ns // 1000
    except FileNotFoundError:  # already deleted by another process
        return 1 << 62
