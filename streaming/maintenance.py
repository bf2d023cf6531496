"""Maintenance: keeps the tables and their folders small while the platform runs.

One pass: merge the small files of closed partitions, expire old snapshots, delete what dropped
staging tables left behind. A step that fails is logged and does not stop the others. `python -m
streaming.maintenance` runs a pass every `maintenance_interval_s`. The states of the live job are
pruned at each of its starts.
"""

import signal
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import structlog

from contracts.clock import now_us
from contracts.config import logs
from contracts.config.settings import Settings
from contracts.config.settings import settings as read_settings
from contracts.progress import Progress, silent
from feature_store.backfill.staging import NAMESPACE
from lakehouse import leases
from lakehouse.maintenance import compaction, expiry, orphan_files
from lakehouse.tables import Lakehouse
from streaming.job import states

FIRST_PASS_S = 60.0  # after the start, which needs the machine

log = structlog.get_logger("maintenance")


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step did, as counts by name, or the error that ended it."""

    step: str
    counts: dict[str, Any]
    error: str | None = None


def run_pass(
    settings: Settings, now_us: int, progress: Progress = silent, *, dry: bool = False
) -> list[StepResult]:
    """One pass at `now_us` (µs UTC); the result of each step. `dry`: count, change nothing.

    Raises LeaseError when another process does maintenance on this lakehouse.
    """
    with leases.lease(settings, leases.MAINTENANCE, wait_s=0, holder="maintenance"):
        steps: dict[str, Callable[[], dict[str, Any]]] = {
            "compact": lambda: _compact(settings, now_us, progress, dry),
            "expire": lambda: _expire(settings, now_us, dry),
            "staging": lambda: _delete_staging(settings, now_us, dry),
        }
        return [_run_step(name, step) for name, step in steps.items()]


def _run_step(name: str, step: Callable[[], dict[str, Any]]) -> StepResult:
    try:
        counts = step()
    except Exception as error:  # noqa: BLE001 - a full disk or a damaged table must not stop the rest
        log.error("a step of maintenance failed", step=name, error=repr(error))
        return StepResult(name, {}, f"{type(error).__name__}: {error}")
    log.info("step of maintenance done", step=name, **counts)
    return StepResult(name, counts)


def _compact(settings: Settings, now_us: int, progress: Progress, dry: bool) -> dict[str, Any]:
    rule = compaction.CompactionRule.of_closed_partitions(settings, now_us)
    return asdict(compaction.compact(Lakehouse(settings), rule, progress, dry=dry))


def _expire(settings: Settings, now_us: int, dry: bool) -> dict[str, Any]:
    retention = expiry.Retention.of_maintenance(settings, now_us)
    state_us = states.newest_state_us(settings)
    return asdict(expiry.expire(Lakehouse(settings), retention, now_us, state_us, dry=dry))


def _delete_staging(settings: Settings, now_us: int, dry: bool) -> dict[str, Any]:
    before_us = now_us - int(settings.orphan_age_s * 1e6)
    lake = Lakehouse(settings)
    files, size = orphan_files.remove_dropped(lake, NAMESPACE, before_us, dry=dry)
    return {"files": files, "bytes": size}


def main() -> None:
    """Run passes until SIGTERM."""
    logs.configure()
    settings = read_settings()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    wait_s = min(FIRST_PASS_S, settings.maintenance_interval_s)
    while not stop.wait(wait_s):
        wait_s = settings.maintenance_interval_s
        try:
            run_pass(settings, now_us())
        except Exception as error:  # noqa: BLE001 - such as a lease that is held: the next pass is due
            log.error("a pass of maintenance failed", error=repr(error))


if __name__ == "__main__":
    main()
