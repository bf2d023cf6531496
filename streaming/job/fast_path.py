"""Fast path: a message that matches one of these patterns skips the slow field-by-field validation.

The patterns describe what our own producer writes. A matching message can still break two rules,
the bounds of event time and crossed quotes, which are checked separately. Every message is matched,
so the patterns are written for speed: Java tests a class of single characters by one table lookup,
but `\\w` or a range by a chain of calls; a possessive count (`{1,32}+`) never backtracks.
"""

from contracts.fields import Field, Kind
from contracts.tick import KEY, MESSAGE_FIELDS, SCHEMA_VERSION

_DIGIT, _FIRST = "[0123456789]", "[123456789]"
_CHARS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz _./+=@#|"
_TIME = f"{_FIRST}{_DIGIT}{{15}}"
_INTEGER = f"(?:0|{_FIRST}{_DIGIT}{{0,17}}+)"
_FRACTION = rf"(?:\.{_DIGIT}{{1,17}}+)?+"
_NUMBER = rf"-?{_INTEGER}{_FRACTION}(?:e-?{_DIGIT}{{1,2}}+)?+"


def _whole(digits: int) -> str:
    """A number of at least 1, with at most `digits` digits before the point."""
    return f"{_FIRST}{_DIGIT}{{0,{digits - 1}}}+{_FRACTION}"


def _part(zeros: int) -> str:
    """A number below 1, with at most `zeros` zeros after the point."""
    return rf"0\.0{{0,{zeros}}}+{_FIRST}{_DIGIT}{{0,16}}+"


_SMALL = f"{_part(4)}|{_FIRST}{_FRACTION}e-[6789]"  # from 1e-9 to 1
# Ranges of price and size whose product is always within the bounds of the notional as well.
_PRICE_AND_SIZE = f'(?:{_whole(7)},"size":(?:{_whole(8)}|{_SMALL})|{_part(3)},"size":{_part(3)}|(?:{_SMALL}),"size":{_whole(12)})'
_VALUES = {
    "schema_version": str(SCHEMA_VERSION),
    "event_time_us": f"({_TIME})",
    "ingest_time_us": _TIME,
    "price": _PRICE_AND_SIZE,
    "side": "-?[01]",
    "seq": _INTEGER,
}


def _value(field: Field) -> str:
    if field.kind is Kind.TEXT:
        colon = "" if field.name in KEY else ":"
        return f'"[{_CHARS}{colon}-]{{1,{field.chars_max}}}+"'
    return _VALUES[field.name]


_REQUIRED = ",".join(
    f'"{field.name}":{_value(field)}'
    for field in MESSAGE_FIELDS
    if field.required and field.name != "size"  # the price's pattern includes the size
)
_BEGIN = rf"^\{{{_REQUIRED}"
# Group 1 is the event time. Most messages have no quotes, so one search is enough for them.
WITHOUT_QUOTES = rf"{_BEGIN}\}}$"
# Group 1 is the event time, groups 2 and 3 are bid and ask.
WITH_QUOTES = rf'{_BEGIN},"bid":({_NUMBER}),"ask":({_NUMBER})(?:,"bid_size":{_NUMBER})?+(?:,"ask_size":{_NUMBER})?+\}}$'
