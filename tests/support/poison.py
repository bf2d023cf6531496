"""Messages designed to break a parser.

10² to 10⁵ elements, 10⁴ levels and strings of 60 KB, in every field of a tick.
"""

from collections.abc import Iterable, Iterator

from contracts.tick import MESSAGE_BYTES_MAX
from tests.support.odd_messages import QUOTES, REALS, TEXTS, WHOLES, good, text

ELEMENTS = (10**2, 10**3, 10**4, 10**5)
LEVELS = 10**4
TEXT_BYTES = 60_000
FIELDS = (*TEXTS, *WHOLES, *REALS, *QUOTES, "heartbeat", "unknown")


def values() -> Iterator[str]:
    """JSON texts for a field's value; those with 10⁵ elements are too long for a message."""
    for count in ELEMENTS:
        yield f"[{','.join(['1'] * count)}]"
        yield "[" + ",".join(['"a"', '"b"'] * (count // 2)) + "]"
        yield f"[ {' , '.join(['1'] * (count // 2))} , 2.5 ]"
        yield "{" + ",".join(f'"k{number}":1' for number in range(count)) + "}"
    yield "[" * LEVELS + "]" * LEVELS
    yield '{"a":' * LEVELS + "1" + "}" * LEVELS
    yield "[" * TEXT_BYTES
    yield '{"a":' * (TEXT_BYTES // 5)
    for repeated in ("x", "a😀", "\\\\", "\\u0041", "\t", "[", "{", ",1"):
        yield f'"{repeated * (TEXT_BYTES // len(repeated.encode()))}"'
    yield "1" * TEXT_BYTES
    yield "1e" + "1" * TEXT_BYTES
    yield "[" + "1e1111111," * (TEXT_BYTES // 10) + "1]"
    yield " " * TEXT_BYTES + "1"
    yield "\t" * TEXT_BYTES + "{}"
    yield "1" + '"' * TEXT_BYTES


def messages(time_us: int, names: Iterable[str] = FIELDS) -> Iterator[bytes]:
    """Every value in each of these fields, then messages around the length limit.

    Except for their length, the latter are valid ticks or heartbeats.
    """
    number = 0
    for name in names:
        for value in values():
            number += 1
            yield text(good(number, time_us) | {name: value})
    limit = MESSAGE_BYTES_MAX
    for size in (limit - 1, limit, limit + 1, limit + 10, 2 * limit):
        for pad in (_with_unknown_field, bytes.ljust, bytes.rjust, _with_tail):
            number += 1
            yield pad(text(good(number, time_us)), size)
    yield b'{"schema_version":1, "heartbeat": true, "event_time_us":1}'.ljust(MESSAGE_BYTES_MAX + 1)


def huge(time_us: int, size: int) -> Iterator[bytes]:
    """Messages of `size` bytes: zeros, blanks, a long array, and ticks that are too long."""
    yield bytes(size)
    yield b" " * size
    yield b"1," * (size // 2)
    yield text(good(1, time_us) | {"price": f"[{','.join(['1'] * (size // 2 - 200))}]"})
    yield _with_unknown_field(text(good(2, time_us)), size)
    yield text(good(3, time_us)).ljust(size)


def _with_unknown_field(message: bytes, size: int) -> bytes:
    return message[:-1] + b',"unknown":"' + b"x" * (size - len(message) - 13) + b'"}'


def _with_tail(message: bytes, size: int) -> bytes:
    return message.ljust(size, b"[")
