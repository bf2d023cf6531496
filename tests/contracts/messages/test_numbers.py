"""Numbers as Java reads them: JSON numbers, or texts in the notation of `parseDouble`."""

import json

import pytest

from contracts.messages.encoding import encode
from contracts.messages.parsing import NESTING_MAX, NUMBER_CHARS_MAX, parse
from contracts.tick import MESSAGE_BYTES_MAX, Reason, Rejected, Tick

NOW_US = 1_750_000_000_000_000
TICK = Tick("V", "S", NOW_US, NOW_US, 100.0, 2.0, 1, "t", 7)


def with_value(name: str, value: str) -> bytes:
    """The message of TICK with this JSON text as the value of one field."""
    fields = {**json.loads(encode(TICK)), name: "@"}
    return json.dumps(fields).replace('"@"', value).encode()


def outcome(name: str, value: str):
    """The field of the parsed tick, or the reason and the detail of its rejection."""
    parsed = parse(with_value(name, value), NOW_US)
    if isinstance(parsed, Rejected):
        return parsed.reason, parsed.detail
    return getattr(parsed, name)


@pytest.mark.parametrize(
    ("value", "price"),
    [
        ("12.5", 12.5),
        ("125e-1", 12.5),
        ('"12.5"', 12.5),
        ('" +12.5\\n"', 12.5),
        ('"12.5f"', 12.5),
        ('"12.5D"', 12.5),
        ('".5"', 0.5),
        ('"5."', 5.0),
        ('"1e2"', 100.0),
        ('"0x1.8p1"', 3.0),
        ('"0X.8P3d"', 4.0),
    ],
)
def test_a_number_in_javas_notation_is_read(value, price):
    assert outcome("price", value) == price


@pytest.mark.parametrize(
    "value",
    [
        *('""', '" "', '"."', '"e5"', '"1e"', '"1_000"', '"1,5"', '"0x10"', '"1dd"', '"٣"'),
        *('"nan"', '"inf"', '"++1"', '"--NaN"', '"NaNf"', '"1\u00a0"', '"0x1p99999"', '"1e999"'),
        *('"NaN"', '"-Infinity"', "1e999", "true", "null", "[1]"),
    ],
)
def test_a_price_that_is_not_a_finite_number_is_invalid(value):
    assert outcome("price", value) == (Reason.INVALID_FIELD, "price")


@pytest.mark.parametrize(
    "value", ['"NaN"', '"+NaN"', '"Infinity"', "-1e999", '"x"', "null", "true", '"-0x1p99999"']
)
def test_a_quote_that_is_not_a_finite_number_counts_as_absent(value):
    assert outcome("bid", value) is None


@pytest.mark.parametrize(
    ("value", "seq"),
    [
        ("7", 7),
        ("7.999", 7),
        ("-0.9", 0),
        ("1e3", 1000),
        ('" +7 "', 7),
        ('"007"', 7),
        (str(2**63 - 1), 2**63 - 1),
        (f'"{2**63 - 1}"', 2**63 - 1),
    ],
)
def test_a_whole_number_loses_its_fraction_as_a_number_only(value, seq):
    assert outcome("seq", value) == seq


@pytest.mark.parametrize(
    "value",
    [
        '"7.0"',
        '"1e3"',
        '""',
        str(2**64),
        f'"{2**63}"',
        "1e999",
        "true",
        "[7]",
        '"' + "9" * 4001 + '"',
    ],
)
def test_a_sequence_that_is_not_a_whole_number_of_64_bits_is_invalid(value):
    assert outcome("seq", value) == (Reason.INVALID_FIELD, "seq")


@pytest.mark.parametrize("value", [str(2**31), str(-(2**31) - 1), f'"{2**31}"'])
def test_a_side_beyond_32_bits_is_invalid_and_not_out_of_range(value):
    assert outcome("side", value) == (Reason.INVALID_FIELD, "side")
    assert outcome("side", "2147483647") == (Reason.OUT_OF_RANGE, "")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("42", "42"),
        ("4.20", "4.20"),
        ("true", "true"),
        ('[1, "a" ,null]', '[1,"a",null]'),
        ('{"a" : [1.0, {}]}', '{"a":[1.0,{}]}'),
        ('"\\ud800"', "?"),
    ],
)
def test_an_identifier_of_another_type_is_its_json(value, text):
    assert outcome("trade_id", value) == text


@pytest.mark.parametrize(("name", "longest"), [("venue", 32), ("symbol", 32), ("trade_id", 64)])
def test_a_text_has_one_character_to_the_longest(name, longest):
    for character in ("x", "é", "\U0001f600", "\n"):
        value = json.dumps(character * longest)
        assert outcome(name, value) == character * longest
        longer = json.dumps(character * (longest + 1))
        assert outcome(name, longer) == (Reason.INVALID_FIELD, name)
    assert outcome(name, '""') == outcome(name, "null") == (Reason.INVALID_FIELD, name)


def test_a_colon_is_allowed_in_the_trade_id_only():
    assert outcome("trade_id", '"a:b"') == "a:b"
    for name in ("venue", "symbol"):
        assert outcome(name, '"a:b"') == (Reason.INVALID_FIELD, name)


def test_a_number_has_a_thousand_characters_at_most():
    digits = "0." + "1" * (NUMBER_CHARS_MAX - 2)
    assert outcome("price", digits) == float(digits)
    assert outcome("price", digits + "1") == (Reason.MALFORMED_JSON, "")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_an_unknown_field_may_be_nested_up_to_the_limit(opening, closing):
    levels = NESTING_MAX - 1  # the message itself is one level
    assert outcome("price", f'1,"unknown":{opening * levels}1{closing * levels}') == 1.0
    levels += 1
    deeper = f'1,"unknown":{opening * levels}1{closing * levels}'
    assert outcome("price", deeper) == (Reason.MALFORMED_JSON, "")


def test_a_message_of_the_longest_length_is_read_and_a_longer_one_says_its_length():
    message = encode(TICK).ljust(MESSAGE_BYTES_MAX)
    assert parse(message, NOW_US) == TICK
    assert parse(message + b" ", NOW_US).detail == "65,537 bytes"


@pytest.mark.parametrize(
    ("first", "second", "detail"),
    [("venue", "price", "venue"), ("price", "seq", "seq"), ("size", "price", "price")],
)
def test_of_several_invalid_fields_texts_come_first_and_then_whole_numbers(first, second, detail):
    fields = json.loads(encode(TICK)) | {first: None, second: None}
    assert parse(json.dumps(fields).encode(), NOW_US).detail == detail


def test_an_absent_or_infinite_quote_does_not_cross_the_other():
    fields = json.loads(encode(TICK))
    for bid, ask in ((200.0, None), (None, 1.0), (200.0, "NaN"), ("NaN", 1.0)):
        tick = parse(json.dumps(fields | {"bid": bid, "ask": ask}).encode(), NOW_US)
        assert isinstance(tick, Tick)
    crossed = parse(json.dumps(fields | {"bid": "Infinity", "ask": 1.0}).encode(), NOW_US)
    assert crossed.reason is Reason.CROSSED_QUOTE
