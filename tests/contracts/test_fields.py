"""What each system derives from the tick's fields, written once as literals."""

import polars as pl
from pyiceberg.types import (
    BooleanType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    TimestamptzType,
)

from contracts import wire_text
from contracts.fields import names
from contracts.tick import CHARS_MAX, FIELDS, MESSAGE_FIELDS, QUOTES, REQUIRED, TRADE_KEY, Tick
from lakehouse.schemas import COLUMNS_OF, SILVER
from streaming.feeds.tick_frame import SCHEMA
from streaming.job.flink_types import declared

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
    assert tuple(NUMBERS) == wire_text.NUMBERS
    assert wire_text.TEXTS == ("venue", "symbol", "trade_id")


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
