"""The bytes of keys, integers and times, without Feast: limits, and what other writers store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.online import redis_layout as layout
from tests.support.feature_rows import feast_double

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=65)


@given(NAMES)
def test_a_symbol_comes_back_from_its_key(symbol):
    assert layout.symbol_of(layout.entity_key(symbol)) == symbol


@pytest.mark.parametrize("symbol", ["lakehouse_tick", "symbol", "A:Ärger", "A:🚀", " "])
def test_a_symbol_may_look_like_a_part_of_the_key(symbol):
    assert layout.symbol_of(layout.entity_key(symbol)) == symbol


@pytest.mark.parametrize(
    ("value", "bytes_"),
    [(0, 1), (127, 1), (128, 2), (2**14 - 1, 2), (2**14, 3), (2**63 - 1, 9), (-1, 10)],
)
def test_an_integer_has_seven_bits_per_byte(value, bytes_):
    encoded = layout.encode_int64(value)
    assert len(encoded) == 1 + bytes_
    assert layout.decode_int64(encoded) == value


@pytest.mark.parametrize("data", [None, b"", b"\x29" + bytes(8), b"\x18\x05", b"\x12\x01a"])
def test_what_is_not_an_integer_is_missing(data):
    assert layout.decode_int64(data) is None


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"\x29",
        feast_double(1.0)[:-1],
        feast_double(1.0) + b"\x00",
        b"\x21" + feast_double(1.0)[1:],
        layout.encode_int64(7),
    ],
    ids=repr,
)
def test_what_is_not_exactly_a_double_is_missing(data):
    assert layout.decode_double(data) is None


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_double_that_is_not_finite_is_missing(value):
    assert layout.decode_double(feast_double(value)) is None


@pytest.mark.parametrize("value", [0.0, -0.0, 5e-324, 1.7976931348623157e308, -1.5])
def test_a_finite_double_comes_back_with_its_sign(value):
    assert repr(layout.decode_double(feast_double(value))) == repr(value)


@pytest.mark.parametrize(
    ("time_ms", "encoded"),
    [
        (0, b""),
        (1, b"\x10\xc0\x84\x3d"),
        (1000, b"\x08\x01"),
        (1001, b"\x08\x01\x10\xc0\x84\x3d"),
    ],
)
def test_a_time_leaves_out_what_is_zero(time_ms, encoded):
    assert layout.encode_time_ms(time_ms) == encoded


def test_a_time_may_have_its_fields_in_any_order():
    """Protobuf allows it; other writers than this one may do so."""
    seconds, nanos = b"\x08\x05", b"\x10\xc0\x84\x3d"
    assert (
        layout.decode_time_us(nanos + seconds)
        == layout.decode_time_us(seconds + nanos)
        == 5_001_000
    )


def test_a_time_below_a_microsecond_is_cut():
    assert layout.decode_time_us(b"\x08\x01\x10\xe7\x07") == 1_000_000
    assert layout.decode_time_us(b"\x08\x01\x10\xe8\x07") == 1_000_001


def test_the_field_of_a_time_names_its_view():
    assert layout.time_field("tick_1s") == b"_ts:tick_1s"
