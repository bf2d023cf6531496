"""Merge files by event time into one stream, with one batch per open file in memory."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from streaming.feeds.types import ROW, Batch

KEY = "_reached"


@dataclass
class Cursor:
    """An open file: rows that were read but not yet yielded, and the newest event time so far.

    `_reached` is the running maximum of event time. Merging by it keeps the rows of a file in order
    even where the event time steps back.
    """

    batches: Iterator[Batch]
    buffer: pl.DataFrame | None = None
    reached_us: int = 0

    def refill(self) -> Batch | None:
        """Read the next batch into the buffer; returns it for its rejects, None at the end."""
        batch = next(self.batches, None)
        if batch is not None and batch.ticks.height:
            running = pl.max_horizontal(
                pl.col("event_time_us").cum_max(), pl.lit(self.reached_us)
            ).alias(KEY)
            self.buffer = batch.ticks.with_columns(running, batch.rows.alias(ROW))
            self.reached_us = self.buffer[KEY][-1]
        return batch

    def take(self, until_us: int) -> pl.DataFrame:
        """Remove and return the buffered rows up to `until_us`."""
        if self.buffer is None or self.buffer[KEY][0] > until_us:
            return pl.DataFrame()
        count = int(self.buffer[KEY].search_sorted(until_us, side="right"))
        rows, rest = self.buffer.head(count), self.buffer.slice(count)
        self.buffer = rest if rest.height else None
        return rows


def merged(files: Sequence[tuple[int, Callable[[], Iterator[Batch]]]]) -> Iterator[Batch]:
    """Batches of all files, given as (first event time, opener).

    A file is opened only when the merge reaches its first event time.
    """
    waiting = deque(sorted(files, key=lambda file: file[0]))
    active: list[Cursor] = []
    while waiting or active:
        while waiting and (
            not active or waiting[0][0] <= min(cursor.reached_us for cursor in active)
        ):
            active.append(Cursor(waiting.popleft()[1]()))
            yield from _fill(active)
        yield from _fill(active)
        frontier = min(
            [cursor.reached_us for cursor in active] + [file[0] for file in list(waiting)[:1]],
            default=0,
        )
        parts = [part for cursor in active if (part := cursor.take(frontier)).height]
        if parts:
            yield _merge_parts(parts)


def _fill(active: list[Cursor]) -> Iterator[Batch]:
    """Fill the buffer of every open file, or close the file; yields rejects and counts at once."""
    for cursor in list(active):
        while cursor.buffer is None:
            batch = cursor.refill()
            if batch is None:
                active.remove(cursor)
                break
            yield Batch(
                batch.ticks.clear(),
                batch.rows.clear(),
                batch.rejected,
                batch.skipped,
                batch.sides_inferred,
            )


def _merge_parts(parts: list[pl.DataFrame]) -> Batch:
    rows = parts[0] if len(parts) == 1 else pl.concat(parts).sort(KEY, maintain_order=True)
    return Batch(rows.drop(KEY, ROW), rows[ROW])
