"""`parse()`: one message → Tick or Rejected, never an exception. The live job applies the same
rules in SQL.

It reads JSON as Flink's JSON format does, because both must accept the same messages: numbers may
be strings (in Java's notation), the fraction of an integer field is cut off, the last value of a
repeated field counts, text after the object is ignored (details in `contracts.messages.decoding`).
"""

import json
import math
import re
from types import CodeType
from typing import Any, NoReturn

from contracts.fields import Field, Kind, names
from contracts.messages import decoding
from contracts.tick import (
    CHARS_MAX,
    FIELDS,
    KEY,
    LONG_MAX,
    MESSAGE_BYTES_MAX,
    MESSAGE_FIELDS,
    QUOTES,
    REQUIRED,
    RULES,
    Reason,
    Rejected,
    Tick,
)

NESTING_MAX = 200  # deeper is an attack: Python's parser would hit its recursion limit
NUMBER_CHARS_MAX = 1000  # Jackson's limit
WHOLE = tuple(field for field in MESSAGE_FIELDS if field.kind in (Kind.INT, Kind.LONG))
REAL = names(FIELDS, Kind.REAL)
_BLANK = "".join(map(chr, range(33)))  # the characters that Java's trim() strips
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[fFdD]?", re.ASCII)
_HEX = re.compile(
    r"[+-]?0[xX]([0-9a-fA-F]+\.?|[0-9a-fA-F]*\.[0-9a-fA-F]+)[pP][+-]?\d+[fFdD]?", re.ASCII
)
_WHOLE = re.compile(r"[+-]?\d{1,4000}", re.ASCII)
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_MOST = {Kind.INT: 2**31 - 1, Kind.LONG: LONG_MAX}


class _Number(str):
    """A JSON number, kept as its text."""

    __slots__ = ()


def _compiled() -> tuple[tuple[Reason, CodeType], ...]:
    return tuple((reason, compile(text, reason, "eval")) for reason, text in RULES)


_RULES = _compiled()


class _InvalidError(ValueError):
    """A field is missing or has the wrong type."""


def parse(raw: bytes, received_us: int) -> Tick | Rejected:
    """The tick in `raw`, or why it is none. `received_us` (µs UTC) is its arrival, the bound of its
    event time.
    """
    if len(raw) > MESSAGE_BYTES_MAX:
        return Rejected(Reason.TOO_LONG, raw, f"{len(raw):,} bytes")
    try:
        message = _loads(raw)
    except (ValueError, RecursionError):
        return Rejected(Reason.MALFORMED_JSON, raw)
    if not isinstance(message, dict):
        return Rejected(Reason.MALFORMED_JSON, raw, "not an object")
    try:
        fields = _typed(message)
    except _InvalidError as error:
        return Rejected(Reason.INVALID_FIELD, raw, str(error))
    reason = _broken_rule(fields | {"received_us": received_us})
    if reason is not None:
        return Rejected(reason, raw)
    del fields["schema_version"]
    return Tick(
        **fields
        | {
            name: None
            for name in QUOTES
            if fields[name] is not None and not math.isfinite(fields[name])
        }
    )


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _number(text: str) -> _Number:
    if len(text) > NUMBER_CHARS_MAX:
        raise ValueError(f"number longer than {NUMBER_CHARS_MAX:,} characters")
    return _Number(text)


_DECODER = json.JSONDecoder(
    parse_float=_number, parse_int=_number, parse_constant=_constant, strict=False
)


def _loads(raw: bytes) -> Any:
    text = decoding.read(raw).lstrip(" \t\r\n")
    if text.count("[") + text.count("{") > NESTING_MAX and _is_deep(text):
        raise ValueError("nested too deeply")
    return _DECODER.raw_decode(text)[0]


def _is_deep(text: str) -> bool:
    """Whether the first value nests deeper than NESTING_MAX.

    Brackets inside strings do not count, nor does text after that value.
    """
    depth = 0
    for token in _BRACKETS.finditer(text):
        depth += 1 if token[0] in "[{" else -1 if token[0] in "]}" else 0
        if depth > NESTING_MAX or depth == 0:
            break
    return depth > NESTING_MAX


def _typed(message: dict[str, Any]) -> dict[str, Any]:
    if str(message.get("heartbeat")).strip(_BLANK).lower() == "true":
        raise _InvalidError("heartbeat")
    fields: dict[str, Any] = {
        name: _text(message, name, longest) for name, longest in CHARS_MAX.items()
    }
    fields |= {field.name: _whole(message, field) for field in WHOLE}
    fields |= {name: _real(message, name) for name in REAL}
    for name in REAL:
        value = fields[name]
        if name in REQUIRED and (value is None or not math.isfinite(value)):
            raise _InvalidError(name)
    return fields


def _text(message: dict[str, Any], name: str, longest: int) -> str:
    value = message.get(name)
    if value is not None and not isinstance(value, str):
        value = _dumped(value)
    if value is None or not 1 <= len(value) <= longest or (":" in value and name in KEY):
        raise _InvalidError(name)
    # A lone surrogate cannot be encoded: replace it.
    return str(value).encode("utf-8", "replace").decode("utf-8")


def _dumped(value: Any) -> str:
    """JSON without whitespace, numbers as they were written."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        return (
            "{" + ",".join(f"{_dumped(name)}:{_dumped(one)}" for name, one in value.items()) + "}"
        )
    return (
        "[" + ",".join(map(_dumped, value)) + "]"
        if isinstance(value, list)
        else json.dumps(value, ensure_ascii=False)
    )


def _whole(message: dict[str, Any], field: Field) -> int:
    value = message.get(field.name)
    most = _MOST[field.kind]
    number: int | None = None
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip(_BLANK)):
        number = int(value.strip(_BLANK))
    elif isinstance(value, _Number) and float(-most - 1) <= float(value) <= float(most):
        number = min(int(float(value)), most)
    if number is None or not -most - 1 <= number <= most:
        raise _InvalidError(field.name)
    return number


def _real(message: dict[str, Any], name: str) -> float | None:
    """Parse as Java's `Double.parseDouble` does: also hexadecimal, `1d`, `NaN`, `Infinity`."""
    value = message.get(name)
    if not isinstance(value, str):
        return None
    text = value.strip(_BLANK)
    if (
        _DECIMAL.fullmatch(text)
        or text.lstrip("+-") in ("NaN", "Infinity")
        and len(text.lstrip("+-")) >= len(text) - 1
    ):
        return float(text.rstrip("fFdD") if text[-1] in "fFdD" and text[-3:] != "inf" else text)
    return _from_hex(text) if _HEX.fullmatch(text) else None


def _from_hex(text: str) -> float:
    try:
        return float.fromhex(text.rstrip("fFdD"))
    except OverflowError:
        return -math.inf if text.startswith("-") else math.inf


def _broken_rule(values: dict[str, Any]) -> Reason | None:
    quoted = values["bid"] is not None and values["ask"] is not None
    for reason, rule in _RULES:
        if (reason is not Reason.CROSSED_QUOTE or quoted) and eval(
            rule, {"__builtins__": {}}, values
        ):
            return reason
    return None
