"""Merge files by event time into one stream, with one batch per open file in memory."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from streaming.feeds.types import ROW, Batch

READ_TO = "_read_to_us"
# First event time of a file, and the function that opens it.
File = tuple[int, Callable[[], Iterator[Batch]]]


@dataclass
class Cursor:
    """An open file: rows that were read but not yet yielded, and the newest event time so far.

    `_read_to_us` is the running maximum of event time. Merging by it keeps the rows of a file in
    order even where the event time steps back.
    """

    batches: Iterator[Batch]
    buffer: pl.DataFrame = field(default_factory=pl.DataFrame)
    read_to_us: int = 0

    def fill(self) -> Iterator[Batch]:
        """Read until the buffer has rows or the file ends; yields rejects and counts at once."""
        while self.buffer.is_empty() and (batch := next(self.batches, None)) is not None:
            if batch.ticks.height:
                self._load(batch)
            yield replace(batch, ticks=batch.ticks.clear(), rows=batch.rows.clear())

    def _load(self, batch: Batch) -> None:
        running = pl.max_horizontal(pl.col("event_time_us").cum_max(), pl.lit(self.read_to_us))
        self.buffer = batch.ticks.with_columns(running.alias(READ_TO), batch.rows.alias(ROW))
        self.read_to_us = self.buffer[READ_TO][-1]

    def take(self, until_us: int) -> pl.DataFrame:
        """Remove and return the buffered rows up to `until_us`."""
        count = int(self.buffer[READ_TO].search_sorted(until_us, side="right"))
        rows, self.buffer = self.buffer.head(count), self.buffer.slice(count)
        return rows


def merge(files: Sequence[File]) -> Iterator[Batch]:
    """Batches of all files. A file is opened only when the merge reaches its first event time."""
    waiting = deque(sorted(files, key=lambda file: file[0]))
    active: list[Cursor] = []
    while waiting or active:
        yield from _open_reached(waiting, active)
        yield from _fill(active)
        yield from _take(active, _frontier_us(waiting, active))


def _open_reached(waiting: deque[File], active: list[Cursor]) -> Iterator[Batch]:
    """Open every file whose first event time is reached; the first file if none is open."""
    while waiting and waiting[0][0] <= min(_read_to_us(active), default=waiting[0][0]):
        active.append(Cursor(waiting.popleft()[1]()))
        yield from _fill(active)


def _fill(active: list[Cursor]) -> Iterator[Batch]:
    """Fill the buffer of every open file, and close the files that have ended."""
    for cursor in active:
        yield from cursor.fill()
    active[:] = [cursor for cursor in active if not cursor.buffer.is_empty()]


def _frontier_us(waiting: deque[File], active: list[Cursor]) -> int:
    """The event time up to which no file can still add a row."""
    return min([*_read_to_us(active), *(first_us for first_us, _ in list(waiting)[:1])], default=0)


def _read_to_us(active: list[Cursor]) -> list[int]:
    return [cursor.read_to_us for cursor in active]


def _take(active: list[Cursor], until_us: int) -> Iterator[Batch]:
    """The buffered rows up to `until_us` as one batch by event time; nothing if there are none."""
    taken = (cursor.take(until_us) for cursor in active)
    parts = [rows for rows in taken if rows.height]
    if parts:
        merged = (
            parts[0] if len(parts) == 1 else pl.concat(parts).sort(READ_TO, maintain_order=True)
        )
        yield Batch(merged.drop(READ_TO, ROW), merged[ROW])
