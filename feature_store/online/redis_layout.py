"""The Redis layout of Feast 0.67, byte for byte: keys, fields and values.

Does not import Feast, which takes six seconds. Feast's published format page is out of date; the
two-way test against the installed SDK is authoritative.
"""

import math
import struct
from functools import lru_cache

import mmh3

PROJECT = "lakehouse_tick"
ENTITY = "symbol"
# Published with every row: seconds since the symbol's first row, capped at one hour; newest ingest
# time of its ticks.
METADATA_NAMES = ("warm_s", "known_at_us")
SYMBOLS_CACHED_MAX = 65_536
VALUE_BYTES_MAX = 32  # a time or an integer is shorter; longer bytes are damaged

_STRING = 2  # feast ValueType.STRING
# Protobuf tags inside feast.types.Value.
_TAG_INT64 = b"\x20"  # field 4, varint
_TAG_DOUBLE = b"\x29"  # field 5, 64 bits
_DOUBLE = struct.Struct("<d")
_DOUBLE_BYTES = 9


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<II", _STRING, len(encoded)) + encoded


_KEY_HEAD = struct.pack("<I", 1) + _text(ENTITY)
_SYMBOL_START = len(_KEY_HEAD) + struct.calcsize("<II")


def symbol_of(key: bytes) -> str | None:
    """The symbol of an entity key; None for a key of another form."""
    encoded = key[_SYMBOL_START : -len(PROJECT)]
    try:
        symbol = encoded.decode()
    except UnicodeDecodeError:
        return None
    expected = _KEY_HEAD + _text(symbol) + PROJECT.encode()
    return symbol if symbol and key == expected else None


@lru_cache(SYMBOLS_CACHED_MAX)
def entity_key(symbol: str) -> bytes:
    """The Redis key of a symbol (VENUE:SYMBOL): entity key serialisation v3, then the project."""
    return _KEY_HEAD + _text(symbol) + PROJECT.encode()


def field(view: str, name: str) -> bytes:
    """The hash field of one feature of one view."""
    return struct.pack("<I", mmh3.hash(f"{view}:{name}", signed=False))


def time_field(view: str) -> bytes:
    """The hash field of the event time of a view's row."""
    return f"_ts:{view}".encode()


def _varint(value: int) -> bytes:
    value &= 2**64 - 1
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and the position after it. Raises IndexError when the data ends in it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def parse_integer(data: bytes | None) -> int | None:
    """The integer of a key that is not Feast's, which is text; None when there is none."""
    try:
        return None if data is None else int(data)
    except ValueError:
        return None


def encode_int64(value: int) -> bytes:
    """A feast Value with an int64."""
    return _TAG_INT64 + _varint(value)


@lru_cache(4096)
def encode_time_ms(time_ms: int) -> bytes:
    """A protobuf Timestamp from ms since 1970 (≥ 0)."""
    seconds, ms = divmod(time_ms, 1000)
    return (b"\x08" + _varint(seconds) if seconds else b"") + (
        b"\x10" + _varint(ms * 1_000_000) if ms else b""
    )


def decode_double(data: bytes | None) -> float | None:
    """The double of a feast Value.

    None when absent, null, of another type or not finite (Feast accepts infinities).
    """
    if data and len(data) == _DOUBLE_BYTES and data[:1] == _TAG_DOUBLE:
        value: float = _DOUBLE.unpack_from(data, 1)[0]
        return value if math.isfinite(value) else None
    return None


def decode_int64(data: bytes | None) -> int | None:
    """The int64 of a feast Value; None when there is none, or its bytes are damaged."""
    if not data or data[:1] != _TAG_INT64:
        return None
    try:
        value, _ = _read_varint(data[:VALUE_BYTES_MAX], 1)
    except IndexError:
        return None
    return value - 2**64 if value >= 2**63 else value


def decode_time_us(data: bytes | None) -> int | None:
    """µs since 1970 of a protobuf Timestamp; None when there is none, or its bytes are damaged."""
    if not data or len(data) > VALUE_BYTES_MAX:
        return None
    parts = {1: 0, 2: 0}
    at = 0
    try:
        while at < len(data):
            number = data[at] >> 3
            parts[number], at = _read_varint(data, at + 1)
    except IndexError:
        return None
    return parts[1] * 1_000_000 + parts[2] // 1000
