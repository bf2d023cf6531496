"""An exchange heard as it happens: Binance's trade streams over a WebSocket, reconnecting, gaps
found by trade id and filled by REST.

What a connection says goes through the very reader and judge of recorded sockets: a live tick and
its recording are the same tick.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
import structlog
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.errors import FeedError
from streaming.feeds.binance import COINM, SPOT, USDM
from streaming.feeds.binance_socket import Reader
from streaming.feeds.types import Batch, Names, Span
from streaming.feeds.validator import Judge

VENUES = {"stream.": SPOT, "fstream.": USDM, "dstream.": COINM}
POLL_S = 0.05
LINES_MAX = 1000
MESSAGE_BYTES_MAX = 1 << 20
OPEN_TIMEOUT_S = 10.0
REST_ROWS_MAX = 1000
REST_TIMEOUT_S = 10.0
log = structlog.get_logger("streaming")


@dataclass
class Heard:
    """What a live feed went through: connections opened, trades missing between two ids, and how
    many of those REST gave.
    """

    connections: int = 0
    gaps: int = 0
    missing: int = 0
    filled: int = 0


@dataclass
class LiveFeed:
    """The trades of `symbols` from now on, for `duration_s` or until somebody interrupts."""

    settings: Settings
    symbols: tuple[str, ...]
    venue: str | None = None
    duration_s: float | None = None
    clock: Callable[[], int] = now_us
    in_real_time: bool = True
    span_is_cheap: bool = False
    heard: Heard = field(default_factory=Heard)
    _last: dict[str, int] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Of no use: what was said is gone."""
        return "live"

    @property
    def formats(self) -> tuple[str, ...]:
        """For the report."""
        return (urlsplit(self.settings.live_url).netloc,)

    @property
    def quiet_lag_us(self) -> int:
        """Exchanges are silent when nobody trades: time goes on without ticks."""
        return int(self.settings.live_idle_lag_s * 1e6)

    def span(self, received_us: int) -> Span:
        """Raises FeedError: nobody knows when it ends."""
        raise FeedError("a live feed has no end that is known", "leave --as-live out")

    def batches(self, received_us: int) -> Iterator[Batch]:
        """What is said, a batch every 50 ms at the latest, an empty one in silence. A lost
        connection is opened anew.
        """
        reader, judge = (
            Reader(Names(self.venue, None), _venue(self.settings.live_url)),
            Judge(self.settings.live_url, received_us),
        )
        ends, row = None if self.duration_s is None else time.monotonic() + self.duration_s, 0
        for lines in self._lines(ends):
            judge.received_us = self.clock()
            yield judge.batch(reader.chunk(b"\n".join(lines), lines, row))
            row += len(lines)

    def _lines(self, ends_s: float | None) -> Iterator[list[bytes]]:
        """Lines as a recording would hold them, gaps filled; ends at `ends_s` of the monotonic
        clock.
        """
        pause_s = 0.0
        while ends_s is None or time.monotonic() < ends_s:
            try:
                with self._connect() as connection:
                    self.heard.connections += 1
                    for messages in _hear(connection, self.settings.live_reconnect_after_s, ends_s):
                        pause_s = (
                            0.0 if messages else pause_s
                        )  # one that only opens and closes is no good connection
                        yield self._whole(messages)
            except (OSError, WebSocketException, TimeoutError) as error:
                pause_s = min(max(2 * pause_s, 0.05), self.settings.live_retry_s_max)
                log.warning("the exchange is away", error=str(error)[:200], again_in_s=pause_s)
                yield from _silence(pause_s)

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
            max_size=MESSAGE_BYTES_MAX,
            compression=None,
            proxy=None,
        )

    def _whole(self, messages: list[bytes]) -> list[bytes]:
        """The messages as lines with their time of arrival; trades that are missing before one come
        first, known ones not again.
        """
        lines: list[bytes] = []
        for message in messages:
            trade = _trade(message)
            if trade is not None:
                symbol, number = trade
                last = self._last.get(symbol)
                if last is not None and number <= last:
                    continue
                if last is not None and number > last + 1:
                    lines += self._gap(symbol, last + 1, number)
                self._last[symbol] = number
            lines.append(b"%d %s" % (self.clock() * 1000, message))
        return lines

    def _gap(self, symbol: str, first: int, until: int) -> list[bytes]:
        """The trades [first, until), as far as REST gives them."""
        self.heard.gaps += 1
        self.heard.missing += until - first
        if self.settings.live_rest_url is None:
            log.warning("trades are missing", symbol=symbol, first=first, count=until - first)
            return []
        found = list(self._fetched(symbol, first, min(until, first + self.settings.live_gap_max)))
        self.heard.filled += len(found)
        log.info(
            "a gap was filled", symbol=symbol, first=first, missing=until - first, filled=len(found)
        )
        return [
            b"%d %s" % (self.clock() * 1000, orjson.dumps(_as_message(symbol, row)))
            for row in found
        ]

    def _fetched(self, symbol: str, first: int, until: int) -> Iterator[dict[str, Any]]:
        while first < until:
            asked = urlencode(
                {"symbol": symbol, "fromId": first, "limit": min(REST_ROWS_MAX, until - first)}
            )
            url = f"{self.settings.live_rest_url}/api/v3/historicalTrades?{asked}"
            try:
                with urllib.request.urlopen(url, timeout=REST_TIMEOUT_S) as answer:
                    rows = json.load(answer)
            except (OSError, ValueError, urllib.error.HTTPError) as error:
                log.warning("a gap stays", symbol=symbol, first=first, error=str(error)[:200])
                return
            rows = [row for row in rows if first <= int(row["id"]) < until]
            if not rows:
                return
            yield from rows
            first = int(rows[-1]["id"]) + 1


def _hear(
    connection: ClientConnection, silence_s: float, ends_s: float | None
) -> Iterator[list[bytes]]:
    """What comes within 50 ms, again and again. Raises TimeoutError after `silence_s` without a
    message.
    """
    heard_s = time.monotonic()
    while ends_s is None or time.monotonic() < ends_s:
        messages: list[bytes] = []
        until_s = time.monotonic() + POLL_S
        while len(messages) < LINES_MAX and (left_s := until_s - time.monotonic()) > 0:
            try:
                message = connection.recv(timeout=left_s)
            except TimeoutError:
                break
            except WebSocketException:
                yield messages  # what came before the end counts
                raise
            messages.append(message.encode() if isinstance(message, str) else message)
        heard_s = time.monotonic() if messages else heard_s
        if time.monotonic() - heard_s > silence_s:
            raise TimeoutError(f"nothing came for {silence_s:g} s")
        yield messages


def _silence(pause_s: float) -> Iterator[list[bytes]]:
    """Wait, with empty batches meanwhile, so that heartbeats go on."""
    until_s = time.monotonic() + pause_s
    while time.monotonic() < until_s:
        yield []
        time.sleep(min(POLL_S, max(0.0, until_s - time.monotonic())))


def _trade(message: bytes) -> tuple[str, int] | None:
    """Symbol and number of a trade; None for every other message."""
    if b"trade" not in message[:120]:
        return None
    try:
        found = orjson.loads(message)
        data = found.get("data", found)
        return (str(data["s"]), int(data["t"])) if data.get("e") == "trade" else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _as_message(symbol: str, row: dict[str, Any]) -> dict[str, Any]:
    """A trade of the REST interface as the socket would have said it."""
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
