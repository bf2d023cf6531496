"""CME trades as Parquet: side B/O (hit the bid / lifted the offer), ids that are not unique."""

from collections.abc import Mapping

import polars as pl

from streaming.feeds.formats.canonical import ParquetFormat, as_epoch_us
from streaming.feeds.formats.columns import row_id
from streaming.feeds.source import Source
from streaming.feeds.types import ROW, Names

# The rows contain only the exchange (COMEX); the instrument is in the file name. Our symbol is the
# exchange's product code.
PRODUCTS = {"XAUUSD": "GC", "XAGUSD": "SI"}


def _fields(source: Source, names: Names, frame: pl.DataFrame) -> Mapping[str, pl.Expr]:
    instrument = source.stem.split("_")[0].upper()
    # The letter is the side that was hit: 99.9 % of the O trades are at or above mid at the offer,
    # of the B trades at the bid.
    hit = pl.col("side").cast(pl.String)
    return {
        "venue": pl.lit(names.venue or "CME"),
        "symbol": pl.lit(names.symbol or PRODUCTS.get(instrument, instrument)),
        "event_time_us": as_epoch_us(frame, "transact_time"),
        "price": pl.col("price").cast(pl.Float64, strict=False),
        "size": pl.col("quantity").cast(pl.Float64, strict=False),
        "side": pl.when(hit == "O").then(1).when(hit == "B").then(-1),
        "trade_id": row_id(source.stem, pl.col(ROW)),
    }


CME = ParquetFormat(
    name="cme-parquet",
    shape="columns side,price,quantity,transact_time,market_trade_id",
    needed=frozenset({"side", "price", "quantity", "transact_time", "market_trade_id"}),
    fields=_fields,
)
