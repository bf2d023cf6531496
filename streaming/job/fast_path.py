"""What our own producer writes, as two patterns: a message that matches one breaks no rule but,
perhaps, that of time or crossed quotes.

They spare such messages the dear field-by-field look, and are searched in every message. Java reads
a class of single characters by one look in a table, `\\w` or a range by a chain of calls; and a
possessive count (`{1,32}+`) is never tried again.
"""

from contracts.tick import NAME_CHARS_MAX, TRADE_ID_CHARS_MAX

_DIGIT, _FIRST = "[0123456789]", "[123456789]"
_CHARS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz _./+=@#|"
_NAME = f"[{_CHARS}-]{{1,{NAME_CHARS_MAX}}}+"
_TRADE_ID = f"[{_CHARS}:-]{{1,{TRADE_ID_CHARS_MAX}}}+"  # in a name a colon is forbidden
_TIME = f"{_FIRST}{_DIGIT}{{15}}"
_INTEGER = f"(?:0|{_FIRST}{_DIGIT}{{0,17}}+)"
_FRACTION = rf"(?:\.{_DIGIT}{{1,17}}+)?+"
_NUMBER = rf"-?{_INTEGER}{_FRACTION}(?:e-?{_DIGIT}{{1,2}}+)?+"


def _whole(digits: int) -> str:
    """From 1 on, with at most so many digits before the point."""
    return f"{_FIRST}{_DIGIT}{{0,{digits - 1}}}+{_FRACTION}"


def _part(zeros: int) -> str:
    """Below 1, with at most so many zeros behind the point."""
    return rf"0\.0{{0,{zeros}}}+{_FIRST}{_DIGIT}{{0,16}}+"


_SMALL = f"{_part(4)}|{_FIRST}{_FRACTION}e-[6789]"  # from 1e-9 to 1
# Pairs of which each price times each size is within the bounds of the notional, too.
_AMOUNTS = f'(?:{_whole(7)},"size":(?:{_whole(8)}|{_SMALL})|{_part(3)},"size":{_part(3)}|(?:{_SMALL}),"size":{_whole(12)})'
_BEGIN = (
    rf'^\{{"schema_version":1,"venue":"{_NAME}","symbol":"{_NAME}","event_time_us":({_TIME}),"ingest_time_us":{_TIME},'
    rf'"price":{_AMOUNTS},"side":-?[01],"trade_id":"{_TRADE_ID}","seq":{_INTEGER}'
)
# Without quotes; group 1 is the event time. Most messages are such: one search for each of them.
ORDINARY = rf"{_BEGIN}\}}$"
# With quotes; groups 2 and 3 are bid and ask.
QUOTED = rf'{_BEGIN},"bid":({_NUMBER}),"ask":({_NUMBER})(?:,"bid_size":{_NUMBER})?+(?:,"ask_size":{_NUMBER})?+\}}$'
