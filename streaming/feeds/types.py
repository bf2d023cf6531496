"""Types of a feed: chunks as a format reads them, batches after validation."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import polars as pl

from contracts.tick import Rejected
from streaming.feeds.source import Head, Source

ROW = "_row"


@dataclass(frozen=True)
class Names:
    """Venue and symbol given by the user; None = take them from the rows or the file name."""

    venue: str | None = None
    symbol: str | None = None


@dataclass(frozen=True)
class Chunk:
    """Parsed rows: the contract columns that the format has, and the row number `_row`.

    Broken values are null. `raw(rows)` returns the original text of these rows. `skipped` counts
    lines that are not trades (quotes, blank lines, …).
    """

    frame: pl.DataFrame
    raw: Callable[[Sequence[int]], list[bytes]]
    skipped: Counter[str] = field(default_factory=Counter)
    damage: str = ""  # why the file ends here, if it is truncated

    @classmethod
    def early_end(cls, row: int, error: Exception) -> "Chunk":
        """The last chunk of a damaged file: `row` is the first one that cannot be read."""
        return cls(
            pl.DataFrame({ROW: [row]}),
            lambda rows: [b""] * len(rows),
            damage=f"the file ends early: {error}",
        )


@dataclass(frozen=True)
class FeedReject:
    """A rejected row: its origin and reason. Rejects go to the dead-letter topic."""

    origin: str
    row: int
    rejected: Rejected


@dataclass(frozen=True)
class Batch:
    """Accepted ticks (contract columns, in file order) with their row numbers, and the rejects."""

    ticks: pl.DataFrame
    rows: pl.Series
    rejected: list[FeedReject] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    sides_inferred: int = 0

    @property
    def items(self) -> int:
        """Number of ticks and rejects, the unit of a replay's position."""
        return self.ticks.height + len(self.rejected)

    def without_first(self, items: int) -> "Batch":
        """The batch without its first `items`; its ticks count before its rejects."""
        return replace(
            self,
            ticks=self.ticks.slice(items),
            rows=self.rows.slice(items),
            rejected=self.rejected[max(items - self.ticks.height, 0) :],
        )


@dataclass(frozen=True)
class Span:
    """First and last event time (µs) of a feed."""

    first_us: int
    last_us: int

    @classmethod
    def cover(cls, spans: Iterable["Span"]) -> "Span | None":
        """The span from the beginning of the first to the end of the last; None without any."""
        known = list(spans)
        if not known:
            return None
        return cls(min(span.first_us for span in known), max(span.last_us for span in known))


class Format(Protocol):
    """A file format of trades."""

    @property
    def name(self) -> str:
        """The value of --format."""

    @property
    def shape(self) -> str:
        """One line that describes such a file to a user."""

    @property
    def infer_sides(self) -> bool:
        """Whether the aggressor can be unknown and must then be inferred."""

    def recognises(self, head: Head) -> bool:
        """Whether a file with this beginning has this format."""

    def read(self, source: Source, names: Names) -> Iterator[Chunk]:
        """All rows of a file in bounded memory. Raises FeedError only if nothing can be read."""

    def ends(self, source: Source, names: Names) -> Iterator[Chunk]:
        """Chunks that contain the first and last event time, without reading the whole file."""
