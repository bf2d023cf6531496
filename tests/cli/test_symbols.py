"""The option --symbols: its list, its spaces, its errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.symbols import split_full_symbols, split_symbols
from contracts.errors import DatasetError


@pytest.mark.parametrize("read", [split_symbols, split_full_symbols])
@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        (None, None),
        ("V:A", ["V:A"]),
        ("V:A,W:B", ["V:A", "W:B"]),
        (" V:A , W:B ,", ["V:A", "W:B"]),
        (",,V:A,,", ["V:A"]),
        ("V:A,V:A", ["V:A", "V:A"]),
        ("V:a b", ["V:a b"]),
    ],
)
def test_symbols_are_separated_by_commas(read, text, symbols):
    assert read(text) == symbols


@pytest.mark.parametrize("read", [split_symbols, split_full_symbols])
@pytest.mark.parametrize("text", ["", ",", " ", " , ,", "\t"])
def test_a_list_without_a_symbol_is_refused(read, text):
    with pytest.raises(DatasetError, match="contains no symbol") as error:
        read(text)
    assert repr(text) in error.value.message
    assert "--symbols BINANCE:BTCUSDT" in error.value.hint


@pytest.mark.parametrize(
    ("text", "wrong"), [("A", "A"), ("V:A,B", "B"), ("V:A:B", "V:A:B"), ("V;A,W:B", "V;A")]
)
def test_the_first_symbol_without_one_venue_is_named(text, wrong):
    with pytest.raises(DatasetError, match="is not VENUE:SYMBOL") as error:
        split_full_symbols(text)
    assert f"{wrong!r} is not" in error.value.message
    assert "BINANCE:BTCUSDT" in error.value.hint


@given(st.lists(st.text("ABZ09:-_", min_size=1), min_size=1))
def test_what_is_joined_is_split_again(symbols):
    assert split_symbols(",".join(symbols)) == symbols
