"""History of years without the stream: files of trades, judged by the same rules, straight into
silver.

1. read a file batch by batch; 2. hold ticks until a commit is worth it; 3. day by day, drop what
   silver holds and copies;
4. append the rest in one commit, and rejected rows to silver.dead_letter. Nothing but the lake
   remembers what was loaded: after a kill, or a second time, the same files add exactly what is
   missing.
"""

import struct
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import polars as pl

from contracts.config.settings import Settings
from contracts.errors import FeedError
from contracts.files import locked
from lakehouse import bulk_append, tables
from lakehouse.schemas import SILVER
from streaming.bulk_load import rejects
from streaming.bulk_load.dedup import DAY_US, Known
from streaming.feeds import Batch, Feed, FeedReject
from streaming.feeds.source import GZIP, Source

STEP = "load"
LETTERS_MAX = 1000  # rejected rows held in memory; one may have 64 KiB
ZSTD_RATIO = 5  # what text of trades shrinks to; only the bar needs it

Progress = Callable[[str, int, int], None]


@dataclass
class Loaded:
    """What became of the rows: read = loaded + already + duplicates + rejected. `skipped` rows are
    no trades at all.
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
        """Rows per second by the clock."""
        return self.read / self.elapsed_s if self.elapsed_s else 0.0


def silent(_step: str, _done: int, _total: int) -> None:
    """No display."""


def load(settings: Settings, feed: Feed, now_us: int, progress: Progress = silent) -> Loaded:
    """Bring every tick of the files into silver once. Raises FeedError while another load runs."""
    began = time.monotonic()
    tables.create(settings)
    with _alone(settings):
        loader = _Loader(settings, now_us)
        expected = [rows_expected(source) for source, _ in feed.files]
        total, before = max(sum(expected), 1), 0
        for file, rows in zip(feed.files, expected, strict=True):
            for seen in loader.file(Feed((file,), feed.names)):
                progress(STEP, before + min(seen, rows), total)
            before += rows
        loader.flush(whole=True)
        progress(STEP, total, total)
    loader.done.elapsed_s = time.monotonic() - began
    return loader.done


class _Loader:
    """Ticks on their way: held in memory until there are enough of them for a commit."""

    def __init__(self, settings: Settings, now_us: int) -> None:
        self.settings, self.now_us, self.done = settings, now_us, Loaded()
        self.table = tables.catalog(settings).load_table(SILVER)
        self.known = Known(self.table)
        self.held: list[pl.DataFrame] = []
        self.rows = 0
        self.letters: list[FeedReject] = []

    def file(self, feed: Feed) -> Iterator[int]:
        """Load one file; yields how many of its rows have been read."""
        seen = 0
        for batch in feed.batches(self.now_us):
            self._take(batch)
            if self.rows >= self.settings.load_commit_rows or len(self.letters) >= LETTERS_MAX:
                self.flush(whole=False)
            seen += batch.items
            yield seen

    def _take(self, batch: Batch) -> None:
        self.done.read += batch.items
        self.done.skipped += batch.skipped
        self.done.sides_inferred += batch.sides_inferred
        if batch.rejected:
            self.done.rejected += Counter(reject.rejected.reason.value for reject in batch.rejected)
            self.letters += batch.rejected
        if batch.ticks.height:
            self.held.append(batch.ticks)
            self.rows += batch.ticks.height

    def flush(self, *, whole: bool) -> None:
        """Commit what is held; unless `whole`, the last day waits for the rest of it, if there is
        another day to commit.
        """
        rejects.bury(self.settings, self.letters, self.now_us)
        self.letters = []
        if not self.held:
            return
        ticks = pl.concat(self.held, rechunk=False).sort(
            "event_time_us", "seq", maintain_order=True
        )
        parts = list(_days(ticks))
        self.held = [] if whole or len(parts) == 1 else [parts.pop()[1]]
        self.rows = sum(frame.height for frame in self.held)
        loaded = bulk_append.append_days(
            self.table, ((day, self._fresh(day, frame)) for day, frame in parts)
        )
        self.done.loaded += loaded
        self.done.commits += loaded > 0

    def _fresh(self, day: int, ticks: pl.DataFrame) -> pl.DataFrame:
        part = self.known.sort_out(day, ticks)
        self.done.already += part.already
        self.done.duplicates += part.duplicates
        return part.fresh


def _days(ticks: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    """Sorted ticks by UTC day, as slices."""
    runs = ticks.select((pl.col("event_time_us") // DAY_US).rle()).to_series().struct.unnest()
    start = 0
    for rows, day in runs.select("len", "value").iter_rows():
        yield day, ticks.slice(start, rows)
        start += rows


def rows_expected(source: Source) -> int:
    """About how many rows a file has, from its size and its first lines; only for the bar."""
    if source.is_parquet:
        import pyarrow.parquet as pq

        return int(pq.ParquetFile(source.path).metadata.num_rows)
    lines = [line for line in source.head().lines if line]
    return _bytes(source) * len(lines) // max(sum(len(line) + 1 for line in lines), 1)


def _bytes(source: Source) -> int:
    """Size of the text; that of gzip is written at its end, modulo 4 GiB."""
    size = source.path.stat().st_size
    if source.member:
        with zipfile.ZipFile(source.path) as archive:
            return archive.getinfo(source.member).file_size
    if source.magic.startswith(GZIP):
        with source.path.open("rb") as file:
            file.seek(max(size - 4, 0))
            last = file.read(4)
        return max(int(struct.unpack("<I", last)[0]), size) if len(last) == 4 else size
    return size if source.is_plain else size * ZSTD_RATIO


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One load at a time: two that read the same day before either commits would both write it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(settings.root / "lakehouse" / "load.lock", wait=False))
        except BlockingIOError as error:
            message = "another `tick load` is running on this lakehouse"
            raise FeedError(message, "wait until it has ended") from error
        yield
