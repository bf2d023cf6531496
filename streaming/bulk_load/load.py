"""Bulk load: years of history from files into silver, validated by the same rules as the stream.

1. read a file batch by batch
2. buffer ticks until a commit is large enough
3. day by day, drop ticks that silver contains, and duplicates
4. append the rest in one commit, and rejected rows to silver.dead_letter

The only state is the lakehouse itself: after a kill, or when the same files are loaded again, only
the missing ticks are added.
"""

import io
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.durations import DAY_US
from contracts.progress import Progress, silent
from lakehouse import bulk_append, leases
from lakehouse.leases import Lease
from lakehouse.schemas import SILVER
from lakehouse.tables import Lakehouse
from streaming.bulk_load import rejects
from streaming.bulk_load.dedup import Deduplicator
from streaming.feeds import Batch, Feed, FeedReject
from streaming.feeds.source import GZIP, Source

STEP = "load"
REJECTS_MAX = 1000  # rejected rows in memory, up to 64 KiB each
ZSTD_RATIO = 5  # typical compression of trades as text; used only by the progress bar


@dataclass
class LoadReport:
    """Counts of rows: read = loaded + already + duplicates + rejected.

    `already`: in silver before this load. `skipped`: rows that are not trades, not part of `read`.
    """

    read: int = 0
    loaded: int = 0
    already: int = 0
    duplicates: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    sides_inferred: int = 0
    commits: int = 0
    elapsed_s: float = 0.0

    @property
    def rate(self) -> float:
        """Rows per second of wall time."""
        return self.read / self.elapsed_s if self.elapsed_s else 0.0


def load(
    settings: LakehouseSettings, feed: Feed, now_us: int, progress: Progress = silent
) -> LoadReport:
    """Add every tick of the files to silver once.

    Two loads that read a day before either commits would both write it: the second waits. Raises
    LeaseError when the first still runs after `lease_wait_s`.
    """
    began = time.monotonic()
    Lakehouse(settings).create()
    with leases.lease(settings, leases.LOAD, holder="a load", guarded=(SILVER,)) as held:
        loader = _Loader(settings, now_us, held)
        expected = [rows_expected(source) for source, _ in feed.files]
        total, finished = max(sum(expected), 1), 0
        for file, rows in zip(feed.files, expected, strict=True):
            for read in loader.load_file(Feed((file,), feed.names)):
                progress(STEP, finished + min(read, rows), total)
            finished += rows
        loader.flush(final=True)
        progress(STEP, total, total)
    loader.report.elapsed_s = time.monotonic() - began
    return loader.report


class _Loader:
    """Buffers ticks and rejects in memory until there are enough for a commit."""

    def __init__(self, settings: LakehouseSettings, now_us: int, held: Lease) -> None:
        self.settings = settings
        self.now_us = now_us
        self.held = held
        self.report = LoadReport()
        self.table = Lakehouse(settings).table(SILVER)
        self.deduplicator = Deduplicator(self.table)
        self.buffer: list[pl.DataFrame] = []
        self.rejects: list[FeedReject] = []

    @property
    def rows(self) -> int:
        """Ticks in the buffer."""
        return sum(frame.height for frame in self.buffer)

    def load_file(self, feed: Feed) -> Iterator[int]:
        """Load one file; yields how many of its rows have been read."""
        read = 0
        for batch in feed.batches(self.now_us):
            self._add(batch)
            if self.rows >= self.settings.load_commit_rows or len(self.rejects) >= REJECTS_MAX:
                self.flush(final=False)
            read += batch.items
            yield read

    def _add(self, batch: Batch) -> None:
        self.report.read += batch.items
        self.report.skipped += batch.skipped
        self.report.sides_inferred += batch.sides_inferred
        if batch.rejected:
            reasons = (reject.rejected.reason.value for reject in batch.rejected)
            self.report.rejected += Counter(reasons)
            self.rejects += batch.rejected
        if batch.ticks.height:
            self.buffer.append(batch.ticks)

    def flush(self, *, final: bool) -> None:
        """Commit the buffer.

        Unless `final`, the last of several days stays in the buffer: more of its ticks may follow.
        """
        rejects.append_rejects(self.settings, self.rejects, self.now_us)
        self.rejects = []
        if self.buffer:
            self._commit(final=final)

    def _commit(self, *, final: bool) -> None:
        ticks = pl.concat(self.buffer, rechunk=False).sort(
            "event_time_us", "seq", maintain_order=True
        )
        days = list(_split_days(ticks))
        self.buffer = [] if final or len(days) == 1 else [days.pop()[1]]
        loaded = bulk_append.append_days(
            self.table, ((day, self._deduplicate(day, frame)) for day, frame in days), self.held
        )
        self.report.loaded += loaded
        self.report.commits += loaded > 0

    def _deduplicate(self, day: int, ticks: pl.DataFrame) -> pl.DataFrame:
        result = self.deduplicator.remove_duplicates(day, ticks)
        self.report.already += result.already
        self.report.duplicates += result.duplicates
        return result.fresh


def _split_days(ticks: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    """Sorted ticks as one slice per UTC day."""
    runs = ticks.select((pl.col("event_time_us") // DAY_US).rle()).to_series().struct.unnest()
    start = 0
    for rows, day in runs.select("len", "value").iter_rows():
        yield day, ticks.slice(start, rows)
        start += rows


def rows_expected(source: Source) -> int:
    """Approximate rows of a file, from its size and first lines; only for the progress bar."""
    if source.is_parquet:
        import pyarrow.parquet as pq

        return int(pq.ParquetFile(source.path).metadata.num_rows)
    lines = [line for line in source.head().lines if line]
    return _text_bytes(source) * len(lines) // max(sum(len(line) + 1 for line in lines), 1)


def _text_bytes(source: Source) -> int:
    """Uncompressed size; for zstandard an estimate."""
    size = source.path.stat().st_size
    if source.member:
        with zipfile.ZipFile(source.path) as archive:
            return archive.getinfo(source.member).file_size
    if source.magic.startswith(GZIP):
        return max(_gzip_bytes(source.path), size)
    return size if source.is_plain else size * ZSTD_RATIO


def _gzip_bytes(path: Path) -> int:
    """Uncompressed size, modulo 4 GiB, which is stored in the last four bytes."""
    with path.open("rb") as file:
        file.seek(-4, io.SEEK_END)
        return int.from_bytes(file.read(), "little")
