"""Validation of messages in SQL: conditions on typed fields, and the views that find dead letters.

The typed reader accepts messages; the raw reader must reject exactly the rest, otherwise a message
would be lost or counted twice. (Exceptions: an array of several ticks is accepted and rejected, a
heartbeat with a time out of bounds neither.) A message that misses the fast path is therefore parsed a
second time, field by field, with the same leniencies as the typed reader: numbers as strings,
truncated fractions, text after the object, UTF-16, broken UTF-8 except where Jackson rejects it.
This is slow, and rare.
"""

from contracts.fields import Field, Kind, names
from contracts.messages.decoding import (
    AT_NUMBER,
    AT_START,
    COLUMNS_THEN_REST,
    INVALID_JSON,
    KNOWN_NAME,
    LENIENT_CHARACTER,
    NUMBER_NAME,
    UNKNOWN_NAME,
)
from contracts.tick import (
    CHARS_MAX,
    FUTURE_US_MAX,
    KEY,
    MESSAGE_BYTES_MAX,
    MESSAGE_FIELDS,
    RULES,
)
from feature_store.sql.tiles import ANCHOR_S, SqlView, epoch_s
from streaming.job.fast_path import WITH_QUOTES, WITHOUT_QUOTES
from streaming.job.flink_types import FLINK
from streaming.job.skipped import Skipped, is_read

# Arrival truncated to the second: the effective bound is 4 to 5 s after it. A sub-second epoch costs
# string formatting in Flink.
RECEIVED_ANCHOR = f"TO_TIMESTAMP_LTZ({ANCHOR_S}, 0)"
RECEIVED = f"1000000 * {epoch_s(RECEIVED_ANCHOR, 'arrived')}"
DOUBLE_MAX = "1.7976931348623157E308"

_BLANK = r"[\x00-\x20]*+"  # what Java's trim() removes
# Jackson detects the encoding from a byte order mark, or else from the positions of zero bytes.
_ENCODINGS = {
    "UTF-32BE": r"(?s)^\x00\x00(\xFE\xFF|\x00)",
    "UTF-32LE": r"(?s)^(\xFF\xFE|[^\x00]\x00)\x00\x00",
    "UTF-16BE": r"(?s)^(\xFE\xFF|\x00[^\x00])",
    "UTF-16LE": r"(?s)^(\xFF\xFE|[^\x00]\x00)",
}

# Rewrites of what Flink's JSON functions reject but the typed reader accepts: control characters
# in text, huge exponents.
_STRICTER = (
    (r"[\t\n\r]", " "),
    (r"[\x00-\x1F]", r"\u0001"),
    # Cheap condition first. Numbers longer than 1,000 characters stay as they are: the typed reader
    # rejects them, and so do the JSON functions.
    (
        r"(?<=[eE][+-]?)(?<=[:,\[]\s{0,9}-?[0-9.]{1,400}[eE][+-]?)[0-9]{7,985}+(?=\s*+[,}\]])",
        "999999",
    ),
)


def well_typed() -> str:
    """SQL condition: all required fields are present, in type and length; numbers are finite."""
    required = [field for field in MESSAGE_FIELDS if field.required]
    present = " AND ".join(f"{name} IS NOT NULL" for name in names(required))
    finite = " AND ".join(map(_finite, names(required, Kind.REAL)))
    return f"{present} AND {finite} AND {_texts_fit()}"


def _texts_fit() -> str:
    # Not BETWEEN: Flink would evaluate CHAR_LENGTH twice.
    lengths = " AND ".join(
        f"{name} <> '' AND CHAR_LENGTH({name}) <= {limit}" for name, limit in CHARS_MAX.items()
    )
    no_colon = " AND ".join(f"{name} NOT LIKE '%:%'" for name in KEY)
    return f"{lengths} AND {no_colon}"


def _finite(name: str) -> str:
    # The text "NaN" parses as a number, and NaN passes every rule: all its comparisons are false.
    return f"{name} >= -{DOUBLE_MAX} AND {name} <= {DOUBLE_MAX}"


def quote(name: str) -> str:
    """SQL column of an optional number: NULL unless finite."""
    return f"CASE WHEN {_finite(name)} THEN {name} END AS {name}"


def rule(text: str) -> str:
    """One of RULES as an SQL condition."""
    return f"({text.replace('received_us', RECEIVED)})"


_MESSAGE = "message, arrived, `partition`, `offset`"
_ORIGIN = f"{_MESSAGE}, true_length"


def dead_letter_views(skipped: Skipped = ()) -> tuple[SqlView, ...]:
    """Views that end in `raw_with_reason`: messages that miss the fast path, with their reason.

    The reason is the first that applies, NULL for a tick or a heartbeat. UNNEST keeps the planner
    from repeating an expression wherever its name is used.
    """
    # A message that is too long is truncated and followed by its true length (BoundedValue.java).
    length = f"SUBSTRING(DECODE(message, 'ISO-8859-1') FROM {MESSAGE_BYTES_MAX + 1}) AS true_length"
    text = f"CASE WHEN true_length <> '' THEN CAST(NULL AS STRING) ELSE {_as_jackson_reads()} END"
    unnest_text = f"UNNEST(ARRAY[{text}]) AS t(as_read)"
    unnest_rewritten = f"UNNEST(ARRAY[{_rewritten()}]) AS t(content)"
    read = f" WHERE {is_read(skipped)}" if skipped else ""
    parsed = ", ".join(_field(field) for field in MESSAGE_FIELDS)
    unnest_fields = f"UNNEST(ARRAY[ROW({parsed})]) AS t({', '.join(names(MESSAGE_FIELDS))})"
    fields = (
        f"SELECT {_ORIGIN}, content IS JSON OBJECT AS is_object, t.* FROM raw_rewritten CROSS JOIN"
        f" {unnest_fields}"
    )
    return (
        SqlView(
            "raw_text",
            f"SELECT {_MESSAGE}, DECODE(message, 'UTF-8') AS content FROM wire_raw{read}",
        ),
        SqlView(
            "raw_slow_path",
            f"SELECT {_MESSAGE}, {length} FROM raw_text WHERE {_misses_fast_path()}",
        ),
        SqlView(
            "raw_read", f"SELECT {_ORIGIN}, as_read FROM raw_slow_path CROSS JOIN {unnest_text}"
        ),
        SqlView(
            "raw_rewritten",
            f"SELECT {_ORIGIN}, content FROM raw_read CROSS JOIN {unnest_rewritten}",
        ),
        SqlView("raw_fields", fields),
        SqlView("raw_with_reason", f"SELECT {_ORIGIN}, {_reason()} AS reason FROM raw_fields"),
    )


def _misses_fast_path() -> str:
    bid, ask = (f"CAST({_extract('content', WITH_QUOTES, group)} AS DOUBLE)" for group in (2, 3))
    with_quotes = f"{_in_time(WITH_QUOTES)} AND {bid} <= {ask}"
    return f"({_in_time(WITHOUT_QUOTES)}) IS NOT TRUE AND ({with_quotes}) IS NOT TRUE"


def _reason() -> str:
    """The first reason to reject a message, in the order of `contracts.messages.parsing.parse`."""
    heartbeat = "heartbeat AND venue IS NULL AND symbol IS NULL AND price IS NULL"
    cases = " ".join(f"WHEN {rule(text)} THEN '{reason}'" for reason, text in RULES)
    return (
        "CASE WHEN true_length <> '' THEN 'too_long' WHEN is_object IS NOT TRUE THEN"
        f" 'malformed_json' WHEN {heartbeat} THEN NULL WHEN heartbeat OR ({well_typed()}) IS NOT"
        f" TRUE THEN 'invalid_field' {cases} END"
    )


def _in_time(pattern: str) -> str:
    return f"CAST({_extract('content', pattern, 1)} AS BIGINT) <= {RECEIVED} + {FUTURE_US_MAX}"


def _extract(text: str, pattern: str, group: int) -> str:
    # Not REGEXP_EXTRACT: Flink 2.3 compiles its pattern for every row, which costs more than the
    # search.
    return f"REGEXP_EXTRACT_ALL({text}, '{pattern}', {group})[1]"


def _as_jackson_reads() -> str:
    """The text of `message` as Jackson decodes it.

    What Jackson rejects is replaced by INVALID_JSON, which makes the JSON invalid.
    """
    latin = "DECODE(message, 'ISO-8859-1')"
    lenient = f"REGEXP_REPLACE({latin}, '{LENIENT_CHARACTER}', '?')"
    utf8 = rf"REGEXP_REPLACE(DECODE(ENCODE({lenient}, 'ISO-8859-1'), 'UTF-8'), '\uFFFD', '{INVALID_JSON}')"
    guessed = " ".join(
        f"WHEN REGEXP({latin}, '{start}') THEN DECODE(message, '{name}')"
        for name, start in _ENCODINGS.items()
    )
    return rf"REGEXP_REPLACE(CASE {guessed} ELSE {utf8} END, '^\uFEFF', '')"


def _rewritten() -> str:
    """Text that the JSON functions read as the typed reader reads the message."""
    head, rest = (_extract("as_read", COLUMNS_THEN_REST, group) for group in (1, 2))
    text = f"COALESCE({head} || REGEXP_REPLACE({rest}, '{KNOWN_NAME}', '{UNKNOWN_NAME}'), as_read)"
    # Cheap conditions first: the lookbehind takes about a microsecond, and a message may consist
    # of nothing but brackets.
    at_number = [(rf"(?=[{{\[])(?<=[:\s])(?<={NUMBER_NAME}){what}", by) for what, by in AT_NUMBER]
    for what, by in (*AT_START, *at_number, *_STRICTER):
        text = f"REGEXP_REPLACE({text}, '{what}', '{by}')"
    return text


def _field(field: Field) -> str:
    value = f"JSON_VALUE(content, '$.{field.name}')"
    nested = f"JSON_QUERY(content, '$.{field.name}'"
    if field.kind is Kind.TEXT:
        return f"COALESCE({value}, {nested}))"
    if field.kind is Kind.FLAG:
        return f"{value} IS NOT NULL AND REGEXP({value}, '(?i)^{_BLANK}true{_BLANK}\\z')"
    if field.kind is Kind.REAL:
        return f"TRY_CAST({value} AS DOUBLE)"
    return _whole(value, f"{nested} WITH UNCONDITIONAL WRAPPER)", field.kind)


def _whole(value: str, wrapped: str, kind: Kind) -> str:
    """A whole number from digits in text or a number; other numbers are truncated if they fit."""
    low, high = (
        ("-2147483648", "2147483647")
        if kind is Kind.INT
        else ("-9223372036854775808E0", "9223372036854775807E0")
    )
    digits = rf"TRY_CAST(REGEXP_REPLACE({value}, '[\x00-\x20]', '') AS {FLINK[kind]})"
    real = f"TRY_CAST({value} AS DOUBLE)"
    return (
        rf"""CASE WHEN {wrapped} LIKE '["%' THEN CASE WHEN REGEXP({value}, '^{_BLANK}[+-]?[0-9]++{_BLANK}\z') THEN {digits} END"""
        rf" WHEN REGEXP({wrapped}, '^\[-?[0-9]++\]$') THEN {digits}"
        f" WHEN {real} >= {low} AND {real} <= {high} THEN CAST({real} AS {FLINK[kind]}) END"
    )
