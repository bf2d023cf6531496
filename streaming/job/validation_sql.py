"""Which message is a tick, in SQL: conditions on typed fields, and the views that find the dead
letters.

The typed reader accepts; the raw reader must refuse exactly the rest, or messages would vanish or
be in both. Whatever does not look like our own producer's work (`ordinary`) is therefore read once
more, field by field, with the typed reader's leniencies: decimal strings, fractions cut off, text
after the object, UTF-16, broken UTF-8 only where Jackson minds. Slow, and rare.
"""

from contracts.tick import (
    FUTURE_US_MAX,
    MESSAGE_BYTES_MAX,
    NAME_CHARS_MAX,
    RULES,
    TRADE_ID_CHARS_MAX,
)
from contracts.wire_text import (
    AT_NUMBER,
    AT_START,
    CHARACTER,
    FULL,
    KNOWN_NAME,
    NUMBER_NAME,
    REFUSED,
    UNKNOWN,
)
from feature_store.sql.tiles import View
from streaming.job.fast_path import ORDINARY, QUOTED

REQUIRED = (
    "schema_version",
    "venue",
    "symbol",
    "event_time_us",
    "ingest_time_us",
    "price",
    "size",
    "side",
    "trade_id",
    "seq",
)
TYPES = {
    "schema_version": "INT",
    "heartbeat": "BOOLEAN",
    "venue": "STRING",
    "symbol": "STRING",
    "event_time_us": "BIGINT",
    "ingest_time_us": "BIGINT",
    "price": "DOUBLE",
    "size": "DOUBLE",
    "side": "INT",
    "trade_id": "STRING",
    "seq": "BIGINT",
    "bid": "DOUBLE",
    "ask": "DOUBLE",
    "bid_size": "DOUBLE",
    "ask_size": "DOUBLE",
}
# Whole seconds are enough for a bound of seconds; sub-second epochs cost string formatting in
# Flink.
RECEIVED = "1000000 * CAST(TIMESTAMPDIFF(SECOND, TO_TIMESTAMP_LTZ(0, 3), arrived) AS BIGINT)"
QUOTES = ("bid", "ask", "bid_size", "ask_size")
DOUBLE_MAX = "1.7976931348623157E308"

_BLANK = r"[\x00-\x20]*+"  # what Java's trim() takes away
# How Jackson guesses the encoding of bytes: by a byte order mark, else by where the zeros are.
_ENCODINGS = {
    "UTF-32BE": r"(?s)^\x00\x00(\xFE\xFF|\x00)",
    "UTF-32LE": r"(?s)^(\xFF\xFE|[^\x00]\x00)\x00\x00",
    "UTF-16BE": r"(?s)^(\xFE\xFF|\x00[^\x00])",
    "UTF-16LE": r"(?s)^(\xFF\xFE|[^\x00]\x00)",
}

# The JSON functions refuse what the typed reader does not mind: control characters in text, huge
# exponents.
_STRICTER = (
    (r"[\t\n\r]", " "),
    (r"[\x00-\x1F]", r"\u0001"),
    # The cheap condition first. The typed reader refuses numbers of more than 1,000 digits, so
    # they stay as they are and the JSON functions refuse them, too.
    (
        r"(?<=[eE][+-]?)(?<=[:,\[]\s{0,9}-?[0-9.]{1,400}[eE][+-]?)[0-9]{7,985}+(?=\s*+[,}\]])",
        "999999",
    ),
)


def well_typed() -> str:
    """SQL condition: every required field is there, with its type and length; numbers are
    finite."""
    most = {"venue": NAME_CHARS_MAX, "symbol": NAME_CHARS_MAX, "trade_id": TRADE_ID_CHARS_MAX}
    lengths = " AND ".join(
        f"{name} <> '' AND CHAR_LENGTH({name}) <= {chars}" for name, chars in most.items()
    )  # BETWEEN counts twice
    plain = "venue NOT LIKE '%:%' AND symbol NOT LIKE '%:%'"
    present = " AND ".join(f"{name} IS NOT NULL" for name in REQUIRED)
    finite = f"{_finite('price')} AND {_finite('size')}"
    return f"{present} AND {finite} AND {lengths} AND {plain}"


def _finite(name: str) -> str:
    # The text "NaN" reads as a number, and NaN breaks no rule: all its comparisons are false.
    return f"{name} >= -{DOUBLE_MAX} AND {name} <= {DOUBLE_MAX}"


def quote(name: str) -> str:
    """An optional number: NULL unless finite."""
    return f"CASE WHEN {_finite(name)} THEN {name} END AS {name}"


def rule(text: str) -> str:
    """One of RULES as an SQL condition."""
    return f"({text.replace('received_us', RECEIVED)})"


def dead_letters() -> tuple[View, ...]:
    """Every message that is neither tick nor heartbeat, with the first reason that applies."""
    message = "message, arrived, `partition`, `offset`"
    # Behind the first bytes of a message that is too long is its true length (BoundedValue.java).
    length = f"SUBSTRING(DECODE(message, 'ISO-8859-1') FROM {MESSAGE_BYTES_MAX + 1}) AS true_length"
    origin = f"{message}, true_length"
    bid, ask = (f"CAST({_found('content', QUOTED, group)} AS DOUBLE)" for group in (2, 3))
    doubtful = (
        f"({_in_time(ORDINARY)}) IS NOT TRUE AND ({_in_time(QUOTED)} AND {bid} <= {ask}) IS NOT"
        " TRUE"
    )
    parsed = ", ".join(_field(name, kind) for name, kind in TYPES.items())
    beat = "heartbeat AND venue IS NULL AND symbol IS NULL AND price IS NULL"
    cases = " ".join(f"WHEN {rule(text)} THEN '{reason}'" for reason, text in RULES)
    judged = (
        "CASE WHEN true_length <> '' THEN 'too_long' WHEN is_object IS NOT TRUE THEN"
        f" 'malformed_json' WHEN {beat} THEN NULL WHEN heartbeat OR ({well_typed()}) IS NOT TRUE"
        f" THEN 'invalid_field' {cases} END AS reason"
    )
    # UNNEST keeps the planner from writing each expression out wherever its name is used.
    text = f"CASE WHEN true_length <> '' THEN CAST(NULL AS STRING) ELSE {_as_jackson_reads()} END"
    unnest_text = f"UNNEST(ARRAY[{text}]) AS t(as_read)"
    read = f"SELECT {origin}, as_read FROM raw_doubtful CROSS JOIN {unnest_text}"
    rewritten = (
        f"SELECT {origin}, content FROM raw_read CROSS JOIN UNNEST(ARRAY[{_rewritten()}]) AS"
        " t(content)"
    )
    unnest = f"UNNEST(ARRAY[ROW({parsed})]) AS t({', '.join(TYPES)})"
    fields = (
        f"SELECT {origin}, content IS JSON OBJECT AS is_object, t.* FROM raw_rewritten CROSS JOIN"
        f" {unnest}"
    )
    return (
        View("raw_text", f"SELECT {message}, DECODE(message, 'UTF-8') AS content FROM wire_raw"),
        View("raw_doubtful", f"SELECT {message}, {length} FROM raw_text WHERE {doubtful}"),
        View("raw_read", read),
        View("raw_rewritten", rewritten),
        View("raw_fields", fields),
        View("raw_judged", f"SELECT {origin}, {judged} FROM raw_fields"),
    )


def _in_time(pattern: str) -> str:
    return f"CAST({_found('content', pattern, 1)} AS BIGINT) <= {RECEIVED} + {FUTURE_US_MAX}"


def _found(text: str, pattern: str, group: int) -> str:
    # Not REGEXP_EXTRACT: Flink 2.3 compiles its pattern anew for every row, which costs more than
    # the search.
    return f"REGEXP_EXTRACT_ALL({text}, '{pattern}', {group})[1]"


def _as_jackson_reads() -> str:
    """The text of `message`; what Jackson refuses becomes a control character, which no JSON may
    hold.
    """
    latin = "DECODE(message, 'ISO-8859-1')"
    lenient = f"REGEXP_REPLACE({latin}, '{CHARACTER}', '?')"
    utf8 = (
        rf"REGEXP_REPLACE(DECODE(ENCODE({lenient}, 'ISO-8859-1'), 'UTF-8'), '\uFFFD', '{REFUSED}')"
    )
    guessed = " ".join(
        f"WHEN REGEXP({latin}, '{start}') THEN DECODE(message, '{name}')"
        for name, start in _ENCODINGS.items()
    )
    return rf"REGEXP_REPLACE(CASE {guessed} ELSE {utf8} END, '^\uFEFF', '')"


def _rewritten() -> str:
    """Text that means to the JSON functions what the message means to the typed reader."""
    kept, rest = (_found("as_read", FULL, group) for group in (1, 2))
    text = f"COALESCE({kept} || REGEXP_REPLACE({rest}, '{KNOWN_NAME}', '{UNKNOWN}'), as_read)"
    # Cheap conditions first: the search backwards takes about a microsecond, and a message may
    # consist of brackets.
    at_number = [(rf"(?=[{{\[])(?<=[:\s])(?<={NUMBER_NAME}){what}", by) for what, by in AT_NUMBER]
    for what, by in (*AT_START, *at_number, *_STRICTER):
        text = f"REGEXP_REPLACE({text}, '{what}', '{by}')"
    return text


def _field(name: str, kind: str) -> str:
    value, nested = f"JSON_VALUE(content, '$.{name}')", f"JSON_QUERY(content, '$.{name}')"
    if kind == "STRING":
        return f"COALESCE({value}, {nested})"
    if kind == "BOOLEAN":
        return f"{value} IS NOT NULL AND REGEXP({value}, '(?i)^{_BLANK}true{_BLANK}\\z')"
    if kind == "DOUBLE":
        return f"TRY_CAST({value} AS DOUBLE)"
    return _whole(value, f"JSON_QUERY(content, '$.{name}' WITH UNCONDITIONAL WRAPPER)", kind)


def _whole(value: str, wrapped: str, kind: str) -> str:
    """A whole number: digits as text or number; of other numbers what is before the point, if it
    fits.
    """
    low, high = (
        ("-2147483648", "2147483647")
        if kind == "INT"
        else ("-9223372036854775808E0", "9223372036854775807E0")
    )
    digits = rf"TRY_CAST(REGEXP_REPLACE({value}, '[\x00-\x20]', '') AS {kind})"
    real = f"TRY_CAST({value} AS DOUBLE)"
    return (
        rf"""CASE WHEN {wrapped} LIKE '["%' THEN CASE WHEN REGEXP({value}, '^{_BLANK}[+-]?[0-9]++{_BLANK}\z') THEN {digits} END"""
        rf" WHEN REGEXP({wrapped}, '^\[-?[0-9]++\]$') THEN {digits}"
        f" WHEN {real} >= {low} AND {real} <= {high} THEN CAST({real} AS {kind}) END"
    )
