"""What each system derives from the tick's fields, written once as literals."""

import polars as pl
import pytest
from pyiceberg.types import (
    BooleanType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    TimestamptzType,
)

from contracts import feature_row, prediction
from contracts.features import COLUMNS
from contracts.fields import names
from contracts.messages import decoding
from contracts.tick import CHARS_MAX, FIELDS, MESSAGE_FIELDS, QUOTES, REQUIRED, TRADE_KEY, Tick
from contracts.windows import LEVELS
from feature_store.online import redis_layout
from lakehouse.schemas import COLUMNS_OF, GOLD, GOLD_LIVE, PREDICTIONS, SILVER
from streaming.feeds.tick_frame import SCHEMA
from streaming.job.flink_types import declared
from streaming.job.tables import SERVED

NUMBERS = [
    *("schema_version", "heartbeat", "event_time_us", "ingest_time_us", "price", "size", "side"),
    *("seq", "bid", "ask", "bid_size", "ask_size"),
]


def test_a_tick_has_the_fields_of_the_contract_in_their_order() -> None:
    assert names(FIELDS) == Tick._fields
    optional = tuple(Tick._field_defaults)
    assert optional == QUOTES == ("bid", "ask", "bid_size", "ask_size")
    assert names(FIELDS) == (*REQUIRED, *QUOTES)
    assert TRADE_KEY == ("venue", "symbol", "trade_id")
    assert CHARS_MAX == {"venue": 32, "symbol": 32, "trade_id": 64}


def test_lenient_rewrites_know_the_numbers_and_the_texts_of_a_message() -> None:
    assert tuple(NUMBERS) == decoding.NUMBERS
    assert decoding.TEXTS == ("venue", "symbol", "trade_id")


def test_flink_declares_the_fields_of_a_message() -> None:
    assert declared(MESSAGE_FIELDS) == (
        "schema_version INT, heartbeat BOOLEAN, venue STRING, symbol STRING, event_time_us BIGINT,"
        " ingest_time_us BIGINT, price DOUBLE, size DOUBLE, side INT, trade_id STRING, seq BIGINT,"
        " bid DOUBLE, ask DOUBLE, bid_size DOUBLE, ask_size DOUBLE"
    )


def test_polars_holds_the_fields_of_a_tick() -> None:
    assert {
        "venue": pl.String(),
        "symbol": pl.String(),
        "event_time_us": pl.Int64(),
        "ingest_time_us": pl.Int64(),
        "price": pl.Float64(),
        "size": pl.Float64(),
        "side": pl.Int32(),
        "trade_id": pl.String(),
        "seq": pl.Int64(),
        "bid": pl.Float64(),
        "ask": pl.Float64(),
        "bid_size": pl.Float64(),
        "ask_size": pl.Float64(),
    } == SCHEMA


def test_iceberg_stores_the_fields_of_a_tick_and_when_it_came() -> None:
    assert COLUMNS_OF[SILVER] == (
        ("venue", StringType()),
        ("symbol", StringType()),
        ("event_time_us", LongType()),
        ("ingest_time_us", LongType()),
        ("price", DoubleType()),
        ("size", DoubleType()),
        ("side", IntegerType()),
        ("trade_id", StringType()),
        ("seq", LongType()),
        ("bid", DoubleType()),
        ("ask", DoubleType()),
        ("bid_size", DoubleType()),
        ("ask_size", DoubleType()),
        ("event_time", TimestamptzType()),
        ("late", BooleanType()),
    )


def test_feature_rows_have_the_same_columns_in_the_topic_and_in_both_tables() -> None:
    identity = "`view` STRING, symbol STRING, event_time_ms BIGINT"
    assert declared(feature_row.IDENTITY) == identity
    for level in LEVELS:
        own = [column.name for column in COLUMNS if column.view == level.view]
        assert declared(feature_row.fields(level)) == (
            f"{identity}, known_at_us BIGINT, warm_s BIGINT, {' DOUBLE, '.join(own)} DOUBLE"
        )
    stored = (
        ("view", StringType()),
        ("symbol", StringType()),
        ("event_time", TimestamptzType()),
        ("known_at_us", LongType()),
        ("warm_s", LongType()),
        *((column.name, DoubleType()) for column in COLUMNS),
    )
    assert COLUMNS_OF[GOLD] == COLUMNS_OF[GOLD_LIVE] == stored
    assert set(redis_layout.METADATA_NAMES) == set(names(feature_row.METADATA))


def test_predictions_have_the_same_columns_in_the_reader_and_in_the_table() -> None:
    assert declared(SERVED, quoted=True) == (
        "`request_id` STRING, `symbol` STRING, `source` STRING, `model_name` STRING,"
        " `model_version` STRING, `event_times_us` STRING, `features` STRING,"
        " `served_at_us` BIGINT, `known_at_us` BIGINT, `prediction_bps` DOUBLE"
    )
    assert COLUMNS_OF[PREDICTIONS] == (
        ("request_id", StringType()),
        ("symbol", StringType()),
        ("served_at", TimestamptzType()),
        ("served_at_us", LongType()),
        ("source", StringType()),
        ("model_name", StringType()),
        ("model_version", StringType()),
        ("prediction_bps", DoubleType()),
        ("known_at_us", LongType()),
        ("event_times_us", StringType()),
        ("features", StringType()),
    )


def test_the_maps_of_a_stored_prediction_are_read() -> None:
    times = '{"tick_1s": 1700000000000000, "tick_1m": 1699999980000000, "tick_10s": null}'
    ends = {"tick_1s": 1_700_000_000_000_000, "tick_1m": 1_699_999_980_000_000, "tick_10s": None}
    assert prediction.read_event_times(times) == ends
    assert prediction.newest_event_time_us(times) == 1_700_000_000_000_000
    assert prediction.read_features('{"a": 1, "b": null, "c": 0.5}') == {
        "a": 1,
        "b": None,
        "c": 0.5,
    }


@pytest.mark.parametrize("text", [None, "", "no JSON", "[1]", "1", '{"a": "1"}', '{"a": true}'])
def test_a_malformed_map_of_a_prediction_is_none(text: str | None) -> None:
    assert prediction.read_event_times(text) is None
    assert prediction.read_features(text) is None
    assert prediction.newest_event_time_us(text) is None
