"""A backfill by chunks yields the rows of one long run, even if killed or over gaps."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.durations import DAY_US
from contracts.errors import DatasetError, JobError
from contracts.windows import LEVELS
from feature_store.backfill import ledger, staging
from feature_store.backfill import run as backfill
from feature_store.backfill.chunks import Chunk, Lookback
from feature_store.flink import program as flink
from feature_store.flink import rest as flink_rest
from feature_store.flink.program import Program
from lakehouse import tables, tick_scans
from lakehouse.schemas import GOLD
from lakehouse.tables import Lakehouse
from streaming.synthetic.market import FIXTURE, Market, generate
from tests.integration.conftest import WAIT_S, eventually

pytestmark = pytest.mark.integration
START_US = 1_709_078_400_000_000  # 2024-02-28: a leap day inside
DAYS = 2
HOUR_US = DAY_US // 24
CHUNK_US = 20 * HOUR_US
CLIENT_TIMEOUT_S = 15
CANCELLED_S = 150.0  # Flink looks for silent clients once a minute, and the machine may be busy
AAA, THIN, LONE = "HIST:AAAUSD", "HIST:BBBUSD", "HIST:CCCUSD"


@pytest.fixture(scope="module")
def history(platform: Settings) -> Settings:
    """Two days of three symbols: complete, with a night and many minutes missing, with one tick."""
    Lakehouse(platform).create()
    ticks = pl.concat(generate(FIXTURE, START_US, DAYS * 86_400, Market(FIXTURE, START_US)))
    hour = (pl.col("event_time_us") - START_US) // HOUR_US
    thin = (pl.col("symbol") == "BBBUSD") & (
        hour.is_between(15, 30) | (pl.col("event_time_us") // 60_000_000 % 7 > 1)
    )
    lone = pl.col("symbol").is_in(["AAAUSD", "BBBUSD"]).not_()
    kept = pl.concat([ticks.filter(~thin & ~lone), ticks.filter(lone).head(1)])
    Lakehouse(platform).append_ticks(
        kept.with_columns(venue=pl.lit("HIST")).sort("event_time_us", "seq")
    )
    return platform


@pytest.fixture(scope="module")
def whole(history: Settings) -> pl.DataFrame:
    """The rows of one run over everything."""
    done = backfill.run(
        history, START_US, START_US + DAYS * DAY_US, chunk_us=400 * DAY_US, again=True
    )
    assert (len(done.computed), done.failed) == (1, {})
    return rows(history)


def rows(settings: Settings) -> pl.DataFrame:
    scan = (
        Lakehouse(settings)
        .table(GOLD)
        .scan(row_filter=tables.between(START_US, START_US + DAYS * DAY_US))
    )
    return (
        pl.from_arrow(scan.to_arrow())
        .filter(pl.col("symbol").str.starts_with("HIST:"))
        .sort("view", "symbol", "event_time")
    )


def test_chunks_make_the_same_rows_as_one_run(history: Settings, whole: pl.DataFrame) -> None:
    assert whole["view"].unique().sort().to_list() == sorted(level.view for level in LEVELS)
    done = backfill.run(
        history, START_US, START_US + DAYS * DAY_US, chunk_us=CHUNK_US, parallel=2, again=True
    )
    assert done.failed == {} and len(done.computed) == 3
    assert_frame_equal(rows(history), whole, check_exact=True)
    assert done.rows == len(whole)
    assert done.holes == {LONE: [START_US + DAY_US]}


def test_what_stands_is_left_and_other_symbols_stay(history: Settings, whole: pl.DataFrame) -> None:
    second = backfill.run(history, START_US, START_US + DAYS * DAY_US, chunk_us=CHUNK_US)
    assert (second.computed, len(second.unchanged)) == ([], 3)
    before = Lakehouse(history).snapshot_ids()[GOLD]
    only = backfill.run(history, START_US, START_US + DAY_US, symbols=[THIN])
    assert len(only.computed) == 1 and before != Lakehouse(history).snapshot_ids()[GOLD]
    assert_frame_equal(rows(history), whole, check_exact=True)


def test_a_job_that_fails_every_time_ends(platform: Settings) -> None:
    chunk = Chunk(START_US, START_US + DAY_US)
    options = backfill.program(
        platform, chunk, backfill.ChunkSource(Lookback(START_US)), "lakehouse.none"
    ).options
    source = "CREATE TABLE numbers (n BIGINT) WITH ('connector'='datagen', 'number-of-rows'='10')"
    sink = "CREATE TABLE nothing (n BIGINT) WITH ('connector'='blackhole')"
    insert = "INSERT INTO nothing SELECT 1 / (n - n) FROM numbers"
    failing = Program("fails every time", "batch", (source, sink), (), (insert,), 1, options)
    job_id = flink.submit(platform, failing)
    with pytest.raises(JobError, match=r"(?s)ended FAILED:.*/ by zero"):
        flink_rest.wait(platform, job_id, 60)


def client(settings: Settings) -> subprocess.Popen[bytes]:
    """`tick backfill` over the history, as a process."""
    command = [
        sys.executable,
        "-m",
        "cli.main",
        "backfill",
        "--from",
        "2024-02-28",
        "--to",
        "2024-03-01",
        "--chunk",
        "12h",
        "--again",
    ]
    names = ("home", "cache", "flink_port", "kafka_port", "redis_port")
    env = os.environ | {f"TICK_{name.upper()}": str(getattr(settings, name)) for name in names}
    env["TICK_CLIENT_TIMEOUT_S"] = str(CLIENT_TIMEOUT_S)
    env["TICK_LEASE_S"] = "3"  # how long the run after a kill -9 waits
    with default_signals():
        return subprocess.Popen(
            command, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )


@contextmanager
def default_signals() -> Iterator[None]:
    """Restore default signals: children inherit that a background test ignores Ctrl-C."""
    numbers = (signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_slots(settings: Settings) -> int:
    return int(flink_rest.call(settings, "/overview")["slots-available"])


@pytest.fixture
def full_cluster(history: Settings) -> Iterator[Settings]:
    """Occupy every free slot with another job, so that a job submitted now waits indefinitely.

    Every slot is free again afterwards.
    """
    slots = free_slots(history)
    numbers = "CREATE TABLE numbers (n INT) WITH ('connector' = 'datagen', 'rows-per-second' = '1')"
    nowhere = "CREATE TABLE nowhere (n INT) WITH ('connector' = 'blackhole')"
    insert = ("INSERT INTO nowhere SELECT n FROM numbers",)
    program = flink.Program("occupant", "stream", (numbers, nowhere), (), insert, slots)
    occupant = flink.submit(history, program)
    eventually(lambda: free_slots(history) == 0, "every slot taken")
    yield history
    flink_rest.cancel(history, occupant)
    eventually(lambda: free_slots(history) == slots, "every slot free again")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_job_of_a_client_that_ends_is_cancelled(
    full_cluster: Settings, number: signal.Signals
) -> None:
    before = {job["jid"] for job in flink_rest.jobs(full_cluster)}

    def states() -> list[str]:
        jobs = [job for job in flink_rest.jobs(full_cluster) if job["jid"] not in before]
        return [job["state"] for job in jobs if job["name"].startswith(backfill.NAME)]

    child = client(full_cluster)
    try:
        eventually(
            lambda: "RUNNING" in states() or child.poll() is not None, "a job of the backfill"
        )
        child.send_signal(number)
        assert (
            child.wait(WAIT_S) != 0
        )  # a chunk that is being planned is submitted first, and then cancelled
    finally:
        child.kill()
        child.wait()
    eventually(lambda: states() == ["CANCELED"], f"cancelled after {number.name}", CANCELLED_S)


def test_a_killed_run_goes_on_where_it_was(history: Settings, whole: pl.DataFrame) -> None:
    done = ledger.read_ledger(history).done
    child = client(history)
    eventually(
        lambda: (
            len(set(ledger.read_ledger(history).done) - set(done)) >= 1 or child.poll() is not None
        ),
        "a chunk done",
    )
    impatient = history.model_copy(update={"lease_wait_s": 0})
    with pytest.raises(JobError, match=r"a backfill \(host .* is running"):
        backfill.run(impatient, START_US, START_US + DAY_US)
    time.sleep(1.5)
    child.send_signal(signal.SIGKILL)
    child.wait()
    rest = backfill.run(history, START_US, START_US + DAYS * DAY_US, chunk_us=12 * HOUR_US)
    assert rest.failed == {} and len(rest.unchanged) >= 1 and len(rest.computed) >= 1
    assert_frame_equal(rows(history), whole, check_exact=True)
    assert not Lakehouse(history).catalog.list_tables(staging.NAMESPACE)


def test_duplicates_of_trades_change_no_row(history: Settings, whole: pl.DataFrame) -> None:
    """A chunk with duplicates groups its ticks by trade first, which other chunks need not do."""
    duplicated = Lakehouse(history).read_ticks(
        START_US + 3 * HOUR_US, START_US + 4 * HOUR_US, [AAA]
    )
    assert len(duplicated) and not tick_scans.has_duplicates(
        Lakehouse(history), [(START_US, START_US + DAYS * DAY_US)]
    )
    Lakehouse(history).append_ticks(duplicated.drop("key", "late"))
    assert tick_scans.has_duplicates(Lakehouse(history), [(START_US, START_US + 16 * HOUR_US)])
    assert not tick_scans.has_duplicates(
        Lakehouse(history), [(START_US + 16 * HOUR_US, START_US + DAYS * DAY_US)]
    )
    done = backfill.run(history, START_US, START_US + 16 * HOUR_US, again=True)
    assert (len(done.computed), done.failed) == (1, {})
    assert_frame_equal(rows(history), whole, check_exact=True)


def test_impossible_arguments_are_refused_and_empty_ranges_are_holes(history: Settings) -> None:
    with pytest.raises(DatasetError, match="not before"):
        backfill.run(history, START_US, START_US)
    with pytest.raises(DatasetError, match="future"):
        backfill.run(history, START_US, now_us() + 3 * DAY_US)
    with pytest.raises(DatasetError, match="has no tick of HIST:NOPE"):
        backfill.run(history, START_US, START_US + DAY_US, symbols=["HIST:NOPE"])
    empty = backfill.run(history, START_US - 9 * DAY_US, START_US - 7 * DAY_US, symbols=[AAA])
    assert (empty.rows, empty.failed) == (0, {})
    assert empty.holes == {AAA: [START_US - 9 * DAY_US, START_US - 8 * DAY_US]}
