"""A message's bytes as Flink's JSON reader sees them: encodings, arrays, repeated columns."""

import json
import re

import pytest

from contracts.messages import decoding
from contracts.messages.decoding import INVALID_JSON, decode
from contracts.messages.encoding import encode
from contracts.messages.parsing import parse
from contracts.tick import Tick

NOW_US = 1_750_000_000_000_000
TICK = Tick("V", "S", NOW_US, NOW_US, 100.0, 2.0, 1, "t", 7)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-16")


def loaded(raw: bytes):
    return json.JSONDecoder(strict=False).raw_decode(decode(raw))[0]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_encoding_is_recognised_without_being_named(encoding):
    text = '{"symbol": "BTC\u00e9\U0001f600"}'
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("raw", "character"),
    [
        (b"\xc1\x81", "A"),  # overlong, two bytes
        (b"\xe0\x81\x81", "A"),  # overlong, three bytes
        (b"\xc0\x80", "\x00"),
        (b"\xed\xa0\xbd\xed\xb8\x80", "\U0001f600"),  # two surrogates of three bytes each
        (b"\xed\xa0\xbd", "\ud83d"),
        (b"\xef\xbf\xbd", "\ufffd"),
    ],
)
def test_bytes_that_are_characters_to_flink_become_escapes(raw, character):
    assert loaded(b'{"symbol":"' + raw + b'"}') == {"symbol": character}


@pytest.mark.parametrize("raw", [b"\xff", b"\xc3", b"\xc3(", b"\x80", b"\xf0\x9f\x98"])
def test_broken_bytes_are_invalid_json(raw):
    assert INVALID_JSON in decode(b'{"symbol":"' + raw + b'"}')
    with pytest.raises(ValueError):
        loaded(b'{"symbol":"' + raw + b'"}')


def test_an_array_with_one_object_is_that_object():
    assert loaded(b' [ {"price": 1}]') == {"price": 1}
    assert parse(b"[" + encode(TICK) + b"]", NOW_US) == TICK


def test_an_array_with_two_objects_is_rejected():
    with pytest.raises(ValueError):
        loaded(b'[{"price": 1}, {"price": 2}]')


def test_after_as_many_columns_as_there_are_the_rest_is_skipped():
    message = encode(TICK._replace(bid=1.0, ask=2.0, bid_size=1.0, ask_size=1.0))
    columns = len(decoding.NUMBERS) + len(decoding.TEXTS)
    full = message[:-1] + b',"heartbeat":false,"price":7,"price":8}'
    assert full.count(b'":') == columns + 2
    assert parse(full, NOW_US).price == TICK.price


def test_before_that_the_last_of_repeated_fields_counts():
    assert parse(encode(TICK)[:-1] + b',"price":7}', NOW_US).price == 7.0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{}", {"bid": None}),
        ("{ }", {"bid": None}),
        ('{"size":2}', {"bid": None, "size": 2}),
    ],
)
def test_an_object_in_place_of_a_number_ends_the_row_with_its_own_end(value, expected):
    assert loaded(f'{{"bid":{value},"size":1}}'.encode()) == expected


@pytest.mark.parametrize("value", ["[]", "[ ]", "[1,2]", '["a" , "b", 3, 4]'])
def test_an_array_in_place_of_a_number_that_shifts_the_names_is_rejected(value):
    assert INVALID_JSON in decode(f'{{"bid":{value},"size":1}}'.encode())


@pytest.mark.parametrize("value", ["[1]", "[1,2,3]", '["a"]'])
def test_an_array_that_does_not_shift_them_stays(value):
    assert decode(f'{{"bid":{value},"size":1}}'.encode()) == f'{{"bid":{value},"size":1}}'


def test_a_text_field_is_never_rewritten():
    text = '{"symbol":{},"venue":[],"trade_id":[1,2]}'
    assert decode(text.encode()) == text


@pytest.mark.parametrize(
    "pattern",
    [
        decoding.COLUMNS_THEN_REST,
        decoding.KNOWN_NAME,
        decoding.NUMBER_NAME,
        *(pattern for pattern, _ in (*decoding.AT_START, *decoding.AT_NUMBER)),
    ],
)
def test_a_loop_over_a_group_is_possessive_or_bounded(pattern):
    """Java recurses once per turn of any other one: 900 turns overflow its stack."""
    loops = re.findall(r"\)([*+]\+?)", pattern)
    assert all(loop.endswith("+") and len(loop) == 2 for loop in loops)
