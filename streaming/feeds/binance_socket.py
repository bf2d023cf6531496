"""Recorded Binance sockets, one `recv_ns {"stream":…,"data":{…}}` per line.

Trades become ticks, with the newest quote of their symbol.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import polars as pl

from streaming.feeds.formats.binance import COINM, SPOT, USDM, base_size, market_of
from streaming.feeds.formats.columns import epoch_us, given_or, number
from streaming.feeds.formats.text import raw_lines
from streaming.feeds.source import DAMAGED, Head, Source
from streaming.feeds.types import ROW, Chunk, Names

PREFIX_BYTES = 80  # contains the stream's name, so that lines of other streams are not parsed
TRADE_TEXT = {"event": "T", "price": "p", "size": "q", "identity": "t", "symbol": "s"}
QUOTE_TEXT = {"bid": "b", "ask": "a", "bid_size": "B", "ask_size": "A"}
TEXTS = ("received", "maker", "venue", *TRADE_TEXT, *QUOTE_TEXT)
SCHEMA = {ROW: pl.Int64, **dict.fromkeys(TEXTS, pl.String)}
NO_QUOTE = dict.fromkeys(QUOTE_TEXT)
TRADES = ("trade", "aggTrade")
NOT_TEXT = (type(None), bool, list, dict)
LINE = re.compile(r"\d+ \{")


class SocketFormat:
    """A trade line becomes a tick with the newest uncrossed bookTicker of its symbol.

    Other lines (depth, …) are counted and dropped. Newest is by arrival: on busy spot markets
    quotes arrive before trades, so the quote may already reflect the trade.
    """

    name = "binance-socket"
    shape = 'lines of: receive time, blank, {"stream":"btcusdt@trade","data":{…}}'
    infer_sides = False

    def recognises(self, head: Head) -> bool:
        """Whether most of the first lines have this form."""
        lines = list(filter(str.strip, head.lines[:-1] or head.lines))
        return len(list(filter(LINE.match, lines))) * 2 > len(lines)

    def read(self, source: Source, names: Names) -> Iterator[Chunk]:
        """All lines in order of arrival."""
        return self._chunks(source, names, source.blocks())

    def ends(self, source: Source, names: Names) -> Iterator[Chunk]:
        """The first and the last block; either may be without trades."""
        return self._chunks(source, names, source.end_blocks())

    def _chunks(self, source: Source, names: Names, blocks: Iterator[bytes]) -> Iterator[Chunk]:
        reader, row = Reader(names, market_of(source)), 0
        try:
            for block in blocks:
                lines = block.removesuffix(b"\n").split(b"\n")
                yield reader.chunk(block, lines, row)
                row += len(lines)
        except DAMAGED as error:
            yield Chunk.early_end(row, error)


class Reader:
    """Parses the lines of one file or connection and keeps the newest quote of each symbol."""

    def __init__(self, names: Names, market: str | None) -> None:
        self.names, self.market = names, market
        self.quotes: dict[str, dict[str, Any]] = {}

    def chunk(self, block: bytes, lines: Sequence[bytes], first_row: int) -> Chunk:
        """The trades of a block of lines."""
        rows: list[dict[str, Any]] = []
        skipped: Counter[str] = Counter()
        for row, line in enumerate(lines, first_row):
            prefix = line[:PREFIX_BYTES]
            if b"@depth" in prefix or b'{"lastUpdateId"' in prefix:
                skipped["depth"] += 1
            else:
                self._line(row, line, rows, skipped)
        frame = pl.DataFrame(rows, schema=SCHEMA)
        return Chunk(frame.select(ROW, **self._fields()), raw_lines(block, first_row), skipped)

    def _line(
        self, row: int, line: bytes, rows: list[dict[str, Any]], skipped: Counter[str]
    ) -> None:
        received, _, text = line.partition(b" ")
        data = _data(text)
        if data is None:
            rows.append({ROW: row})
            return
        kind = _kind(data)
        if kind in TRADES:
            rows.append(self._trade(row, received, data))
            return
        skipped[kind] += 1
        if kind == "quote":
            self._quote(data)

    def _quote(self, data: dict[str, Any]) -> None:
        quote = {name: _text(data.get(key)) for name, key in QUOTE_TEXT.items()}
        if not _is_crossed(quote):
            self.quotes[str(data.get("s"))] = quote

    def _trade(self, row: int, received: bytes, data: dict[str, Any]) -> dict[str, Any]:
        trade: dict[str, Any] = {name: _text(data.get(key)) for name, key in TRADE_TEXT.items()}
        if data["e"] == "aggTrade":
            trade["identity"] = f"a{data.get('a')}"
        origin = {
            ROW: row,
            "received": received.decode("ascii", "replace"),
            "maker": _maker(data),
            "venue": self.names.venue or self.market or _market(data),
        }
        return origin | trade | self.quotes.get(str(data.get("s")), NO_QUOTE)

    def _fields(self) -> dict[str, pl.Expr]:
        price, size = number("price"), number("size")
        coin = pl.col("venue") == COINM
        in_base = (
            pl.when(pl.col("symbol").str.starts_with("BTC"))
            .then(base_size(size, price, "BTC"))
            .otherwise(base_size(size, price, ""))
        )
        return {
            "venue": pl.col("venue"),
            "symbol": given_or(self.names.symbol, pl.col("symbol").str.to_uppercase()),
            "event_time_us": epoch_us("event"),
            "ingest_time_us": epoch_us("received"),
            "price": price,
            "size": pl.when(coin).then(in_base).otherwise(size),
            "side": pl.when(pl.col("maker") == "true")
            .then(-1)
            .when(pl.col("maker") == "false")
            .then(1),
            "trade_id": pl.col("identity"),
            **{name: number(name) for name in QUOTE_TEXT},
        }


def _data(text: bytes) -> dict[str, Any] | None:
    """The message inside the envelope; None if it is not a JSON object."""
    try:
        message = orjson.loads(text)
        data = message.get("data", message)
    except (orjson.JSONDecodeError, AttributeError):
        return None
    return data if isinstance(data, dict) else None


def _kind(data: dict[str, Any]) -> str:
    """The event of a message: a trade of TRADES, "quote", or why the message is skipped."""
    kind = str(data.get("e") or _kind_by_fields(data))
    # Insurance-fund and ADL fills are booked far from the market price and are not in the dumps.
    if kind in TRADES and data.get("X") not in (None, "MARKET"):
        return "not_market"
    return "quote" if kind == "bookTicker" else kind


def _kind_by_fields(data: dict[str, Any]) -> str:
    """The event of a message without a name: on spot, quotes have none."""
    return "bookTicker" if data.keys() >= {"A", "B"} else "other"


def _is_crossed(quote: dict[str, str | None]) -> bool:
    """Whether the bid is above the ask, or one of them is text that is not a number."""
    try:
        return float(quote["bid"] or "nan") > float(quote["ask"] or "nan")
    except ValueError:
        return True


def _market(data: dict[str, Any]) -> str:
    """The venue by the fields of a trade: only futures have X, only spot has M."""
    if "M" in data and "X" not in data:
        return SPOT
    return COINM if "USD_" in str(data.get("s")) else USDM


def _maker(data: dict[str, Any]) -> str | None:
    maker = data.get("m")
    return str(maker).lower() if isinstance(maker, bool) else None


def _text(value: Any) -> str | None:
    return None if isinstance(value, NOT_TEXT) else str(value)


SOCKET = SocketFormat()
