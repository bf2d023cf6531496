"""Live feed of Binance's trade streams over a WebSocket.

It reconnects, detects gaps by trade id, and fills them over REST. Messages pass through the same
reader and validator as recorded sockets, so a live tick and its recording are the same tick.
"""

import json
import math
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from itertools import chain
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
import structlog
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from contracts.clock import SteadyClock, now_us
from contracts.config.groups.feeds import FeedSettings
from contracts.errors import FeedError
from streaming.feeds.binance_socket import Reader
from streaming.feeds.formats.binance import COINM, SPOT, USDM
from streaming.feeds.types import Batch, Names, Span
from streaming.feeds.validator import Validator

VENUES = {"stream.": SPOT, "fstream.": USDM, "dstream.": COINM}
POLL_S = 0.05
LINES_MAX = 1000
SOCKET_MESSAGE_BYTES_MAX = 1 << 20
OPEN_TIMEOUT_S = 10.0
REST_ROWS_MAX = 1000
REST_TIMEOUT_S = 10.0
log = structlog.get_logger("streaming")


@dataclass
class LiveStats:
    """Connections opened, gaps between trade ids, trades missing in them, and trades fetched."""

    connections: int = 0
    gaps: int = 0
    missing: int = 0
    filled: int = 0


@dataclass
class LiveFeed:
    """The trades of `symbols` from now on, for `duration_s` or until interrupted."""

    settings: FeedSettings
    symbols: tuple[str, ...]
    venue: str | None = None
    duration_s: float | None = None
    clock: Callable[[], int] = now_us
    in_real_time: bool = True
    span_is_cheap: bool = False
    stats: LiveStats = field(default_factory=LiveStats)
    _next: dict[str, int] = field(default_factory=dict)  # trade id expected per symbol

    @property
    def fingerprint(self) -> str:
        """Constant: a live feed cannot be replayed."""
        return "live"

    @property
    def formats(self) -> tuple[str, ...]:
        """The host of the exchange, for the report."""
        return (urlsplit(self.settings.live_url).netloc,)

    @property
    def idle_lag_us(self) -> int:
        """Event time follows the clock at this distance while there are no trades."""
        return int(self.settings.live_idle_lag_s * 1e6)

    def span(self, received_us: int) -> Span:
        """Raises FeedError: the end of a live feed is unknown."""
        raise FeedError("the end of a live feed is unknown", "run it without --as-live")

    def batches(self, received_us: int) -> Iterator[Batch]:
        """A batch at least every 50 ms, empty while the exchange is silent.

        A lost connection is opened again.
        """
        reader = Reader(Names(self.venue, None), _venue(self.settings.live_url))
        validator, steady = Validator(self.settings.live_url, received_us), SteadyClock(self.clock)
        ends_s = time.monotonic() + (math.inf if self.duration_s is None else self.duration_s)
        row = 0
        for lines in self._lines(ends_s):
            # A clock that was set back would make every trade one of the future.
            validator.received_us = max(self.clock(), steady())
            yield validator.batch(reader.chunk(b"\n".join(lines), lines, row))
            row += len(lines)

    def _lines(self, ends_s: float) -> Iterator[list[bytes]]:
        """Lines in the form of a recording, gaps filled, until `ends_s` of the monotonic clock."""
        pause_s = 0.0
        while time.monotonic() < ends_s:
            try:
                with self._connect() as connection:
                    self.stats.connections += 1
                    silence_s = self.settings.live_reconnect_after_s
                    for messages in _receive(connection, silence_s, ends_s):
                        if messages:  # the back-off is reset by a message, not by connecting alone
                            pause_s = 0.0
                        yield self._complete_lines(messages)
            except (OSError, WebSocketException, TimeoutError) as error:
                pause_s = min(max(2 * pause_s, 0.05), self.settings.live_retry_s_max)
                log.warning(
                    "the exchange is unavailable", error=str(error)[:200], again_in_s=pause_s
                )
                yield from _empty_batches(pause_s)

    def _connect(self) -> ClientConnection:
        streams = "/".join(
            f"{symbol.lower()}@{kind}"
            for symbol in self.symbols
            for kind in ("trade", "bookTicker")
        )
        url = f"{self.settings.live_url}?{urlencode({'streams': streams}, safe='@/')}"
        return connect(
            url,
            open_timeout=OPEN_TIMEOUT_S,
            max_size=SOCKET_MESSAGE_BYTES_MAX,
            compression=None,
            proxy=None,
        )

    def _complete_lines(self, messages: list[bytes]) -> list[bytes]:
        """The messages as lines with their time of arrival.

        Trades missing before a message are inserted; trades that were already received are dropped.
        """
        return list(chain.from_iterable(map(self._complete, messages)))

    def _complete(self, message: bytes) -> list[bytes]:
        trade = _trade(message)
        if trade is None:
            return [self._line(message)]
        symbol, number = trade
        expected = self._next.get(symbol, number)
        if number < expected:
            return []
        self._next[symbol] = number + 1
        missing = self._fill_gap(symbol, expected, number) if number > expected else []
        return [*missing, self._line(message)]

    def _line(self, message: bytes) -> bytes:
        return b"%d %s" % (self.clock() * 1000, message)

    def _fill_gap(self, symbol: str, first: int, until: int) -> list[bytes]:
        """The trades [first, until) as far as REST returns them."""
        self.stats.gaps += 1
        self.stats.missing += until - first
        if self.settings.live_rest_url is None:
            log.warning("trades are missing", symbol=symbol, first=first, count=until - first)
            return []
        trades = list(self._fetch(symbol, first, min(until, first + self.settings.live_gap_max)))
        self.stats.filled += len(trades)
        log.info(
            "filled a gap", symbol=symbol, first=first, missing=until - first, filled=len(trades)
        )
        return [self._line(orjson.dumps(trade)) for trade in trades]

    def _fetch(self, symbol: str, first: int, until: int) -> Iterator[dict[str, Any]]:
        """Trades [first, until) from REST as socket messages, up to the first one it lacks."""
        while first < until and (trades := self._fetch_page(symbol, first, until)):
            yield from trades
            first = int(trades[-1]["data"]["t"]) + 1

    def _fetch_page(self, symbol: str, first: int, until: int) -> list[dict[str, Any]]:
        """Trades of one request; none after an error, which is logged."""
        query = urlencode(
            {"symbol": symbol, "fromId": first, "limit": min(REST_ROWS_MAX, until - first)}
        )
        url = f"{self.settings.live_rest_url}/api/v3/historicalTrades?{query}"
        try:
            with urllib.request.urlopen(url, timeout=REST_TIMEOUT_S) as response:
                rows = json.load(response)
            return [_as_message(symbol, row) for row in rows if first <= int(row["id"]) < until]
        except (OSError, HTTPException, ValueError, TypeError, KeyError) as error:
            log.warning("could not fill a gap", symbol=symbol, first=first, error=repr(error)[:200])
            return []


def _receive(
    connection: ClientConnection, silence_s: float, ends_s: float
) -> Iterator[list[bytes]]:
    """Messages, collected for 50 ms each. Raises TimeoutError after `silence_s` without one."""
    received_s = time.monotonic()
    while time.monotonic() < ends_s:
        messages: list[bytes] = []
        try:
            _collect(connection, messages)
        except WebSocketException:
            yield messages  # received before the connection was lost
            raise
        received_s = time.monotonic() if messages else received_s
        if time.monotonic() - received_s > silence_s:
            raise TimeoutError(f"no message for {silence_s:g} s")
        yield messages


def _collect(connection: ClientConnection, messages: list[bytes]) -> None:
    """Append the messages of the next 50 ms, LINES_MAX at most."""
    until_s = time.monotonic() + POLL_S
    with suppress(TimeoutError):
        while len(messages) < LINES_MAX and (left_s := until_s - time.monotonic()) > 0:
            messages.append(connection.recv(timeout=left_s, decode=False))


def _empty_batches(pause_s: float) -> Iterator[list[bytes]]:
    """Wait, yielding empty batches so that heartbeats continue."""
    until_s = time.monotonic() + pause_s
    while time.monotonic() < until_s:
        yield []
        time.sleep(min(POLL_S, max(0.0, until_s - time.monotonic())))


def _trade(message: bytes) -> tuple[str, int] | None:
    """Symbol and number of a trade; None for every other message."""
    if b"trade" not in message[:120]:
        return None
    try:
        envelope = orjson.loads(message)
        data = envelope.get("data", envelope)
        return (str(data["s"]), int(data["t"])) if data.get("e") == "trade" else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _as_message(symbol: str, row: dict[str, Any]) -> dict[str, Any]:
    """A trade of the REST interface in the form of a socket message."""
    data = {
        "e": "trade",
        "s": symbol,
        "t": row["id"],
        "p": row["price"],
        "q": row["qty"],
        "T": row["time"],
        "m": row["isBuyerMaker"],
    }
    return {"stream": f"{symbol.lower()}@trade", "data": data | {"M": True}}


def _venue(url: str) -> str | None:
    host = urlsplit(url).hostname or ""
    return next((venue for start, venue in VENUES.items() if host.startswith(start)), None)
