"""A message's bytes as the text that Flink's JSON reader sees. `parse()` and the SQL of dead
letters share these patterns.

That reader (Jackson, token by token) is lenient in ways that decide which messages reach silver, so
both must reproduce them:
1. It guesses the encoding (UTF-16 by the zero bytes), accepts overlong forms and surrogates as
   characters (C1 81 is "A"), and allows control characters in strings (a tab).
2. It reads the objects of an array as separate messages: one is a tick (`[{…}]`), several are
   rejected (`[{…},{…}]`, though the valid ones are in silver).
3. After as many known fields as there are columns it skips the rest: a second `"price"` after all
   fields does not count.
4. An object in place of a number ends the row with its own end (`"price":{"seq":7},…` has no price,
   seq 7, nothing after it); an array there shifts names and values by its length (`"price":[1,2]`
   makes the message invalid, `"price":[1]` only lacks its price).

The patterns mean the same to Python's `re` and to Java's, and their loops are possessive: Java
recurses once per iteration of any other loop over a group, and some 900 iterations overflow the
stack, which fails the live job. Rarer cases (such things inside other fields, names with escapes)
may be judged differently.
"""

import json
import re

from contracts.fields import Kind, names
from contracts.tick import MESSAGE_FIELDS

NUMBERS = names(MESSAGE_FIELDS, Kind.FLAG, Kind.INT, Kind.LONG, Kind.REAL)
TEXTS = names(MESSAGE_FIELDS, Kind.TEXT)
INVALID_JSON = '"\\x'  # replaces what the reader rejects: invalid JSON inside a string and outside

_SCALAR = r'(?:"(?:[^"\\]|\\.)*+"|[^\s,\[\]{}":]++)'
_PAIR = rf"\s*+{_SCALAR}\s*+,\s*+{_SCALAR}\s*+"
NUMBER_NAME = rf'"(?:{"|".join(NUMBERS)})"\s{{0,99}}:\s{{0,99}}'
KNOWN_NAME = rf'"(?:{"|".join((*NUMBERS, *TEXTS))})"\s*+:'
# As many known names as there are columns, then the rest: names in the rest become UNKNOWN_NAME.
COLUMNS_THEN_REST = rf"(?s)^((?>.*?{KNOWN_NAME}){{{len(NUMBERS) + len(TEXTS)}}})(.*)$"
UNKNOWN_NAME = '"":'
# (pattern, replacement) in this order: at the start of the message, and after NUMBER_NAME.
AT_START = ((r"^\s*+\[\s*+\{[^{}]*+\}\s*+,\s*+\{", INVALID_JSON), (r"^\s*+\[\s*+(?=\{)", ""))
AT_NUMBER = (
    (r"\{\s*+\}", "null}"),
    (r"\{", "null,"),
    (rf"\[(?:\s*+|{_PAIR}(?:,{_PAIR})*+)\]", INVALID_JSON),
)
# Bytes that are invalid UTF-8 but characters to Jackson; and U+FFFD itself, so that one left after
# decoding means broken bytes.
_SURROGATES = r"\xED[\xA0-\xAF][\x80-\xBF]\xED[\xB0-\xBF][\x80-\xBF]"
LENIENT_CHARACTER = rf"{_SURROGATES}|\xEF\xBF\xBD|[\xC0\xC1][\x80-\xBF]|\xE0[\x80-\x9F][\x80-\xBF]|\xED[\xA0-\xBF][\x80-\xBF]"

_COLUMNS_THEN_REST, _KNOWN_NAME = (
    re.compile(COLUMNS_THEN_REST, re.ASCII),
    re.compile(KNOWN_NAME, re.ASCII),
)
_REWRITES = tuple(
    (re.compile(name + pattern, re.ASCII), prefix + replacement.replace("\\", r"\\"))
    for rules, name, prefix in ((AT_START, "", ""), (AT_NUMBER, f"({NUMBER_NAME})", r"\g<1>"))
    for pattern, replacement in rules
)
_LENIENT_CHARACTER = re.compile(LENIENT_CHARACTER.encode("ascii"))


def decode(raw: bytes) -> str:
    """The text to parse as JSON. It contains INVALID_JSON where Flink's reader stops."""
    text = _decode_characters(raw).removeprefix("\ufeff")
    if parts := _COLUMNS_THEN_REST.match(text):
        text = parts[1] + _KNOWN_NAME.sub(UNKNOWN_NAME, parts[2])
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text


def _decode_characters(raw: bytes) -> str:
    encoding = json.detect_encoding(raw)
    if not encoding.startswith("utf-8"):
        return raw.decode(encoding, "replace")
    text = _LENIENT_CHARACTER.sub(_escape, raw).decode("utf-8", "replace")
    return text.replace("\ufffd", INVALID_JSON)


def _escape(match: re.Match[bytes]) -> bytes:
    """The same character, or two surrogates, as JSON escapes."""
    *before, last = match[0]
    if len(before) == 5:
        halves = match[0][:3], match[0][3:]
        return b"".join(_LENIENT_CHARACTER.sub(_escape, half) for half in halves)
    code = before[0] & (0x1F if len(before) == 1 else 0x0F)
    for byte in (*before[1:], last):
        code = code << 6 | byte & 0x3F
    return b"\\u%04x" % code
