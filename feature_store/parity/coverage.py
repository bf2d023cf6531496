"""Coverage gaps: times in which one side has no row of any symbol. Pure.

Either no live job was running, or nothing was backfilled.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

NO_LIVE_JOB, NOT_BACKFILLED = "no live job", "not yet backfilled"
# Anything shorter than a minute, or with fewer row times, counts as missing rows, not as a gap.
LENGTH_US_MIN = 60_000_000
TIMES_MIN = 3


@dataclass(slots=True)
class CoverageGap:
    """The time between two rows of a side (µs UTC, both exclusive).

    `rows` counts the other side's rows in it.
    """

    kind: str
    from_us: int
    to_us: int
    rows: int = 0


class CoverageGaps:
    """The coverage gaps of one side, found in slices in order of time: `take` each, then `end`."""

    def __init__(self, kind: str, from_us: int) -> None:
        self.kind = kind
        self.gaps: list[CoverageGap] = []
        self._present_us = from_us - 1
        self._times = 0  # row times of the other side since then

    def take(self, times: pl.DataFrame) -> None:
        """Take in a slice.

        `times`: event_time_us, ascending and distinct, of either side, and `present`: whether this
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
                self._times += count

    def end(self, to_us: int) -> "CoverageGaps":
        """Close the last gap at `to` µs."""
        self._close(to_us)
        return self

    def inside(self, times_us: pl.Series) -> pl.Series:
        """Which times are in a gap; they are counted as its rows."""
        if not self.gaps or times_us.is_empty():
            return pl.Series([False] * len(times_us), dtype=pl.Boolean)
        times, starts = times_us.to_numpy(), np.array([gap.from_us for gap in self.gaps])
        at = np.searchsorted(starts, times, side="left") - 1  # the last gap that begins before
        within = (at >= 0) & (times < np.array([gap.to_us for gap in self.gaps])[at])
        for index, rows in zip(*np.unique(at[within], return_counts=True), strict=True):
            self.gaps[index].rows += int(rows)
        return pl.Series(within)

    def _close(self, next_us: int) -> None:
        if self._times >= TIMES_MIN and next_us - self._present_us > LENGTH_US_MIN:
            self.gaps.append(CoverageGap(self.kind, self._present_us, next_us))
        self._times = 0
