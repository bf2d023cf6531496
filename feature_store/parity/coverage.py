"""Stretches of time in which one side has no row of any symbol: no live job ran, or nothing was
backfilled. Pure.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

NO_LIVE_JOB, NOT_BACKFILLED = "no live job", "not yet backfilled"
LENGTH_US_MIN, TIMES_MIN = (
    60_000_000,
    3,
)  # shorter than a minute, or fewer row times: rows that are missing, not a side


@dataclass(slots=True)
class Stretch:
    """The time between two rows of a side (µs UTC, both exclusive), with `rows` of the other one
    inside.
    """

    kind: str
    from_us: int
    to_us: int
    rows: int = 0


class Absences:
    """The stretches of one side, found in slices of time in order: `take` each, then `end`."""

    def __init__(self, kind: str, from_us: int) -> None:
        self.kind, self.found = kind, list[Stretch]()
        self._present_us, self._first_us, self._last_us, self._times = from_us - 1, 0, 0, 0

    def take(self, times: pl.DataFrame) -> None:
        """`times`: event_time_us, ascending and distinct, of either side; `present`: whether this
        side has a row then.
        """
        runs = times.group_by(pl.col("present").rle_id().alias("run"), maintain_order=True).agg(
            pl.col("present").first(),
            first=pl.col("event_time_us").min(),
            last=pl.col("event_time_us").max(),
            count=pl.len(),
        )
        for _, present, first_us, last_us, count in runs.iter_rows():
            if present:
                self._close(first_us)
                self._present_us = last_us
            else:
                self._first_us = self._first_us if self._times else first_us
                self._last_us, self._times = last_us, self._times + count

    def end(self, to_us: int) -> "Absences":
        """There is nothing after `to` µs."""
        self._close(to_us)
        return self

    def inside(self, times_us: pl.Series) -> pl.Series:
        """Which times lie in a stretch; they are counted as its rows."""
        if not self.found or times_us.is_empty():
            return pl.Series([False] * len(times_us), dtype=pl.Boolean)
        times, starts = times_us.to_numpy(), np.array([stretch.from_us for stretch in self.found])
        at = np.searchsorted(starts, times, side="left") - 1  # the last one that begins before
        within = (at >= 0) & (times < np.array([stretch.to_us for stretch in self.found])[at])
        for index, rows in zip(*np.unique(at[within], return_counts=True), strict=True):
            self.found[index].rows += int(rows)
        return pl.Series(within)

    def _close(self, next_us: int) -> None:
        if self._times >= TIMES_MIN and next_us - self._present_us > LENGTH_US_MIN:
            self.found.append(Stretch(self.kind, self._present_us, next_us))
        self._times = 0
