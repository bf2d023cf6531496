"""History: the same rendered SQL over silver in Flink batch mode, chunk by chunk, into
gold.tick_features.

Each chunk: 1. what it depends on, and whether gold has it already  2. Flink computes it into a
staging table  3. one commit swaps it in  4. the ledger notes it. A kill anywhere leaves every chunk
of gold either old or new, and the next run goes on from there.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Lock

import polars as pl

from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.errors import DatasetError, JobError, TickError
from feature_store.backfill import chunks, ledger, staging
from feature_store.backfill.chunks import DAY_US, Chunk, Reach
from feature_store.backfill.ledger import Ledger
from feature_store.flink import rest as flink_rest
from feature_store.flink.program import Program, Submitter
from feature_store.sql import windows
from feature_store.sql.tiles import TRADE, WHO, View
from lakehouse import tables, tick_scans
from lakehouse.catalog_options import literal
from lakehouse.schemas import FEATURE_NAMES, SILVER

NAME = "lakehouse-tick backfill"
# Enough for a TaskManager that was killed. A full disk or a bad row fails every time: the chunk
# then fails, instead of loading the cluster until `backfill_timeout_s`.
RESTARTS_MAX = 5
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of silver a chunk reads: how far back, whose ticks, which snapshot (None: the newest);
    whether a trade may lie twice in it.
    """

    reach: Reach
    symbols: Sequence[str] | None = None
    snapshot: int | None = None
    copies: bool = True


@dataclass
class Report:
    """What a backfill did. `rows` were written; `holes` are days (begin, µs UTC) without any tick
    of a symbol, by symbol.
    """

    computed: list[Chunk] = field(default_factory=list)
    unchanged: list[Chunk] = field(default_factory=list)
    failed: dict[Chunk, str] = field(default_factory=dict)
    rows: int = 0
    ticks: int = 0
    holes: dict[str, list[int]] = field(default_factory=dict)


def program(settings: Settings, chunk: Chunk, what: Wanted, into: str) -> Program:
    """Features with row end in [from, to) µs of the chunk, into the table `into`."""
    views = [
        View("accepted", accepted(what, chunk.to_us)),
        *windows.ladder("batch", copies=what.copies),
    ]
    wanted = f"event_time >= {_timestamp(chunk.from_us)} AND event_time < {_timestamp(chunk.to_us)}"
    insert = tables.insert(
        into,
        FEATURE_NAMES,
        f"SELECT {tables.quoted(FEATURE_NAMES)} FROM ({windows.union_rows()}) WHERE {wanted}",
    )
    options = flink_rest.client_options(settings) | {
        "table.exec.resource.default-parallelism": str(settings.backfill_parallelism),
        "table.optimizer.reuse-optimize-block-with-digest-enabled": "true",
        # Costs more than the disk it saves for so short a time.
        "table.exec.spill-compression.enabled": "false",
        "restart-strategy.exponential-delay.attempts-before-reset-backoff": str(RESTARTS_MAX),
    }
    catalog = (tables.flink_catalog(settings),)
    return Program(
        f"{NAME} {chunk}",
        "batch",
        catalog,
        windows.named(views),
        (insert,),
        settings.backfill_parallelism,
        options,
    )


def accepted(what: Wanted, to_us: int) -> str:
    """SELECT of the silver ticks before `to` µs that a chunk needs."""
    reach, symbols = what.reach, what.symbols
    wanted = [f"event_time < {_timestamp(to_us)}", f"event_time >= {_timestamp(reach.first_us)}"]
    if reach.further:
        gaps = [
            f"({_is(symbol)} AND event_time >= {_timestamp(us)})" for symbol, us in reach.further
        ]
        wanted.append(f"({' OR '.join([f'event_time >= {_timestamp(reach.base_us)}', *gaps])})")
    if symbols is not None:
        wanted.append(f"({' OR '.join(map(_is, symbols))})")
    pinned = f"/*+ OPTIONS('snapshot-id'='{what.snapshot}') */ " if what.snapshot else ""
    return (
        f"SELECT {WHO}, {TRADE} FROM {tables.CATALOG}.{SILVER} {pinned}WHERE {' AND '.join(wanted)}"
    )


def definition() -> str:
    """Digest of the rendered SQL: a changed definition makes every chunk due again."""
    both = (
        view.select for copies in (True, False) for view in windows.ladder("batch", copies=copies)
    )
    text = "\n".join(both) + windows.union_rows()
    return hashlib.sha256(text.encode()).hexdigest()


def silent(_step: str, _done: int, _total: int) -> None:
    """No display."""


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
) -> Report:
    """Bring gold's rows with their end in [from, to) µs up to date with silver; what stands already
    is not computed `again`.

    Raises DatasetError for an impossible range or an unknown symbol, JobError when another backfill
    runs or Flink is away. A chunk that fails is in the report, and does not stop the others. An
    exception that ends this call, such as Ctrl-C, cancels its Flink jobs; Flink cancels those of a
    client that was killed.
    """
    tables.create(settings)
    _possible(settings, from_us, to_us, symbols)
    with (
        ledger.alone(settings, "a backfill"),
        _Work(settings, symbols, again) as work,
        _threads(parallel, work.stop) as pool,
    ):
        todo = chunks.split(from_us, to_us, chunk_us)
        progress("backfill", 0, len(todo))
        for done, _ in enumerate(pool.map(work.chunk, todo), start=1):
            progress("backfill", done, len(todo))
        work.report.holes = holes(work.ticks_by_day, from_us, to_us, symbols)
        return work.report


def holes(
    ticks: pl.DataFrame, from_us: int, to_us: int, symbols: Sequence[str] | None
) -> dict[str, list[int]]:
    """Days in [from, to) without a tick, by symbol: those asked for, else those seen. `ticks`: key,
    day_us.
    """
    every = range(from_us // DAY_US * DAY_US, to_us, DAY_US)
    seen = set(ticks.select("key", "day_us").iter_rows())
    missing = {
        key: [day for day in every if (key, day) not in seen]
        for key in symbols or sorted(ticks["key"].unique())
    }
    return {key: gaps for key, gaps in missing.items() if gaps}


@contextmanager
def _threads(count: int, stop: Callable[[], None]) -> Iterator[ThreadPoolExecutor]:
    """`count` threads; an interrupt calls `stop`, which ends what they wait for."""
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        stop()
        raise
    finally:
        pool.shutdown()


class _Work:
    """The state of one run: a Flink client, the ledger and the report; `chunk` may be called by
    several threads.
    """

    def __init__(self, settings: Settings, symbols: Sequence[str] | None, again: bool) -> None:  # noqa: FBT001
        self.settings, self.symbols, self.again = settings, symbols, again
        self.report, self.ticks_by_day = (
            Report(),
            pl.DataFrame(schema={"key": pl.String, "day_us": pl.Int64}),
        )
        self._definition, self._alone, self._token = definition(), Lock(), secrets.token_hex(4)
        self._ledger: Ledger = ledger.read(settings)
        self._flink: Submitter | None = None
        self._stopping = Event()

    def __enter__(self) -> "_Work":
        cancel_abandoned(self.settings)
        staging.clear(self.settings)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._flink is not None:
            self._flink.close()
        if kind is not None:
            self.stop()  # a job whose id we never learnt may have been submitted meanwhile

    def stop(self) -> None:
        """Cancel the Flink jobs of this run; one that is being planned as soon as it has an id."""
        self._stopping.set()
        with suppress(JobError):  # Flink does not answer; it cancels them by itself: client_options
            cancel_abandoned(self.settings)

    def chunk(self, chunk: Chunk) -> None:
        """Bring one chunk up to date; a failure is noted, not raised."""
        try:
            self._bring(chunk)
        except TickError as error:
            with self._alone:
                self.report.failed[chunk] = (
                    f"{error.message} ({error.hint})" if error.hint else error.message
                )

    def _bring(self, chunk: Chunk) -> None:
        minutes = tick_scans.minutes(
            self.settings,
            chunk.from_us - chunks.WINDOW_US - 4 * tick_scans.MINUTE_US,
            chunk.to_us,
            self.symbols,
        )
        reach = chunks.reach(self.settings, chunk, minutes["key"].unique().to_list())
        digest = chunks.digest(self.settings, chunk, reach, self._definition, minutes)
        who = ",".join(sorted(self.symbols)) if self.symbols else "*"
        with self._alone:
            self._count(minutes.filter(pl.col("minute_us") >= chunk.from_us))
            if not self.again and self._ledger.is_done(chunk, who, digest):
                self.report.unchanged.append(chunk)
                return
        rows = self._compute(chunk, reach, minutes)
        with self._alone:
            self._ledger.note(chunk, who, digest)
            self.report.computed.append(chunk)
            self.report.rows += rows

    def _compute(self, chunk: Chunk, reach: Reach, minutes: pl.DataFrame) -> int:
        # A name of this run: a job that a killed run still had on its way must not find our table.
        with staged_table(self.settings, f"c{chunk.from_us // 1_000_000}_{self._token}") as table:
            if not minutes.is_empty():
                job_id = self._client().submit(
                    program(self.settings, chunk, self._wanted(chunk, reach, minutes), table)
                )
                if self._stopping.is_set():
                    flink_rest.cancel(self.settings, job_id)
                flink_rest.wait(self.settings, job_id, self.settings.backfill_timeout_s)
            files = staging.staged(self.settings, table)
            with self._alone:
                staging.swap(self.settings, files, chunk.from_us, chunk.to_us, self.symbols)
            return sum(file.record_count for file in files)

    def _wanted(self, chunk: Chunk, reach: Reach, minutes: pl.DataFrame) -> Wanted:
        """The look for copies and the job read the same snapshot: a copy that comes between them
        would count twice.
        """
        current = tables.catalog(self.settings).load_table(SILVER).current_snapshot()
        snapshot = current.snapshot_id if current else None
        looks = self._looks(chunk, reach, minutes)
        copies = any(
            tick_scans.has_copies(self.settings, parts, symbols, snapshot)
            for parts, symbols in looks
        )
        return Wanted(reach, self.symbols, snapshot, copies)

    def _looks(
        self, chunk: Chunk, reach: Reach, minutes: pl.DataFrame
    ) -> Iterator[tuple[list[tuple[int, int]], Sequence[str] | None]]:
        """What a chunk reads, in slices, and of whom: all that is asked for, then what lies further
        back of single symbols.
        """
        yield tick_scans.slices(minutes, reach.base_us, chunk.to_us), self.symbols
        for symbol, from_us in reach.further:
            counted = tick_scans.minutes(self.settings, from_us, reach.base_us, [symbol])
            yield tick_scans.slices(counted, from_us, reach.base_us), [symbol]

    def _client(self) -> Submitter:
        with self._alone:
            self._flink = self._flink or Submitter(self.settings)
            return self._flink

    def _count(self, minutes: pl.DataFrame) -> None:
        self.report.ticks += int(minutes["ticks"].sum())
        days = minutes.select("key", day_us=pl.col("minute_us") // DAY_US * DAY_US).unique()
        self.ticks_by_day = pl.concat([self.ticks_by_day, days])


@contextmanager
def staged_table(settings: Settings, name: str) -> Iterator[str]:
    """A staging table for as long as one chunk needs it."""
    table = staging.stage(settings, name)
    try:
        yield table
    finally:
        staging.drop(settings, table)


def cancel_abandoned(settings: Settings) -> None:
    """Cancel the jobs of backfills that have not ended: of a killed run, or of one that stops.

    Call it under the lock. Raises JobError when Flink does not answer.
    """
    for job in flink_rest.jobs(settings):
        if job["name"].startswith(NAME) and job["state"] not in flink_rest.ENDED:
            flink_rest.cancel(settings, job["jid"])


def _possible(settings: Settings, from_us: int, to_us: int, symbols: Sequence[str] | None) -> None:
    if from_us >= to_us:
        raise DatasetError(
            f"the range is empty: --from {_day(from_us)} is not before --to {_day(to_us)}",
            "give the older moment first",
        )
    if to_us > now_us() + DAY_US:
        raise DatasetError(
            f"--to {_day(to_us)} lies in the future",
            "a backfill computes what has happened: give an earlier --to",
        )
    every = tick_scans.symbols(settings) if symbols else []
    if unknown := set(symbols or ()) - set(every):
        raise DatasetError(
            f"no tick of {', '.join(sorted(unknown))} is in the lakehouse",
            f"known: {', '.join(every[:10]) or 'none'}",
        )


def _is(symbol: str) -> str:
    venue, _, name = symbol.partition(":")
    return f"(venue = {literal(venue)} AND symbol = {literal(name)})"


def _day(us: int) -> str:
    return str(Chunk(us, us)).partition(" – ")[0]


def _timestamp(us: int) -> str:
    return f"TO_TIMESTAMP_LTZ({us // 1000}, 3)"
