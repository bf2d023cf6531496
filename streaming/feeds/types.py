"""What a feed is made of: chunks as a format reads them, batches as the producer gets them."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from contracts.tick import Rejected
from streaming.feeds.source import Head, Source

ROW = "_row"


@dataclass(frozen=True)
class Names:
    """What the user said the venue and symbol are; None = take them from the rows or the file
    name."""

    venue: str | None = None
    symbol: str | None = None


@dataclass(frozen=True)
class Chunk:
    """Rows as a format understood them: contract columns it knows (null where a value is broken)
    and the row number `_row`.

    `raw(rows)` gives the original text of those rows; `skipped` counts what is no trade at all
    (quotes, blank lines …).
    """

    frame: pl.DataFrame
    raw: Callable[[Sequence[int]], list[bytes]]
    skipped: Counter[str] = field(default_factory=Counter)
    damage: str = ""  # why the file ends here, when it is cut off


@dataclass(frozen=True)
class FeedReject:
    """A row that is no tick: where it was and why; it goes to the dead-letter topic."""

    origin: str
    row: int
    rejected: Rejected


@dataclass(frozen=True)
class Batch:
    """Accepted ticks (contract columns, in file order) with their row numbers, and what was not
    accepted.
    """

    ticks: pl.DataFrame
    rows: pl.Series
    rejected: list[FeedReject] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    sides_inferred: int = 0

    @property
    def items(self) -> int:
        """Ticks and rejects: what a replay counts as its position."""
        return self.ticks.height + len(self.rejected)


@dataclass(frozen=True)
class Span:
    """First and last event time (µs) of a feed."""

    first_us: int
    last_us: int


class Format(Protocol):
    """One way in which trades lie in files."""

    @property
    def name(self) -> str:
        """As given to --format."""

    @property
    def shape(self) -> str:
        """One line for people: what such a file looks like."""

    @property
    def infer_sides(self) -> bool:
        """Whether unknown aggressors occur and are to be inferred."""

    def recognises(self, head: Head) -> bool:
        """Whether a file that begins so is of this format."""

    def read(self, source: Source, names: Names) -> Iterator[Chunk]:
        """All rows of a file in bounded memory. Raises FeedError only where nothing can be read."""

    def ends(self, source: Source, names: Names) -> Iterator[Chunk]:
        """Enough chunks for the first and last event time, much cheaper than reading all."""
