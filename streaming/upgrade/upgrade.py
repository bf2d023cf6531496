"""`tick job upgrade`: replaces the running live job by the program of this version.

1. The state of the running job fits the new program: stop with a savepoint, continue from it.
2. Otherwise: plan the new program, run its shadow alongside the running job, compare both. Only if
   no difference is unexplained: stop with a savepoint, start the new program without state at the
   offsets of that savepoint, warmed up from silver.

Until the stop, any failure leaves the running job as it is. Afterwards, until the new job has its
first checkpoint, any failure starts the old program again.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from contracts.config.settings import Settings
from contracts.errors import JobError
from contracts.features import COLUMNS, FEATURES
from contracts.progress import Progress, silent
from contracts.windows import LABELS
from feature_store.flink.program import Program, Submitter
from lakehouse import leases
from lakehouse.tables import Lakehouse
from streaming.job import job, stored_program
from streaming.upgrade.comparison import Result
from streaming.upgrade.cut_over import HOLDER, Running, cut_over, running_job, start_fresh
from streaming.upgrade.shadow import Shadow
from streaming.upgrade.stretch import Stretch


class Route(StrEnum):
    """How the running job is replaced."""

    NONE = "none"  # it already runs this program
    STATE = "state"  # the new program continues from its state
    SHADOW = "shadow"  # the new program starts without state, after a comparison


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an upgrade did; `job_id` is the job that runs now.

    `upgraded` is False when nothing was replaced: nothing to do, a dry run, or refused by `result`.
    `without_commit_s` is the time between the stop and the first checkpoint of the new job.
    """

    route: Route
    job_id: str
    upgraded: bool = False
    result: Result | None = None
    without_commit_s: float = 0.0

    @property
    def refused(self) -> bool:
        """Whether the comparison forbids the upgrade."""
        return self.result is not None and not self.result.passed


def upgrade(
    settings: Settings,
    now_us: int,
    *,
    changed: Collection[str] = (),
    dry: bool = False,
    progress: Progress = silent,
) -> Outcome:
    """Replace the running job; `changed` are features whose values may differ.

    `dry` only plans. A job that was stopped with a savepoint is continued with its own program
    first. Raises JobError, also when the old program had to be started again; LeaseError while
    another upgrade runs.
    """
    columns = _columns_of(changed)
    with leases.lease(settings, leases.UPGRADE, holder=HOLDER), Submitter(settings) as child:
        old = running_job(settings, child, start=not dry)
        new = job.program(settings)
        route = _route(old.program, new)
        if route is Route.NONE:
            return Outcome(route, old.job_id)
        if dry:
            child.plan(Shadow(0).program(settings, new))
            return Outcome(route, old.job_id)
        return _Upgrade(settings, child, old, new, progress).run(route, columns, now_us)


def _route(old: Program, new: Program) -> Route:
    if old == new:
        return Route.NONE
    return Route.STATE if stored_program.state_fits(old, new) else Route.SHADOW


def _columns_of(changed: Collection[str]) -> frozenset[str]:
    """The columns of some features. Raises JobError for an unknown name."""
    features = {feature.name: feature for feature in FEATURES}
    if unknown := set(changed) - features.keys():
        raise JobError(
            f"there is no feature {', '.join(sorted(unknown))}",
            "name features as in contracts/features.py: `tick features show`",
        )
    names = {f"{name}_{LABELS[w]}" for name in changed for w in features[name].windows_s}
    return frozenset(column.name for column in COLUMNS if column.name in names)


@dataclass(frozen=True, slots=True)
class _Upgrade:
    settings: Settings
    child: Submitter
    old: Running
    new: Program
    progress: Progress

    def run(self, route: Route, changed: frozenset[str], now_us: int) -> Outcome:
        Lakehouse(self.settings).create()
        self.progress("planning", 0, 1)
        self.child.plan(self.new)
        self.progress("planning", 1, 1)
        if route is Route.STATE:
            return self._replace(Outcome(route, self.old.job_id))
        shadow = Shadow(now_us)
        stretch = Stretch(self.settings, self.child, self.old.job_id, changed, self.progress)
        outcome = Outcome(route, self.old.job_id, result=stretch.compare(shadow, self.new))
        return outcome if outcome.refused else self._replace(outcome)

    def _replace(self, outcome: Outcome) -> Outcome:
        begin_s = time.monotonic()
        start = self._resume if outcome.route is Route.STATE else self._start_fresh
        self.progress("switching", 0, 1)
        job_id = cut_over(self.settings, self.child, self.old, start)
        self.progress("switching", 1, 1)
        without_commit_s = time.monotonic() - begin_s
        return replace(outcome, job_id=job_id, upgraded=True, without_commit_s=without_commit_s)

    def _resume(self, savepoint: str) -> str:
        return job.launch(self.settings, self.new.starting_from(savepoint), self.child)

    def _start_fresh(self, savepoint: str) -> str:
        return start_fresh(self.settings, self.child, self.new, savepoint)
