"""Gaps of a live feed are filled over REST, whatever the exchange answers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from threading import Event
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from contracts.config.settings import Settings
from contracts.errors import FeedError
from streaming.feeds import binance_rest
from streaming.feeds.binance_live import LiveFeed
from streaming.feeds.trade_ids import TradeIds
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
    patient = {"live_idle_lag_s": 20.0} | fields
    settings = Settings(home=tmp_path, live_rest_url=url, **patient)
    trade_ids = TradeIds(tmp_path / "live.json", settings.live_url)
    return LiveFeed(settings, ("BTCUSDT",), trade_ids=trade_ids, clock=lambda: NOW_US)


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
        (200, json.dumps([row(6) | {"id": "6"}]).encode()),
        (200, json.dumps([row(6) | {"id": True}]).encode()),
        (200, json.dumps([row(6) | {"price": None}]).encode()),
        (200, json.dumps([row(6) | {"time": "x"}]).encode()),
        (200, b"[" * 5_000),
        (200, b" " * (binance_rest.ANSWER_BYTES_MAX + 1)),
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


def test_trades_that_rest_repeats_or_mixes_up_come_once_and_in_order(tmp_path):
    def mixed(first: int, limit: int) -> tuple[int, bytes]:
        rows = [row(number) for number in range(first, first + limit)]
        return 200, json.dumps([*reversed(rows), *rows]).encode()

    with rest(mixed) as (url, _):
        lines = feed(tmp_path, url)._complete_lines([message(5), message(9)])
    assert numbers(lines) == [5, 6, 7, 8, 9]


@pytest.fixture
def held() -> Iterator[tuple[Event, str]]:
    """A REST interface that answers only once the event is set."""
    released = Event()

    def answer(first: int, limit: int) -> tuple[int, bytes]:
        released.wait(20)
        return trades(first, limit)

    with rest(answer) as (url, _):
        yield released, url
        released.set()


def test_a_slow_rest_interface_holds_up_nothing_and_its_trades_follow(tmp_path, held):
    released, url = held
    live = feed(tmp_path, url, live_idle_lag_s=0.01)
    assert numbers(live._complete_lines([message(5), message(8), message(9)])) == [5, 8, 9]
    assert numbers(live._complete_lines([message(10), message(12)])) == [10, 12]
    assert live._fetched() == []
    released.set()
    assert numbers(live._fetched(wait_s=20)) == [6, 7, 11]
    assert (live.stats.gaps, live.stats.missing, live.stats.filled) == (2, 3, 3)


def test_the_feed_ends_with_the_gaps_that_are_still_being_filled(tmp_path, held):
    released, url = held
    live = feed(tmp_path, url, live_idle_lag_s=0.01)
    live._complete_lines([message(5), message(8)])
    drain = live._drain()
    assert next(drain) == []
    released.set()
    assert numbers([line for lines in drain for line in lines]) == [6, 7]


def test_fetching_ends_when_the_time_of_the_gap_is_over(tmp_path, held, capsys):
    _, url = held
    live = feed(tmp_path, url, live_idle_lag_s=0.01, live_gap_fill_s=0.05)
    live._complete_lines([message(5), message(8)])
    assert not [line for lines in live._drain() for line in lines]
    assert live.stats.filled == 0
    assert "could not fill a gap" in capsys.readouterr().out or live._filler.pending


def test_trades_missed_between_two_runs_are_a_gap_of_the_second(tmp_path):
    with rest(trades) as (url, requests):
        live = feed(tmp_path, url)
        live._complete_lines([message(5), message(6)])
        live.trade_ids.note(2, live._safe_ids())
        live.trade_ids.acknowledge(2)
        live.trade_ids.save()
        again = feed(tmp_path, url)
        lines = again._complete_lines([message(9), message(10)])
    assert numbers(lines) == [7, 8, 9, 10] and requests == [(7, 2)]
    assert (again.stats.gaps, again.stats.missing) == (1, 2)


def test_the_ids_of_the_next_run_are_before_a_gap_that_is_being_filled(tmp_path, held):
    released, url = held
    live = feed(tmp_path, url, live_idle_lag_s=0.01)
    live._complete_lines([message(5), message(8)])
    assert live._safe_ids() == {"BTCUSDT": 6}
    released.set()
    live._fetched(wait_s=20)
    assert live._safe_ids() == {"BTCUSDT": 9}


def test_trade_ids_that_began_again_are_taken_as_they_are(tmp_path, capsys):
    live = feed(tmp_path)
    assert numbers(live._complete_lines([message(HUGE), message(3), message(4)])) == [HUGE, 3, 4]
    assert live.stats.gaps == 0 and "trade ids began again" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("stream", "rest_url"),
    [
        ("wss://fstream.binance.com/stream", "https://api.binance.com"),
        ("wss://dstream.binance.com/stream", "https://dapi.binance.com"),
        ("wss://stream.binance.com:9443/stream", "https://fapi.binance.com"),
    ],
)
def test_gaps_of_futures_cannot_be_fetched_and_the_error_says_what_to_unset(
    tmp_path, stream, rest_url
):
    with pytest.raises(FeedError, match="only the spot API") as caught:
        feed(tmp_path, rest_url, live_url=stream)
    assert "unset TICK_LIVE_REST_URL" in caught.value.hint


def test_futures_without_a_rest_address_and_spot_with_one_are_accepted(tmp_path):
    assert feed(tmp_path, live_url="wss://fstream.binance.com/stream").stats.gaps == 0
    assert feed(tmp_path, "https://api.binance.com").stats.gaps == 0


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
    assert binance_rest.venue_of(url) == venue
