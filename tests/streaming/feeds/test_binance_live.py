"""The live feed receives every trade once from a server that replays a recording with faults.

The server drops connections and trades.
"""

import gzip
import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import orjson
import polars as pl
import pytest
from websockets.sync.server import serve
from websockets.utils import accept_key

from contracts.config.settings import Settings
from streaming.feeds import open_feed
from streaming.feeds.binance_live import LiveFeed, _meanwhile
from tests.support.trade_files import real

LINES = 3000
COLUMNS = ["venue", "symbol", "event_time_us", "price", "size", "side", "trade_id", "seq"]
# Each connection plays a part of the recording: 40 trades are lost between the first two, and the
# last ones are sent twice.
PARTS = ((0, 1000), (1400, 2000), (1900, LINES))


@pytest.fixture(scope="module")
def lines():
    with gzip.open(real("raw/spot_btcusdt_20240808.gz")) as file:
        return [line.rstrip(b"\n") for line, _ in zip(file, range(LINES), strict=False)]


def trades_of(lines):
    messages = (orjson.loads(line.partition(b" ")[2]).get("data", {}) for line in lines)
    return {data["t"]: data for data in messages if data.get("e") == "trade"}


class Exchange:
    """A WebSocket server that plays PARTS, one per connection, and REST for lost trades."""

    def __init__(self, lines, rest=True):
        self.lines, self.paths, self.asked = lines, [], []
        self.trades = trades_of(lines) if rest else {}
        self.socket = serve(self.talk, "127.0.0.1", 0, compression=None)
        self.rest = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.threads = [
            threading.Thread(target=each.serve_forever, daemon=True)
            for each in (self.socket, self.rest)
        ]
        for thread in self.threads:
            thread.start()

    def talk(self, connection):
        self.paths.append(connection.request.path)
        start, end = PARTS[min(len(self.paths), len(PARTS)) - 1]
        for line in self.lines[start:end]:
            connection.send(line.partition(b" ")[2].decode())
        if len(self.paths) < len(PARTS):
            connection.close()
        else:
            connection.recv()  # until the other end goes

    def handler(self):
        exchange = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked = parse_qs(urlsplit(self.path).query)
                first, limit = int(asked["fromId"][0]), int(asked["limit"][0])
                exchange.asked.append((first, limit))
                found = [
                    exchange.trades[number]
                    for number in range(first, first + limit)
                    if number in exchange.trades
                ]
                rows = [
                    {
                        "id": t["t"],
                        "price": t["p"],
                        "qty": t["q"],
                        "time": t["T"],
                        "isBuyerMaker": t["m"],
                    }
                    for t in found
                ]
                self.send_response(200 if exchange.trades else 503)
                self.end_headers()
                self.wfile.write(json.dumps(rows).encode())

            def log_message(self, *_):
                pass

        return Handler

    def settings(self, tmp_path, **fields):
        socket, rest = (
            server.getsockname()[1] for server in (self.socket.socket, self.rest.socket)
        )
        own = {
            "live_url": f"ws://127.0.0.1:{socket}/stream",
            "live_rest_url": f"http://127.0.0.1:{rest}",
            "live_retry_s_max": 0.05,
        }
        return Settings(home=tmp_path, **own, **fields)

    def close(self):
        self.socket.shutdown()
        self.rest.shutdown()
        self.rest.server_close()
        for thread in self.threads:
            thread.join(5)


@pytest.fixture
def exchange(lines):
    made = Exchange(lines)
    yield made
    made.close()


def received_ticks(feed):
    batches = [
        batch for batch in feed.batches(feed.clock()) if batch.ticks.height or batch.rejected
    ]
    assert not [reject for batch in batches for reject in batch.rejected]
    return pl.concat([batch.ticks for batch in batches]).select(COLUMNS)


@pytest.fixture(scope="module")
def recorded(lines, tmp_path_factory):
    file = tmp_path_factory.mktemp("recording") / "spot_btcusdt.gz"
    file.write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))
    return pl.concat([batch.ticks for batch in open_feed([file]).batches(2**60)]).select(COLUMNS)


def test_every_trade_is_heard_once_as_its_recording_has_it(exchange, recorded, tmp_path):
    feed = LiveFeed(exchange.settings(tmp_path), ("BTCUSDT",), venue="BINANCE", duration_s=4)
    ticks = received_ticks(feed)
    assert ticks["trade_id"].n_unique() == len(ticks) == len(recorded)
    assert ticks.sort("seq").equals(recorded.sort("seq"))
    assert feed.stats.connections == 3 and feed.stats.gaps == 1
    assert feed.stats.missing == feed.stats.filled == sum(limit for _, limit in exchange.asked) > 0
    assert all("streams=btcusdt@trade/btcusdt@bookTicker" in path for path in exchange.paths)


def test_a_gap_that_no_one_fills_is_counted_and_the_rest_goes_on(lines, recorded, tmp_path):
    exchange = Exchange(lines, rest=False)
    try:
        feed = LiveFeed(exchange.settings(tmp_path), ("BTCUSDT",), venue="BINANCE", duration_s=4)
        ticks = received_ticks(feed)
    finally:
        exchange.close()
    assert feed.stats.filled == 0 and len(ticks) + feed.stats.missing == len(recorded)


def test_an_exchange_that_is_away_is_tried_again_and_time_goes_on(tmp_path):
    feed = LiveFeed(
        Settings(home=tmp_path, live_url="ws://127.0.0.1:9/stream", live_retry_s_max=0.05),
        ("X",),
        duration_s=0.5,
    )
    batches = list(feed.batches(feed.clock()))
    assert len(batches) > 5 and not any(batch.items for batch in batches)
    assert feed.stats.connections == 0


def test_a_dead_socket_is_left_after_the_set_time_and_the_feed_ends(tmp_path):
    """The peer accepts the WebSocket and then neither reads nor answers."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        peer = pool.submit(accept_and_fall_silent, server)
        address = f"ws://127.0.0.1:{server.getsockname()[1]}/stream"
        settings = Settings(home=tmp_path, live_url=address, live_close_s=0.1)
        feed = LiveFeed(settings, ("X",), duration_s=0.5)
        began_s = time.monotonic()
        assert len(list(feed.batches(feed.clock()))) > 3
        assert time.monotonic() - began_s < 8  # by default it waits for ten seconds
        peer.result().close()
    assert feed.stats.connections == 1


def accept_and_fall_silent(server: socket.socket) -> socket.socket:
    connection, _ = server.accept()
    key = re.search(rb"Sec-WebSocket-Key: (\S+)", connection.recv(65_536))[1].decode()
    answer = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
    )
    connection.sendall(answer.encode())
    return connection


def test_empty_batches_come_while_a_connection_is_being_opened():
    released = threading.Event()
    opening = _meanwhile(lambda: released.wait(20))
    assert [next(opening), next(opening)] == [[], []]
    released.set()
    with pytest.raises(StopIteration) as ended:
        while True:
            next(opening)
    assert ended.value.value is True


def test_a_silent_connection_is_opened_again(exchange, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.streaming.feeds.test_binance_live.PARTS", ((0, LINES),))
    feed = LiveFeed(
        exchange.settings(tmp_path, live_reconnect_after_s=1),
        ("BTCUSDT",),
        venue="BINANCE",
        duration_s=4,
    )
    ticks = received_ticks(feed)
    assert feed.stats.connections >= 2 and ticks["trade_id"].n_unique() == len(ticks)


def test_trades_are_accepted_after_the_clock_was_set_back(exchange, recorded, tmp_path):
    newest_us = recorded["event_time_us"].max()
    times = iter([newest_us])  # and from then on an hour earlier

    def set_back() -> int:
        return next(times, newest_us - 3_600_000_000)

    feed = LiveFeed(
        exchange.settings(tmp_path), ("BTCUSDT",), venue="BINANCE", duration_s=0.5, clock=set_back
    )
    batches = [batch for batch in feed.batches(0) if batch.items]
    assert sum(batch.ticks.height for batch in batches) > 0
    assert not [reject for batch in batches for reject in batch.rejected]
