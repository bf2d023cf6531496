"""`parse()`: one message → Tick or Rejected, never an exception. The live job applies the same rules in SQL.

It reads JSON as Flink's JSON format does, because both must accept the same messages: numbers may come as decimal strings,
a fraction in a whole-number field is cut off, a repeated field counts as its last value.
"""

import json
import math
import re
from types import CodeType
from typing import Any, NoReturn

from contracts.tick import LONG_MAX, NAME_CHARS_MAX, RULES, TRADE_ID_CHARS_MAX, Reason, Rejected, Tick

NESTING_MAX = 200  # deeper is an attack; Python's parser would hit its recursion limit
WHOLE = ("schema_version", "event_time_us", "ingest_time_us", "side", "seq")
REAL = ("price", "size")
QUOTES = ("bid", "ask", "bid_size", "ask_size")
TEXT = {"venue": NAME_CHARS_MAX, "symbol": NAME_CHARS_MAX, "trade_id": TRADE_ID_CHARS_MAX}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?\d{1,19}")
_INT_MAX = 2**31 - 1


def _compiled() -> tuple[tuple[Reason, CodeType], ...]:
    return tuple((reason, compile(text, reason, "eval")) for reason, text in RULES)


_RULES = _compiled()


class _InvalidError(ValueError):
    """A field that is missing or ill-typed."""


def parse(raw: bytes, received_us: int) -> Tick | Rejected:
    """The tick in `raw`, or why it is none. `received_us` (µs UTC) is its arrival, the bound of its event time."""
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
    return Tick(**fields)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _loads(raw: bytes) -> Any:
    if raw.count(b"[") + raw.count(b"{") > NESTING_MAX:
        raise ValueError("nested too deeply")
    return json.loads(raw.decode("utf-8"), parse_constant=_constant)


def _typed(message: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {name: _text(message, name, longest) for name, longest in TEXT.items()}
    fields |= {name: _whole(message, name) for name in WHOLE}
    fields |= {name: _real(message, name) for name in REAL}
    for name in REAL:
        if fields[name] is None:
            raise _InvalidError(name)
    return fields | {name: _real(message, name) for name in QUOTES}


def _text(message: dict[str, Any], name: str, longest: int) -> str:
    value = message.get(name)
    if isinstance(value, bool | float | int):
        value = json.dumps(value)
    if not isinstance(value, str) or not 1 <= len(value) <= longest or (":" in value and name != "trade_id"):
        raise _InvalidError(name)
    return value


def _whole(message: dict[str, Any], name: str) -> int:
    value = message.get(name)
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, float) and math.isfinite(value):
        value = int(value)
    most = _INT_MAX if name in ("schema_version", "side") else LONG_MAX
    if not isinstance(value, int) or isinstance(value, bool) or not -most - 1 <= value <= most:
        raise _InvalidError(name)
    return value


def _real(message: dict[str, Any], name: str) -> float | None:
    value = message.get(name)
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value.strip()) else None
    if value is None or isinstance(value, bool | dict | list):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _broken_rule(values: dict[str, Any]) -> Reason | None:
    quoted = values["bid"] is not None and values["ask"] is not None
    for reason, rule in _RULES:
        if (reason is not Reason.CROSSED_QUOTE or quoted) and eval(rule, {"__builtins__": {}}, values):
            return reason
    return None
