"""Binance's public dumps (data.binance.vision): trades and aggTrades of spot, USD-M and COIN-M."""

import re
from collections.abc import Mapping, Sequence

import polars as pl

from contracts.errors import FeedError
from streaming.feeds.formats.columns import epoch_us, number, side
from streaming.feeds.formats.text import CsvFormat
from streaming.feeds.source import Source
from streaming.feeds.types import Names

SPOT, USDM, COINM = "BINANCE", "BINANCE_USDM", "BINANCE_COINM"
PREFIXES = {"spot": SPOT, "usdm": USDM, "cm": COINM}
# Columns that only the dumps of one market have.
TYPICAL_COLUMNS = {"base_qty": COINM, "is_best_match": SPOT}
# The official name is BTCUSDT-trades-2024-08-08.csv; a prefix spot_, usdm_ or cm_ names the market.
FILE_NAME = re.compile(r"^(?:(?:spot|usdm|cm)_)?([A-Za-z0-9_]+?)-(?:trades|aggTrades)(?:-|$)")


def market_of(source: Source) -> str | None:
    """Venue from a prefix of the file name, e.g. usdm_… → BINANCE_USDM; None without one."""
    return PREFIXES.get(source.stem.split("_")[0].lower())


def base_size(quantity: pl.Expr, price: pl.Expr, symbol: str) -> pl.Expr:
    """Convert COIN-M contracts of 100 USD (BTC) or 10 USD to base units, rounded like base_qty."""
    return (quantity * (100.0 if symbol.startswith("BTC") else 10.0) / price).round(8)


def _venue(source: Source, names: Names, columns: Sequence[str]) -> str:
    typical = (venue for column, venue in TYPICAL_COLUMNS.items() if column in columns)
    return names.venue or market_of(source) or next(typical, USDM)


def _symbol(source: Source, names: Names) -> str:
    if names.symbol:
        return names.symbol
    match = FILE_NAME.match(source.stem)
    if match is None:
        raise FeedError(
            f"the file name {source.name} does not contain a symbol",
            "pass it, e.g. --symbol BTCUSDT",
        )
    return match[1].upper()


def _trades(source: Source, names: Names, columns: Sequence[str]) -> Mapping[str, pl.Expr]:
    return _fields(
        _venue(source, names, columns), _symbol(source, names), pl.col("id"), "qty", "time", columns
    )


def _agg_trades(source: Source, names: Names, columns: Sequence[str]) -> Mapping[str, pl.Expr]:
    # Aggregate trades have their own numbering: the prefix keeps them distinct from trades.
    identity = pl.concat_str(pl.lit("a"), pl.col("agg_trade_id"))
    return _fields(
        _venue(source, names, columns),
        _symbol(source, names),
        identity,
        "quantity",
        "transact_time",
        columns,
    )


def _fields(
    venue: str, symbol: str, identity: pl.Expr, size: str, time: str, columns: Sequence[str]
) -> Mapping[str, pl.Expr]:
    base = number(size)
    if "base_qty" in columns:
        base = number("base_qty")
    elif venue == COINM:
        base = base_size(number(size), number("price"), symbol)
    return {
        "venue": pl.lit(venue),
        "symbol": pl.lit(symbol),
        "event_time_us": epoch_us(time),
        "price": number("price"),
        "size": base,
        "side": side("is_buyer_maker", buyer="false", seller="true"),
        "trade_id": identity,
    }


TRADES = CsvFormat(
    name="binance-trades",
    shape="id,price,qty,quoteQty|baseQty,time,isBuyerMaker[,isBestMatch] with or without header",
    header=("id", "price", "qty", "time", "is_buyer_maker"),
    fields=_trades,
    layouts=(
        ("nnnnnbb", ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match")),
        ("nnnnnb", ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker")),
    ),
)
AGG_TRADES = CsvFormat(
    name="binance-agg-trades",
    shape="aggId,price,qty,firstId,lastId,time,isBuyerMaker[,isBestMatch] with or without header",
    header=("agg_trade_id", "price", "quantity", "transact_time", "is_buyer_maker"),
    fields=_agg_trades,
    layouts=(
        (
            "nnnnnnbb",
            (
                "agg_trade_id",
                "price",
                "quantity",
                "first",
                "last",
                "transact_time",
                "is_buyer_maker",
                "is_best_match",
            ),
        ),
        (
            "nnnnnnb",
            (
                "agg_trade_id",
                "price",
                "quantity",
                "first",
                "last",
                "transact_time",
                "is_buyer_maker",
            ),
        ),
    ),
)
