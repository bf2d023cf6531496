"""Gaps of a live feed are filled over REST, whatever the exchange answers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from contracts.config.settings import Settings
from contracts.errors import FeedError
from streaming.feeds import binance_live
from streaming.feeds.binance_live import LiveFeed
from tests.support.loopback import serving

NOW_US = 1_723_161_255_342_000
HUGE = 10**9


def row(number: int) -> dict:
    return {"id": number, "price": "1.5", "qty": "2", "time": NOW_US // 1000, "isBuyerMaker": True}


def message(number: object, symbol: str = "BTCUSDT", **more: object) -> bytes:
    data = {"e": "trade", "s": symbol, "t": number, **more}
    return orjson.dumps({"stream": f"{symbol.lower()}@trade", "data": data})


def numbers(lines: list[bytes]) -> list[object]:
    return [orjson.loads(line.partition(b" ")[2])["data"].get("t") for line in lines]


@contextmanager
def rest(answer) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """A REST interface with the bodies of `answer(first, limit)`; yields its URL and requests."""
    requests: list[tuple[int, int]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            requests.append((int(query["fromId"][0]), int(query["limit"][0])))
            status, body = answer(*requests[-1])
            self.send_response(abs(status))
            if status < 0:  # the connection ends before the announced length
                self.send_header("Content-Length", str(len(body) + 10))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Do not log."""

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}", requests


def trades(first: int, limit: int) -> tuple[int, bytes]:
    return 200, json.dumps([row(number) for number in range(first, first + limit)]).encode()


def feed(tmp_path, url: str | None = None, **fields) -> LiveFeed:
    settings = Settings(home=tmp_path, live_rest_url=url, **fields)
    return LiveFeed(settings, ("BTCUSDT",), clock=lambda: NOW_US)


def test_missing_trades_come_before_the_one_that_showed_the_gap(tmp_path):
    with rest(trades) as (url, requests):
        live = feed(tmp_path, url)
        lines = live._complete_lines([message(5), message(9), message(10)])
    assert numbers(lines) == [5, 6, 7, 8, 9, 10]
    assert requests == [(6, 3)]
    assert (live.stats.gaps, live.stats.missing, live.stats.filled) == (1, 3, 3)
    assert all(line.startswith(b"%d " % (NOW_US * 1000)) for line in lines)


def test_the_first_trade_of_a_symbol_is_not_a_gap(tmp_path):
    live = feed(tmp_path)
    live._complete_lines([message(HUGE), message(5, "ETHUSDT"), message(6, "ETHUSDT")])
    assert live.stats.gaps == 0


def test_trades_that_were_received_are_dropped(tmp_path):
    live = feed(tmp_path)
    lines = live._complete_lines([message(5), message(5), message(4), message(6)])
    assert numbers(lines) == [5, 6]


def test_messages_without_a_trade_number_pass(tmp_path):
    strange = [message("x"), message(None), b"no json", b'{"data": 7, "trade": 1}', b'["trade"]']
    lines = feed(tmp_path)._complete_lines(strange)
    assert [line.partition(b" ")[2] for line in lines] == strange


def test_a_long_gap_is_fetched_in_pages_up_to_the_limit(tmp_path):
    with rest(trades) as (url, requests):
        live = feed(tmp_path, url, live_gap_max=2_500)
        lines = live._complete_lines([message(1), message(10_002)])
    assert requests == [(2, 1000), (1002, 1000), (2002, 500)]
    assert numbers(lines) == [*range(1, 2_502), 10_002]
    assert (live.stats.missing, live.stats.filled) == (10_000, 2_500)


def test_trades_beyond_the_gap_are_not_taken(tmp_path):
    with rest(lambda first, _limit: trades(first - 3, 50)) as (url, _):
        lines = feed(tmp_path, url)._complete_lines([message(5), message(8)])
    assert numbers(lines) == [5, 6, 7, 8]


def test_filling_ends_at_the_first_trade_that_rest_lacks(tmp_path):
    with rest(lambda first, _limit: trades(first, 2) if first < 8 else (200, b"[]")) as (url, _):
        live = feed(tmp_path, url)
        lines = live._complete_lines([message(5), message(20)])
    assert numbers(lines) == [5, 6, 7, 20]
    assert (live.stats.missing, live.stats.filled) == (14, 2)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, b"[]"),
        (429, b'{"code": -1003}'),
        (200, b""),
        (200, b"<html>"),
        (200, b'{"code": -1121, "msg": "Invalid symbol."}'),
        (200, b"null"),
        (200, b"[1, 2]"),
        (200, b'[{"id": 6}]'),
        (200, b'[{"id": "six", "price": "1"}]'),
        (-200, json.dumps([row(6)]).encode()),
    ],
)
def test_an_answer_that_is_not_trades_is_logged_and_the_feed_goes_on(
    tmp_path, capsys, status, body
):
    with rest(lambda _first, _limit: (status, body)) as (url, _):
        live = feed(tmp_path, url)
        lines = live._complete_lines([message(5), message(8), message(9)])
    assert numbers(lines) == [5, 8, 9]
    assert (live.stats.gaps, live.stats.missing, live.stats.filled) == (1, 2, 0)
    assert "could not fill a gap" in capsys.readouterr().out


def test_without_rest_a_gap_is_logged(tmp_path, capsys):
    live = feed(tmp_path)
    assert numbers(live._complete_lines([message(5), message(8)])) == [5, 8]
    assert "trades are missing" in capsys.readouterr().out


def test_a_live_feed_has_no_end_and_says_so(tmp_path):
    live = feed(tmp_path, live_idle_lag_s=2.5)
    with pytest.raises(FeedError, match="unknown") as caught:
        live.span(NOW_US)
    assert "--as-live" in caught.value.hint
    assert (live.idle_lag_us, live.formats) == (2_500_000, ("stream.binance.com:9443",))


@pytest.mark.parametrize(
    ("url", "venue"),
    [
        ("wss://stream.binance.com:9443/stream", "BINANCE"),
        ("wss://fstream.binance.com/stream", "BINANCE_USDM"),
        ("wss://dstream.binance.com/stream", "BINANCE_COINM"),
        ("ws://127.0.0.1:1/stream", None),
    ],
)
def test_the_market_follows_from_the_host(url, venue):
    assert binance_live._venue(url) == venue
