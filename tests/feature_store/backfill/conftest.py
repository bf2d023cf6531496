"""A lakehouse with two days of ticks, and a Flink whose jobs compute with the reference."""

import re
from collections.abc import Callable, Iterator

import polars as pl
import pytest
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import schema_to_pyarrow

from contracts.config.settings import Settings
from contracts.durations import DAY_US, HOUR_US
from contracts.errors import JobError
from feature_store.backfill import ledger
from feature_store.backfill import run as backfill
from feature_store.flink.program import Program
from lakehouse import daily
from lakehouse.schemas import GOLD
from lakehouse.tables import Lakehouse
from streaming.feeds import tick_frame
from tests.support import parity_tables
from tests.support.scripted_flink import Script, scripted_flink

FIRST_US = 1_709_164_800_000_000  # 2024-02-29 00:00 UTC
DAYS = 2
LAST_US = FIRST_US + DAYS * DAY_US
BUSY, THIN = "V:BUSY", "V:THIN"
OLD_WARM_S = -1  # marks the rows that a backfill must replace


def ticks(symbol: str, hours: range) -> pl.DataFrame:
    """One tick in each of these hours after FIRST_US."""
    row = {"venue": "V", "symbol": symbol, "size": 1.0, "side": 1}
    return tick_frame.conform(
        pl.DataFrame(
            row
            | {
                "price": 100.0 + hour % 7,
                "trade_id": f"{symbol}{hour}",
                "seq": hour,
                "event_time_us": FIRST_US + hour * HOUR_US + 7,
                "ingest_time_us": FIRST_US + hour * HOUR_US + 700,
            }
            for hour in hours
        )
    )


class ReferenceFlink:
    """Plays `Submitter`: a job writes the reference's rows, of `symbols` only, to its table.

    `fails` is called with the name of each job first.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        self.rows, self.symbols = rows, (BUSY, THIN)
        self.names: list[str] = []
        self.fails: Callable[[str], None] = lambda _: None

    def __call__(self, settings: Settings) -> "ReferenceFlink":
        self.settings = settings
        return self

    def submit(self, program: Program) -> str:
        self.names.append(program.name)
        self.fails(program.name)
        (insert,) = program.inserts
        table = re.search(r"INSERT INTO lakehouse\.(\S+)", insert)[1]
        from_us, to_us = (1000 * int(ms) for ms in re.findall(r"LTZ\((\d+), 3\)", insert))
        inside = pl.col("event_time").dt.epoch("us").is_between(from_us, to_us, closed="left")
        chosen = self.rows.filter(inside, pl.col("symbol").is_in(self.symbols))
        parity_tables.put(self.settings, table, chosen)
        return "job"

    def close(self) -> None:
        """Nothing to end."""


@pytest.fixture(scope="session")
def script() -> Iterator[Script]:
    with scripted_flink() as script:
        yield script


@pytest.fixture(scope="session")
def filled(script, tmp_path_factory) -> Settings:
    """Silver with BUSY in every third hour, and THIN on the first day only."""
    settings = Settings(home=tmp_path_factory.mktemp("history"), flink_port=script.port)
    Lakehouse(settings).create()
    Lakehouse(settings).append_ticks(ticks("BUSY", range(0, DAYS * 24, 3)))
    Lakehouse(settings).append_ticks(ticks("THIN", range(10, 20, 3)))
    return settings


@pytest.fixture(scope="session")
def expected(filled) -> pl.DataFrame:
    """The rows of gold by the reference, in the columns of the table."""
    views = parity_tables.features(Lakehouse(filled).read_ticks(FIRST_US, LAST_US))
    frames = [
        frame.with_columns(view=pl.lit(view), event_time=parity_tables.utc("event_time_us"))
        for view, frame in views.items()
    ]
    names = Lakehouse(filled).table(GOLD).schema().column_names
    return in_order(pl.concat(frames, how="diagonal").select(names))


@pytest.fixture
def history(filled, expected, script) -> Settings:
    """The filled lakehouse with old rows in gold, an empty ledger, and a Flink without jobs."""
    ledger.clear(filled)
    table = Lakehouse(filled).table(GOLD)
    target = schema_to_pyarrow(table.schema(), include_field_ids=False)
    old = expected.with_columns(warm_s=pl.lit(OLD_WARM_S)).to_arrow().cast(target)
    daily.overwrite(table, old, AlwaysTrue())
    script.job[:] = [(200, {"state": "FINISHED", "vertices": []})]
    script.overview, script.cancelled = (200, {"jobs": []}), 0
    return filled


@pytest.fixture
def flink(monkeypatch, expected) -> ReferenceFlink:
    flink = ReferenceFlink(expected)
    monkeypatch.setattr(backfill, "Submitter", flink)
    return flink


def stored_rows(settings: Settings) -> pl.DataFrame:
    return in_order(pl.from_arrow(Lakehouse(settings).table(GOLD).scan().to_arrow()))


def in_order(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("view", "symbol", "event_time")


def flink_is_down(_name: str) -> None:
    raise JobError("Flink does not answer", "start it with `tick up`")
