"""Recorded Binance sockets, one `recv_ns {"stream":…,"data":{…}}` per line.

Trades become ticks, with the newest quote of their symbol.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import polars as pl

from streaming.feeds.formats.binance import COINM, SPOT, USDM, base_size, market_of
from streaming.feeds.formats.columns import epoch_us, number
from streaming.feeds.formats.text import raw_lines
from streaming.feeds.source import DAMAGED, Head, Source
from streaming.feeds.types import ROW, Chunk, Names

PREFIX_BYTES = 80  # contains the stream's name, so that lines of other streams are not parsed
TRADE_TEXT = {"event": "T", "price": "p", "size": "q", "identity": "t", "symbol": "s"}
QUOTE_TEXT = {"bid": "b", "ask": "a", "bid_size": "B", "ask_size": "A"}
COLUMNS = (ROW, "received", "maker", "venue", *TRADE_TEXT, *QUOTE_TEXT)
NO_QUOTE = dict.fromkeys(QUOTE_TEXT)


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
        lines = [line for line in head.lines[:-1] or head.lines if line.strip()]
        fitting = sum(
            line.partition(" ")[0].isdigit() and line.partition(" ")[2].startswith("{")
            for line in lines
        )
        return fitting * 2 > len(lines)

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
                lines = block.split(b"\n")
                if block.endswith(b"\n"):
                    lines.pop()
                yield reader.chunk(block, lines, row)
                row += len(lines)
        except DAMAGED as error:
            yield Chunk(
                pl.DataFrame({ROW: [row]}),
                lambda rows: [b""] * len(rows),
                damage=f"the file ends early: {error}",
            )


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
        frame = pl.DataFrame(
            rows, schema={name: pl.Int64 if name == ROW else pl.String for name in COLUMNS}
        )
        return Chunk(frame.select(ROW, **self._fields()), raw_lines(block, first_row), skipped)

    def _line(
        self, row: int, line: bytes, rows: list[dict[str, Any]], skipped: Counter[str]
    ) -> None:
        received, _, text = line.partition(b" ")
        data = _data(text)
        if data is None:
            rows.append({ROW: row})
            return
        kind = data.get("e") or ("bookTicker" if "A" in data and "B" in data else "other")
        if kind == "bookTicker":
            self._quote(data)
        if kind not in ("trade", "aggTrade"):
            skipped["quote" if kind == "bookTicker" else str(kind)] += 1
        elif data.get("X") not in (None, "MARKET"):
            # Insurance-fund and ADL fills are booked far from the market price and are not in the
            # dumps.
            skipped["not_market"] += 1
        else:
            rows.append(self._trade(row, received, data, aggregated=kind == "aggTrade"))

    def _quote(self, data: dict[str, Any]) -> None:
        quote = {name: _text(data.get(key)) for name, key in QUOTE_TEXT.items()}
        try:
            crossed = float(quote["bid"] or "nan") > float(quote["ask"] or "nan")
        except ValueError:
            crossed = True
        if not crossed:
            self.quotes[str(data.get("s"))] = quote

    def _trade(
        self, row: int, received: bytes, data: dict[str, Any], aggregated: bool
    ) -> dict[str, Any]:
        trade: dict[str, Any] = {name: _text(data.get(key)) for name, key in TRADE_TEXT.items()}
        if aggregated:
            trade["identity"] = f"a{data.get('a')}"
        futures = "X" in data or "M" not in data
        default = (COINM if "USD_" in str(trade["symbol"]) else USDM) if futures else SPOT
        maker = str(data["m"]).lower() if isinstance(data.get("m"), bool) else None
        origin = {
            ROW: row,
            "received": received.decode("ascii", "replace"),
            "maker": maker,
            "venue": self.names.venue or self.market or default,
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
            "symbol": pl.lit(self.names.symbol)
            if self.names.symbol
            else pl.col("symbol").str.to_uppercase(),
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
    except orjson.JSONDecodeError:
        return None
    data = message.get("data", message) if isinstance(message, dict) else None
    return data if isinstance(data, dict) else None


def _text(value: Any) -> str | None:
    return None if value is None or isinstance(value, bool | list | dict) else str(value)


SOCKET = SocketFormat()
