"""The parity report: differences by view and column, coverage gaps, reference and served checks.

Plain data.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from feature_store.parity.column_diff import TOLERANCE, ColumnDiffs, finite_or_none
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

    def as_dict(self) -> dict[str, Any]:
        """The counts as JSON."""
        return asdict(self) | {"unexplained": self.unexplained}


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
    # Loaded, not streamed: such as synthetic history.
    never_live: list[str] = field(default_factory=list)
    reference: ReferenceCheck = field(default_factory=ReferenceCheck)
    served: Served = field(default_factory=Served)

    @property
    def unexplained(self) -> int:
        """Everything that differs without a cause: above zero, something is broken."""
        values = self.diffs.unexplained + self.reference.unexplained + self.served.unexplained
        return self._count_rows("unexplained") + values

    def totals(self) -> dict[str, Any]:
        """The few numbers for monitoring."""
        values = self.diffs.total()
        return {
            "unexplained": self.unexplained,
            "rows_compared": self._count_rows("compared"),
            "values_compared": values.compared,
            "values_late": values.late,
            "values_warm_up": values.warm_up,
            "values_new_column": values.new_column,
            "rows_missing": self._count_rows("missing"),
            "rows_extra": self._count_rows("extra"),
            "largest_relative_error": finite_or_none(values.largest_error),
            "oracle_rows": self.reference.rows,
            "served_records": self.served.compared,
            "from_us": self.from_us,
            "to_us": self.to_us,
            "taken_us": self.taken_us,
        }

    def _count_rows(self, name: str) -> int:
        """One of the counts of `Rows`, summed over the views."""
        return sum(getattr(rows, name) for rows in self.rows.values())

    def add_example(self, example: Example) -> None:
        """Keep the first few rows of each kind."""
        if sum(other.what == example.what for other in self.examples) < EXAMPLES_MAX:
            self.examples.append(example)

    def as_dict(self) -> dict[str, Any]:
        """The whole report as JSON."""
        return {
            "tolerance": TOLERANCE,
            **self.totals(),
            "views": [rows.as_dict() for rows in self.rows.values()],
            "features": self.diffs.as_dicts(),
            "stretches": list(map(asdict, self.coverage_gaps)),
            "examples": list(map(asdict, self.examples)),
            "never_backfilled": self.never_backfilled,
            "never_live": self.never_live,
            "oracle": _part_as_dict(self.reference),
            "served": _part_as_dict(self.served),
        }


def _part_as_dict(part: ReferenceCheck | Served) -> dict[str, Any]:
    """A further check as JSON: its counts, and its diffs as `features`."""
    counts = {name: value for name, value in vars(part).items() if name != "diffs"}
    return {"unexplained": part.unexplained, **counts, "features": part.diffs.as_dicts()}
