"""The digest of a chunk's inputs: stable over versions, and different for every input."""

import polars as pl
import pytest

from contracts.config.settings import Settings
from contracts.durations import DAY_US, HOUR_US, MINUTE_US
from feature_store.backfill import chunks
from feature_store.backfill.chunks import Chunk, Lookback
from feature_store.backfill.run import definition
from lakehouse.tables import Lakehouse

CHUNK, LOOKBACK = Chunk(DAY_US, 2 * DAY_US), Lookback(DAY_US - HOUR_US)
MINUTES = pl.DataFrame(
    {
        "key": ["V:A", "V:A", "V:B"],
        "minute_us": [DAY_US - HOUR_US, DAY_US, DAY_US],
        "ticks": [3, 1, 2],
    },
    {"key": pl.String, "minute_us": pl.Int64, "ticks": pl.UInt64},
)


def digest(chunk=CHUNK, lookback=LOOKBACK, text="definition", minutes=MINUTES) -> str:
    return chunks.digest(Lakehouse(Settings()), chunk, lookback, text, minutes)


def test_it_is_the_same_in_every_version():
    """Another digest would make all chunks of existing lakehouses due again."""
    assert digest() == "2ae6f438db126a3a7349295d1c45a2b849108c6155b78515bbd1751daa5bd95c"


@pytest.mark.parametrize(
    "changed",
    [
        {"chunk": Chunk(DAY_US, 3 * DAY_US)},
        {"lookback": Lookback(DAY_US - HOUR_US - MINUTE_US)},
        {"text": "another definition"},
        {"minutes": MINUTES.with_columns(pl.col("ticks") + 1)},
        {"minutes": MINUTES.with_columns(pl.col("minute_us") + MINUTE_US)},
        {"minutes": MINUTES.head(2)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_every_input_changes_it(changed):
    assert digest(**changed) != digest()


def test_minutes_before_the_lookback_do_not_change_it():
    earlier = MINUTES.head(1).with_columns(minute_us=pl.lit(LOOKBACK.base_us - MINUTE_US))
    assert digest(minutes=pl.concat([earlier, MINUTES])) == digest()


def test_the_definition_is_the_same_for_every_call():
    assert definition() == definition() and len(definition()) == 64


def test_the_oldest_tick_is_that_of_the_symbol_that_reaches_furthest():
    assert Lookback(9).first_us == 9
    assert Lookback(9, (("V:A", 7), ("V:B", 3))).first_us == 3


@pytest.mark.parametrize(
    ("chunk", "text"),
    [
        (Chunk(0, DAY_US), "1970-01-01 – 1970-01-02"),
        (Chunk(HOUR_US, DAY_US + 1_000_000), "1970-01-01 01:00:00 – 1970-01-02 00:00:01"),
    ],
)
def test_a_chunk_is_written_as_days_or_with_its_times(chunk, text):
    assert str(chunk) == text
