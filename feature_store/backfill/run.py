"""Backfill: the rendered SQL over silver in Flink batch mode, by chunk, into gold.tick_features.

For each chunk:
1. Digest its inputs; skip it when gold already has it.
2. Flink computes it into a staging table.
3. One commit swaps the staged rows into gold.
4. The ledger records it.

A kill at any point leaves every chunk of gold either old or new, and the next run continues from
there.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Lock

import polars as pl

from contracts.clock import now_us
from contracts.config.groups.flink import FlinkSettings
from contracts.config.settings import Settings
from contracts.durations import DAY_US, MINUTE_US
from contracts.errors import DatasetError, JobError, TickError
from contracts.progress import Progress, silent
from feature_store.backfill import chunks, ledger, staging
from feature_store.backfill.chunks import Chunk, Lookback
from feature_store.backfill.ledger import Ledger
from feature_store.flink import rest as flink_rest
from feature_store.flink.program import Program, Submitter
from feature_store.sql import windows
from feature_store.sql.tiles import TRADE, WHO, SqlView
from lakehouse import tables, tick_scans
from lakehouse.catalog_options import literal
from lakehouse.leases import Lease
from lakehouse.schemas import FEATURE_NAMES, SILVER
from lakehouse.tables import Lakehouse

NAME = "lakehouse-tick backfill"
# Enough for a killed TaskManager. A full disk or a bad row fails every time: then the chunk fails
# instead of loading the cluster until `backfill_timeout_s`.
RESTARTS_MAX = 5


@dataclass(frozen=True, slots=True)
class ChunkSource:
    """What a chunk reads of silver: lookback, symbols (None: all) and snapshot (None: the newest).

    `duplicates`: whether a trade may occur more than once in it.
    """

    lookback: Lookback
    symbols: Sequence[str] | None = None
    snapshot: int | None = None
    duplicates: bool = True


@dataclass
class BackfillReport:
    """The outcome of a backfill.

    `rows` counts written rows; `holes` are days (begin, µs UTC) without ticks, by symbol.
    """

    computed: list[Chunk] = field(default_factory=list)
    unchanged: list[Chunk] = field(default_factory=list)
    failed: dict[Chunk, str] = field(default_factory=dict)
    rows: int = 0
    ticks: int = 0
    holes: dict[str, list[int]] = field(default_factory=dict)


def program(settings: Settings, chunk: Chunk, source: ChunkSource, into: str) -> Program:
    """The Flink program that writes the chunk's features into the table `into`."""
    views = [
        SqlView("windowed_ticks", select_windowed_ticks(source, chunk.to_us)),
        *windows.ladder("batch", duplicates=source.duplicates),
    ]
    inside = f"event_time >= {_timestamp(chunk.from_us)} AND event_time < {_timestamp(chunk.to_us)}"
    insert = tables.insert(
        into,
        FEATURE_NAMES,
        f"SELECT {tables.quote_names(FEATURE_NAMES)} FROM ({windows.union_rows()}) WHERE {inside}",
    )
    options = flink_rest.client_options(settings) | {
        "table.exec.resource.default-parallelism": str(settings.backfill_parallelism),
        "table.optimizer.reuse-optimize-block-with-digest-enabled": "true",
        # Compression would cost more than the disk space it saves for so short a time.
        "table.exec.spill-compression.enabled": "false",
        "restart-strategy.exponential-delay.attempts-before-reset-backoff": str(RESTARTS_MAX),
    }
    catalog = (Lakehouse(settings).flink_catalog(),)
    return Program(
        f"{NAME} {chunk}",
        "batch",
        catalog,
        windows.to_pairs(views),
        (insert,),
        settings.backfill_parallelism,
        options,
    )


def select_windowed_ticks(source: ChunkSource, to_us: int) -> str:
    """SELECT of the silver ticks before `to` µs that a chunk needs."""
    conditions = [f"event_time < {_timestamp(to_us)}", *_conditions_of(source.lookback)]
    if source.symbols is not None:
        conditions.append(_any_of(map(_is, source.symbols)))
    hint = f"/*+ OPTIONS('snapshot-id'='{source.snapshot}') */ " if source.snapshot else ""
    where = " AND ".join(conditions)
    return f"SELECT {WHO}, {TRADE} FROM {tables.CATALOG}.{SILVER} {hint}WHERE {where}"


def _conditions_of(lookback: Lookback) -> Iterator[str]:
    """The oldest time, which prunes files; then, if symbols differ, the time of each."""
    yield f"event_time >= {_timestamp(lookback.first_us)}"
    if lookback.further:
        begins = [
            f"({_is(symbol)} AND event_time >= {_timestamp(us)})" for symbol, us in lookback.further
        ]
        yield _any_of([f"event_time >= {_timestamp(lookback.base_us)}", *begins])


def definition() -> str:
    """Digest of the rendered SQL. A changed definition makes every chunk due again."""
    selects = (
        view.select
        for duplicates in (True, False)
        for view in windows.ladder("batch", duplicates=duplicates)
    )
    text = "\n".join(selects) + windows.union_rows()
    return hashlib.sha256(text.encode()).hexdigest()


def run(
    settings: Settings,
    from_us: int,
    to_us: int,
    progress: Progress = silent,
    symbols: Sequence[str] | None = None,
    chunk_us: int = DAY_US,
    parallel: int = 1,
    *,
    again: bool = False,
) -> BackfillReport:
    """Bring gold's rows with their end in [from, to) µs up to date with silver.

    Chunks that are up to date are skipped, unless `again` is set. A failing chunk is in the report
    and does not stop the others. Raises DatasetError for an impossible range or an unknown symbol,
    LeaseError when another backfill still runs after `lease_wait_s`, JobError when Flink does not
    answer. An exception that ends this
    call, such as Ctrl-C, cancels its Flink jobs; when the client is killed, Flink cancels them.
    """
    lake = Lakehouse(settings)
    lake.create()
    _require_past_range(from_us, to_us)
    if symbols:
        _require_known_symbols(lake, symbols)
    with (
        ledger.exclusive_access(settings, "a backfill") as held,
        _Backfill(settings, symbols, again, held) as backfill,
        _threads(parallel, backfill.stop) as pool,
    ):
        todo = chunks.split(from_us, to_us, chunk_us)
        progress("backfill", 0, len(todo))
        for done, _ in enumerate(pool.map(backfill.update_chunk, todo), start=1):
            progress("backfill", done, len(todo))
        backfill.report.holes = find_holes(backfill.ticks_by_day, from_us, to_us, symbols)
        return backfill.report


def find_holes(
    ticks: pl.DataFrame, from_us: int, to_us: int, symbols: Sequence[str] | None
) -> dict[str, list[int]]:
    """Days in [from, to) without a tick, by symbol: for `symbols`, else for those in `ticks`.

    `ticks` has the columns key and day_us.
    """
    days = pl.int_range(from_us // DAY_US * DAY_US, to_us, DAY_US, eager=True).alias("day_us")
    keys = pl.Series("key", symbols or ticks["key"].unique().sort(), pl.String)
    missing = (
        keys.to_frame()
        .join(days.to_frame(), how="cross")
        .join(ticks, on=["key", "day_us"], how="anti", maintain_order="left")
    )
    return dict(missing.group_by("key", maintain_order=True).agg("day_us").iter_rows())


@contextmanager
def _threads(count: int, stop: Callable[[], None]) -> Iterator[ThreadPoolExecutor]:
    """A pool of `count` threads; an interrupt calls `stop`, which ends what they wait for."""
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        stop()
        raise
    finally:
        pool.shutdown()


class _Backfill:
    """The state of one run: Flink client, ledger, report.

    Threads may call `update_chunk` concurrently.
    """

    def __init__(
        self, settings: Settings, symbols: Sequence[str] | None, again: bool, held: Lease
    ) -> None:
        self.settings, self.symbols, self.again = settings, symbols, again
        self.held = held
        self.lake = Lakehouse(settings)
        self.report = BackfillReport()
        self.ticks_by_day = pl.DataFrame(schema={"key": pl.String, "day_us": pl.Int64})
        self._definition = definition()
        self._lock = Lock()
        self._token = secrets.token_hex(4)
        self._ledger: Ledger = ledger.read_ledger(settings)
        self._flink: Submitter | None = None
        self._stopping = Event()

    def __enter__(self) -> "_Backfill":
        cancel_abandoned(self.settings)
        staging.clear(self.lake)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._flink is not None:
            self._flink.close()
        if kind is not None:
            self.stop()  # a job whose id never arrived may have been submitted meanwhile

    def stop(self) -> None:
        """Cancel this run's Flink jobs; one that is still being planned as soon as it has an id."""
        self._stopping.set()
        # If Flink is down, it cancels them later: see client_options. After a takeover the jobs are
        # those of the next holder.
        with suppress(JobError):
            self.held.require()
            cancel_abandoned(self.settings)

    def update_chunk(self, chunk: Chunk) -> None:
        """Bring one chunk up to date; a failure is recorded, not raised."""
        try:
            self._update(chunk)
        except TickError as error:
            with self._lock:
                hint = f" ({error.hint})" if error.hint else ""
                self.report.failed[chunk] = error.message + hint

    def _update(self, chunk: Chunk) -> None:
        self.held.require()
        minutes = tick_scans.minutes(
            self.lake,
            chunk.from_us - chunks.WINDOW_US - 4 * MINUTE_US,
            chunk.to_us,
            self.symbols,
        )
        lookback = chunks.lookback(self.lake, chunk, minutes["key"].unique().to_list())
        digest = chunks.digest(self.lake, chunk, lookback, self._definition, minutes)
        who = ",".join(sorted(self.symbols)) if self.symbols else "*"
        with self._lock:
            self._count(minutes.filter(pl.col("minute_us") >= chunk.from_us))
            if not self.again and self._ledger.is_done(chunk, who, digest):
                self.report.unchanged.append(chunk)
                return
        rows = self._compute(chunk, lookback, minutes)
        self.held.require()
        with self._lock:
            self._ledger.record(chunk, who, digest)
            self.report.computed.append(chunk)
            self.report.rows += rows

    def _compute(self, chunk: Chunk, lookback: Lookback, minutes: pl.DataFrame) -> int:
        # The token makes the name unique: a job still in flight from a killed run must not find it.
        with staged_table(self.lake, f"c{chunk.from_us // 1_000_000}_{self._token}") as table:
            if not minutes.is_empty():
                source = self._source(chunk, lookback, minutes)
                self._run_job(program(self.settings, chunk, source, table))
            files = staging.staged_files(self.lake, table)
            with self._lock:
                staging.swap(self.lake, files, chunk.from_us, chunk.to_us, self.symbols, self.held)
            return sum(file.record_count for file in files)

    def _run_job(self, job: Program) -> None:
        """Submit a job and wait for its end. Raises JobError when it fails."""
        job_id = self._client().submit(job)
        if self._stopping.is_set():
            flink_rest.cancel(self.settings, job_id)
        flink_rest.wait(self.settings, job_id, self.settings.backfill_timeout_s)

    def _source(self, chunk: Chunk, lookback: Lookback, minutes: pl.DataFrame) -> ChunkSource:
        """What the chunk reads. The search for duplicates and the job read the same snapshot.

        Otherwise a duplicate that arrives in between would count twice.
        """
        current = self.lake.table(SILVER).current_snapshot()
        snapshot = current.snapshot_id if current else None
        duplicates = any(
            tick_scans.has_duplicates(self.lake, parts, symbols, snapshot)
            for parts, symbols in self._slices(chunk, lookback, minutes)
        )
        return ChunkSource(lookback, self.symbols, snapshot, duplicates)

    def _slices(
        self, chunk: Chunk, lookback: Lookback, minutes: pl.DataFrame
    ) -> Iterator[tuple[list[tuple[int, int]], Sequence[str] | None]]:
        """What a chunk reads, in slices with their symbols: the base, then further lookbacks."""
        yield tick_scans.slices(minutes, lookback.base_us, chunk.to_us), self.symbols
        for symbol, from_us in lookback.further:
            earlier = tick_scans.minutes(self.lake, from_us, lookback.base_us, [symbol])
            yield tick_scans.slices(earlier, from_us, lookback.base_us), [symbol]

    def _client(self) -> Submitter:
        with self._lock:
            self._flink = self._flink or Submitter(self.settings)
            return self._flink

    def _count(self, minutes: pl.DataFrame) -> None:
        self.report.ticks += int(minutes["ticks"].sum())
        days = minutes.select("key", day_us=pl.col("minute_us") // DAY_US * DAY_US).unique()
        self.ticks_by_day = pl.concat([self.ticks_by_day, days])


@contextmanager
def staged_table(lake: Lakehouse, name: str) -> Iterator[str]:
    """A staging table for the duration of one chunk."""
    table = staging.stage(lake, name)
    try:
        yield table
    finally:
        staging.drop(lake, table)


def cancel_abandoned(settings: FlinkSettings) -> None:
    """Cancel the running jobs of backfills: of a killed run, or of one that stops.

    Call it under the lock. Raises JobError when Flink does not answer.
    """
    for job in flink_rest.jobs(settings):
        if job["name"].startswith(NAME) and job["state"] not in flink_rest.ENDED:
            flink_rest.cancel(settings, job["jid"])


def _require_past_range(from_us: int, to_us: int) -> None:
    if from_us >= to_us:
        raise DatasetError(
            f"the range is empty: --from {_day(from_us)} is not before --to {_day(to_us)}",
            "pass the earlier time as --from",
        )
    if to_us > now_us() + DAY_US:
        raise DatasetError(
            f"--to {_day(to_us)} is in the future",
            "a backfill computes the past: pass an earlier --to",
        )


def _require_known_symbols(lake: Lakehouse, symbols: Sequence[str]) -> None:
    available = tick_scans.symbols(lake)
    if unknown := set(symbols).difference(available):
        raise DatasetError(
            f"the lakehouse has no tick of {', '.join(sorted(unknown))}",
            f"--symbols can be: {', '.join(available[:10]) or 'none, the lakehouse is empty'}",
        )


def _is(symbol: str) -> str:
    venue, _, name = symbol.partition(":")
    return f"(venue = {literal(venue)} AND symbol = {literal(name)})"


def _any_of(conditions: Iterable[str]) -> str:
    return f"({' OR '.join(conditions)})"


def _day(us: int) -> str:
    return str(Chunk(us, us)).partition(" – ")[0]


def _timestamp(us: int) -> str:
    return f"TO_TIMESTAMP_LTZ({us // 1000}, 3)"
