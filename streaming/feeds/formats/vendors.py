"""Trades as Bybit, Tardis and Databento deliver them: CSV with a header that names the columns."""

from collections.abc import Mapping, Sequence

import polars as pl

from streaming.feeds.formats.columns import epoch_us, given_or, number, row_id, side, upper
from streaming.feeds.formats.text import CsvFormat
from streaming.feeds.source import Source
from streaming.feeds.types import ROW, Names

TARDIS_VENUES = {"binance-futures": "BINANCE_USDM", "binance-delivery": "BINANCE_COINM"}
DATABENTO_VENUES = {"1": "CME"}  # publisher 1 is CME Globex MDP 3.0; the others keep their number


def _bybit(_source: Source, names: Names, _columns: Sequence[str]) -> Mapping[str, pl.Expr]:
    return {
        "venue": pl.lit(names.venue or "BYBIT"),
        "symbol": given_or(names.symbol, upper("symbol")),
        "event_time_us": epoch_us("timestamp"),
        "price": number("price"),
        "size": number("size"),
        "side": side("side", buyer="buy", seller="sell"),
        "trade_id": pl.col("trdmatchid"),
    }


def _tardis(source: Source, names: Names, _columns: Sequence[str]) -> Mapping[str, pl.Expr]:
    exchange = pl.col("exchange").str.to_lowercase()
    venue = exchange.replace_strict(
        TARDIS_VENUES, default=exchange.str.to_uppercase().str.replace_all("-", "_", literal=True)
    )
    return {
        "venue": given_or(names.venue, venue),
        "symbol": given_or(names.symbol, upper("symbol")),
        "event_time_us": epoch_us("timestamp"),
        "ingest_time_us": epoch_us("local_timestamp"),
        "price": number("price"),
        "size": number("amount"),
        "side": side("side", buyer="buy", seller="sell", unknown="unknown"),
        "trade_id": pl.when(pl.col("id") != "")
        .then(pl.col("id"))
        .otherwise(row_id(source.stem, pl.col(ROW))),
    }


def _databento(source: Source, names: Names, columns: Sequence[str]) -> Mapping[str, pl.Expr]:
    publisher = pl.col("publisher_id")
    # The rounding corrects polars, which divides by multiplying with 1e-9 and is sometimes off by
    # one bit. Decimal text ("pretty" prices) is parsed unchanged.
    fixed = (pl.col("price").cast(pl.Int64, strict=False).cast(pl.Float64) / 1e9).round(9)
    return {
        "venue": given_or(
            names.venue,
            publisher.replace_strict(
                DATABENTO_VENUES, default=pl.concat_str(pl.lit("DBN"), publisher)
            ),
        ),
        "symbol": given_or(
            names.symbol, upper("symbol" if "symbol" in columns else "instrument_id")
        ),
        "event_time_us": epoch_us("ts_event"),
        "ingest_time_us": epoch_us("ts_recv"),
        "price": pl.coalesce(fixed, number("price")),
        "size": number("size"),
        "side": pl.when(pl.col("action") == "T").then(
            side("side", buyer="b", seller="a", unknown="n")
        ),
        # Not `sequence`, which the fills of one aggressor share.
        "trade_id": row_id(source.stem, pl.col(ROW)),
    }


BYBIT = CsvFormat(
    name="bybit",
    shape="timestamp,symbol,side,size,price,tickDirection,trdMatchID,…",
    header=("timestamp", "symbol", "side", "size", "price", "trdmatchid"),
    fields=_bybit,
)
TARDIS = CsvFormat(
    name="tardis",
    shape="exchange,symbol,timestamp,local_timestamp,id,side,price,amount",
    header=("exchange", "symbol", "timestamp", "local_timestamp", "id", "side", "price", "amount"),
    fields=_tardis,
    infer_sides=True,
)
DATABENTO = CsvFormat(
    name="databento",
    shape="ts_recv,ts_event,rtype,publisher_id,instrument_id,action,side,depth,price,size,…,sequence",
    header=(
        "ts_recv",
        "ts_event",
        "publisher_id",
        "instrument_id",
        "action",
        "side",
        "price",
        "size",
    ),
    fields=_databento,
    infer_sides=True,
)
