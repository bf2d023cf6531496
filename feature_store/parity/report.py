"""What the parity meter found: rows and values per view and column, stretches, the oracle's sample,
what was served. Plain data.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from feature_store.parity.column_diff import TOLERANCE, Lines
from feature_store.parity.coverage import Stretch
from feature_store.parity.reference_check import Checked
from feature_store.parity.served import Served

EXAMPLES_MAX = 5


@dataclass(slots=True)
class Rows:
    """Rows of one view. `missing`: in history, not live; `extra`: live only; `doubled`: twice in
    history. Those three are unexplained.

    `repeated` live rows had less history than the one that counts; `late` rows are missing because
    all their ticks came late; `no_live_job` and `not_backfilled` lie in a stretch in which one side
    has nothing at all, or of a symbol never backfilled.
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
    """One row that is missing or extra: `what`, where and when (µs UTC)."""

    what: str
    view: str
    symbol: str
    event_time_us: int


@dataclass
class Report:
    """Live against history in [from, to) µs (expected: history; got: live), and what else was
    compared; `taken_us` is when.
    """

    from_us: int
    to_us: int
    taken_us: int
    rows: dict[str, Rows] = field(default_factory=dict)
    lines: Lines = field(default_factory=Lines)
    stretches: list[Stretch] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    never_backfilled: list[str] = field(default_factory=list)
    never_live: list[str] = field(
        default_factory=list
    )  # loaded, not streamed: such as synthetic history
    oracle: Checked = field(default_factory=Checked)
    served: Served = field(default_factory=Served)

    @property
    def unexplained(self) -> int:
        """Everything that differs without a cause: above zero something is broken."""
        rows = sum(rows.unexplained for rows in self.rows.values())
        return rows + self.lines.unexplained + self.oracle.unexplained + self.served.unexplained

    def totals(self) -> dict[str, Any]:
        """The few numbers that a monitor keeps."""
        lines = self.lines.values()
        worst = max((line.worst.relative for line in lines if line.worst), default=0.0)
        return {
            "unexplained": self.unexplained,
            "rows_compared": sum(rows.compared for rows in self.rows.values()),
            "values_compared": sum(line.compared for line in lines),
            "values_late": sum(line.late for line in lines),
            "values_warm_up": sum(line.warm_up for line in lines),
            "values_new_column": sum(line.new_column for line in lines),
            "rows_missing": sum(rows.missing for rows in self.rows.values()),
            "rows_extra": sum(rows.extra for rows in self.rows.values()),
            "largest_relative_error": worst if worst < float("inf") else None,
            "oracle_rows": self.oracle.rows,
            "served_records": self.served.compared,
            "from_us": self.from_us,
            "to_us": self.to_us,
            "taken_us": self.taken_us,
        }

    def note(self, example: Example) -> None:
        """Keep the first few rows of each kind by name."""
        if sum(known.what == example.what for known in self.examples) < EXAMPLES_MAX:
            self.examples.append(example)

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "tolerance": TOLERANCE,
            **self.totals(),
            "views": [
                asdict(rows) | {"unexplained": rows.unexplained} for rows in self.rows.values()
            ],
            "features": [line.as_dict() for line in self.lines.values()],
            "stretches": [asdict(stretch) for stretch in self.stretches],
            "examples": [asdict(example) for example in self.examples],
            "never_backfilled": self.never_backfilled,
            "never_live": self.never_live,
            "oracle": dict(_part(self.oracle)),
            "served": dict(_part(self.served)),
        }


def _part(found: Checked | Served) -> Iterator[tuple[str, Any]]:
    yield "unexplained", found.unexplained
    yield from ((name, value) for name, value in vars(found).items() if name != "lines")
    yield "features", [line.as_dict() for line in found.lines.values()]
