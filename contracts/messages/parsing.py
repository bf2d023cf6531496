"""`parse()`: one message → Tick or Rejected, never an exception. The live job applies the same
rules in SQL.

It reads JSON as Flink's JSON format does, because both must accept the same messages: numbers may
be strings (in Java's notation), the fraction of an integer field is cut off, the last value of a
repeated field counts, text after the object is ignored (details in `contracts.messages.decoding`).
"""

import json
import math
import re
from itertools import accumulate, takewhile
from types import CodeType
from typing import Any, NoReturn

from contracts.fields import Field, Kind
from contracts.messages import decoding
from contracts.tick import (
    CHARS_MAX,
    FIELDS,
    KEY,
    LONG_MAX,
    MESSAGE_BYTES_MAX,
    MESSAGE_FIELDS,
    QUOTES,
    RULES,
    Reason,
    Rejected,
    Tick,
)

NESTING_MAX = 200  # deeper is an attack: Python's parser would hit its recursion limit
NUMBER_CHARS_MAX = 1000  # Jackson's limit
_WHOLES = tuple(field for field in MESSAGE_FIELDS if field.kind in (Kind.INT, Kind.LONG))
_REALS = tuple(field for field in FIELDS if field.kind is Kind.REAL)
_TEXTS = {
    name: re.compile(f"{'[^:]' if name in KEY else '.'}{{1,{longest}}}", re.DOTALL)
    for name, longest in CHARS_MAX.items()
}
_BLANK = "".join(map(chr, range(33)))  # the characters that Java's trim() strips
_SUFFIX = "fFdD"  # of Java's float and double literals
_DECIMAL = re.compile(
    r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fFdD]?|NaN|Infinity)", re.ASCII
)
_HEX = re.compile(
    r"[+-]?0[xX]([0-9a-fA-F]+\.?|[0-9a-fA-F]*\.[0-9a-fA-F]+)[pP][+-]?\d+[fFdD]?", re.ASCII
)
_WHOLE = re.compile(r"[+-]?\d{1,4000}", re.ASCII)
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_DEPTH = {"[": 1, "{": 1, "]": -1, "}": -1}  # a string changes nothing
_MOST = {Kind.INT: 2**31 - 1, Kind.LONG: LONG_MAX}
_RULES: tuple[tuple[Reason, CodeType], ...] = tuple(
    (reason, compile(text, reason, "eval")) for reason, text in RULES
)


class _Number(str):
    """A JSON number, kept as its text."""

    __slots__ = ()


class _NotATickError(Exception):
    """Why a message is not a tick."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def parse(raw: bytes, received_us: int) -> Tick | Rejected:
    """The tick in `raw`, or why it is none. `received_us` (µs UTC) is its arrival, the bound of its
    event time.
    """
    try:
        return _read_tick(_load_object(raw), received_us)
    except _NotATickError as error:
        return Rejected(error.reason, raw, error.detail)


def _load_object(raw: bytes) -> dict[str, Any]:
    """The JSON object at the start of the message."""
    if len(raw) > MESSAGE_BYTES_MAX:
        raise _NotATickError(Reason.TOO_LONG, f"{len(raw):,} bytes")
    try:
        message = _load_json(raw)
    except (ValueError, RecursionError) as error:
        raise _NotATickError(Reason.MALFORMED_JSON) from error
    if not isinstance(message, dict):
        raise _NotATickError(Reason.MALFORMED_JSON, "not an object")
    return message


def _read_tick(message: dict[str, Any], received_us: int) -> Tick:
    """The tick of a message. An infinite quote, or NaN, counts as absent once the rules hold."""
    fields = _read_fields(message)
    reason = _find_broken_rule(fields | {"received_us": received_us})
    if reason is not None:
        raise _NotATickError(reason)
    del fields["schema_version"]
    return Tick(**fields | {name: None for name in QUOTES if not _is_finite(fields[name])})


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _keep_text(number: str) -> _Number:
    if len(number) > NUMBER_CHARS_MAX:
        raise ValueError(f"number longer than {NUMBER_CHARS_MAX:,} characters")
    return _Number(number)


_DECODER = json.JSONDecoder(
    parse_float=_keep_text, parse_int=_keep_text, parse_constant=_reject_constant, strict=False
)


def _load_json(raw: bytes) -> Any:
    text = decoding.decode(raw).lstrip(" \t\r\n")
    if text.count("[") + text.count("{") > NESTING_MAX and _is_deep(text):
        raise ValueError("nested too deeply")
    return _DECODER.raw_decode(text)[0]


def _is_deep(text: str) -> bool:
    """Whether the first value nests deeper than NESTING_MAX.

    Brackets inside strings do not count, nor does text after that value.
    """
    depths = accumulate(_DEPTH.get(token[0], 0) for token in _BRACKETS.finditer(text))
    return any(depth > NESTING_MAX for depth in takewhile(bool, depths))


def _read_fields(message: dict[str, Any]) -> dict[str, Any]:
    """The fields of a tick by name. The first invalid one, in this order, is the detail."""
    if str(message.get("heartbeat")).strip(_BLANK).lower() == "true":
        raise _NotATickError(Reason.INVALID_FIELD, "heartbeat")
    texts = {name: _read_text(message, name) for name in _TEXTS}
    wholes = {field.name: _read_whole(message, field) for field in _WHOLES}
    reals = {field.name: _read_real(message, field) for field in _REALS}
    return texts | wholes | reals


def _read_text(message: dict[str, Any], name: str) -> str:
    value = message.get(name)
    text = value if isinstance(value, str) else _dump_json(value)
    if value is None or not _TEXTS[name].fullmatch(text):
        raise _NotATickError(Reason.INVALID_FIELD, name)
    # A lone surrogate cannot be encoded: replace it.
    return text.encode("utf-8", "replace").decode("utf-8")


def _dump_json(value: Any) -> str:
    """JSON without whitespace, numbers as they were written."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        pairs = (f"{_dump_json(name)}:{_dump_json(member)}" for name, member in value.items())
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_dump_json, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _read_whole(message: dict[str, Any], field: Field) -> int:
    most = _MOST[field.kind]
    number = _parse_whole(message.get(field.name), most)
    if number is None or not -most - 1 <= number <= most:
        raise _NotATickError(Reason.INVALID_FIELD, field.name)
    return number


def _parse_whole(value: Any, most: int) -> int | None:
    """A whole number as text, or the whole part of a JSON number in the type's range."""
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip(_BLANK)):
        return int(value.strip(_BLANK))
    if isinstance(value, _Number) and float(-most - 1) <= float(value) <= float(most):
        return min(int(float(value)), most)
    return None


def _read_real(message: dict[str, Any], field: Field) -> float | None:
    number = _parse_real(message.get(field.name))
    if field.required and not _is_finite(number):
        raise _NotATickError(Reason.INVALID_FIELD, field.name)
    return number


def _parse_real(value: Any) -> float | None:
    """Parse as Java's `Double.parseDouble` does: also hexadecimal, `1d`, `NaN`, `Infinity`."""
    if not isinstance(value, str):
        return None
    text = value.strip(_BLANK)
    if _DECIMAL.fullmatch(text):
        return float(text.rstrip(_SUFFIX))
    return _from_hex(text) if _HEX.fullmatch(text) else None


def _from_hex(text: str) -> float:
    try:
        return float.fromhex(text.rstrip(_SUFFIX))
    except OverflowError:
        return -math.inf if text.startswith("-") else math.inf


def _is_finite(number: float | None) -> bool:
    return number is not None and math.isfinite(number)


def _find_broken_rule(values: dict[str, Any]) -> Reason | None:
    """The reason of the first rule that rejects. An absent quote is NaN: nothing exceeds it."""
    operands = {name: math.nan if value is None else value for name, value in values.items()}
    broken = (reason for reason, rule in _RULES if eval(rule, {"__builtins__": {}}, operands))
    return next(broken, None)
