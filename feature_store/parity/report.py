"""The parity report: differences by view and column, coverage gaps, reference and served checks.

Plain data.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from feature_store.parity.column_diff import TOLERANCE, ColumnDiffs
from feature_store.parity.coverage import CoverageGap
from feature_store.parity.reference_check import ReferenceCheck
from feature_store.parity.served import Served

EXAMPLES_MAX = 5


@dataclass(slots=True)
class Rows:
    """Rows of one view.

    `missing`: in history, not live; `extra`: live only; `doubled`: twice in history. Those three
    are unexplained. `repeated` live rows had less history than the one that counts; `late` rows are
    missing because all their ticks were late; `no_live_job` and `not_backfilled` rows are in a
    coverage gap, or of a symbol that was never live or never backfilled.
    """

    view: str
    live: int = 0
    batch: int = 0
    compared: int = 0
    repeated: int = 0
    doubled: int = 0
    missing: int = 0
    late: int = 0
    no_live_job: int = 0
    extra: int = 0
    not_backfilled: int = 0

    @property
    def unexplained(self) -> int:
        """Rows that one side has and the other lacks, or history has twice, without a cause."""
        return self.missing + self.extra + self.doubled


@dataclass(frozen=True, slots=True)
class Example:
    """One missing or extra row: `what`, where and when (µs UTC)."""

    what: str
    view: str
    symbol: str
    event_time_us: int


@dataclass
class ParityReport:
    """Live against history in [from, to) µs (expected: history; got: live), and the other checks.

    `taken_us` is the time of the comparison.
    """

    from_us: int
    to_us: int
    taken_us: int
    rows: dict[str, Rows] = field(default_factory=dict)
    diffs: ColumnDiffs = field(default_factory=ColumnDiffs)
    coverage_gaps: list[CoverageGap] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    never_backfilled: list[str] = field(default_factory=list)
    never_live: list[str] = field(
        default_factory=list
    )  # loaded, not streamed: such as synthetic history
    reference: ReferenceCheck = field(default_factory=ReferenceCheck)
    served: Served = field(default_factory=Served)

    @property
    def unexplained(self) -> int:
        """Everything that differs without a cause: above zero, something is broken."""
        rows = sum(rows.unexplained for rows in self.rows.values())
        return rows + self.diffs.unexplained + self.reference.unexplained + self.served.unexplained

    def totals(self) -> dict[str, Any]:
        """The few numbers for monitoring."""
        diffs = self.diffs.values()
        worst = max((diff.worst.relative for diff in diffs if diff.worst), default=0.0)
        return {
            "unexplained": self.unexplained,
            "rows_compared": sum(rows.compared for rows in self.rows.values()),
            "values_compared": sum(diff.compared for diff in diffs),
            "values_late": sum(diff.late for diff in diffs),
            "values_warm_up": sum(diff.warm_up for diff in diffs),
            "values_new_column": sum(diff.new_column for diff in diffs),
            "rows_missing": sum(rows.missing for rows in self.rows.values()),
            "rows_extra": sum(rows.extra for rows in self.rows.values()),
            "largest_relative_error": worst if worst < float("inf") else None,
            "oracle_rows": self.reference.rows,
            "served_records": self.served.compared,
            "from_us": self.from_us,
            "to_us": self.to_us,
            "taken_us": self.taken_us,
        }

    def add_example(self, example: Example) -> None:
        """Keep the first few rows of each kind."""
        if sum(other.what == example.what for other in self.examples) < EXAMPLES_MAX:
            self.examples.append(example)

    def as_dict(self) -> dict[str, Any]:
        """The whole report as JSON."""
        return {
            "tolerance": TOLERANCE,
            **self.totals(),
            "views": [
                asdict(rows) | {"unexplained": rows.unexplained} for rows in self.rows.values()
            ],
            "features": [diff.as_dict() for diff in self.diffs.values()],
            "stretches": [asdict(gap) for gap in self.coverage_gaps],
            "examples": [asdict(example) for example in self.examples],
            "never_backfilled": self.never_backfilled,
            "never_live": self.never_live,
            "oracle": dict(_part(self.reference)),
            "served": dict(_part(self.served)),
        }


def _part(check: ReferenceCheck | Served) -> Iterator[tuple[str, Any]]:
    yield "unexplained", check.unexplained
    yield from ((name, value) for name, value in vars(check).items() if name != "diffs")
    yield "features", [diff.as_dict() for diff in check.diffs.values()]
