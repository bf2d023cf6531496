"""The tick contract `tick.v1`: the fields of a tick, the rules on their values, the reasons to
reject.

Three implementations apply it: `contracts/messages/parsing.py` to one message,
`streaming/feeds/tick_frame.py` to a batch, `streaming/job/validation_sql.py` to the stream, in SQL.
Property tests compare them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from contracts.fields import Field, Kind, names

SCHEMA_VERSION = 1
EVENT_TIME_US_MIN = 631_152_000_000_000  # 1990-01-01: an older time comes from a broken clock
FUTURE_US_MAX = 5_000_000  # how far an event time may be ahead of the arrival time
LONG_MAX = 2**63 - 1
NAME_CHARS_MAX = 32
TRADE_ID_CHARS_MAX = 64
# A tick has ~300 bytes. A message longer than this is rejected before it is parsed, and its dead
# letter is truncated to this length.
MESSAGE_BYTES_MAX = 65_536
# Values outside these bounds come from a broken feed. Inside them every sum of a tile fits 64 bits;
# a window whose sums do not fit is NULL (contracts/features.py).
PRICE_MIN, PRICE_MAX = 1e-9, 1e9
SIZE_MIN, SIZE_MAX = 1e-9, 1e12
NOTIONAL_MIN, NOTIONAL_MAX = 1e-9, 1e15

# The fields of a tick, in the order of every consumer. Optional are the quotes.
FIELDS = (
    Field("venue", Kind.TEXT, required=True, chars_max=NAME_CHARS_MAX),
    Field("symbol", Kind.TEXT, required=True, chars_max=NAME_CHARS_MAX),
    Field("event_time_us", Kind.LONG, required=True),
    Field("ingest_time_us", Kind.LONG, required=True),
    Field("price", Kind.REAL, required=True),
    Field("size", Kind.REAL, required=True),
    Field("side", Kind.INT, required=True),
    Field("trade_id", Kind.TEXT, required=True, chars_max=TRADE_ID_CHARS_MAX),
    Field("seq", Kind.LONG, required=True),
    Field("bid", Kind.REAL),
    Field("ask", Kind.REAL),
    Field("bid_size", Kind.REAL),
    Field("ask_size", Kind.REAL),
)
# The fields of a message: a tick, or a heartbeat.
MESSAGE_FIELDS = (
    Field("schema_version", Kind.INT, required=True),
    Field("heartbeat", Kind.FLAG),
    *FIELDS,
)
REQUIRED = names(field for field in FIELDS if field.required)
QUOTES = names(field for field in FIELDS if not field.required)
CHARS_MAX = {field.name: field.chars_max for field in FIELDS if field.chars_max}
KEY = ("venue", "symbol")  # a colon inside a part would make VENUE:SYMBOL ambiguous
TRADE_KEY = (*KEY, "trade_id")  # ticks that share it are duplicates of one trade


class Reason(StrEnum):
    """Why a message is a dead letter. Order of the checks: too_long, malformed_json, invalid_field,
    then RULES in their order.
    """

    TOO_LONG = "too_long"
    MALFORMED_JSON = "malformed_json"
    INVALID_FIELD = "invalid_field"
    UNKNOWN_SCHEMA_VERSION = "unknown_schema_version"
    NOT_POSITIVE = "not_positive"
    OUT_OF_RANGE = "out_of_range"
    TIME_OUT_OF_BOUNDS = "time_out_of_bounds"
    CROSSED_QUOTE = "crossed_quote"


class Tick(NamedTuple):
    """One trade. Times in µs UTC, price in quote units, size in base units.

    `side` is that of the aggressor: +1 buyer, −1 seller, 0 unknown. `ingest_time_us` is when we
    sent the trade (`tick live`, synthetic, `--as-live`); in a replay with original times the file's
    arrival time, but at least the event time; the event time where the file has none. `seq` orders
    trades of equal event time. `symbol` is the exchange's name; in feature rows, Redis and the API,
    `symbol` is the `key`.
    """

    venue: str
    symbol: str
    event_time_us: int
    ingest_time_us: int
    price: float
    size: float
    side: int
    trade_id: str
    seq: int
    bid: float | None = None
    ask: float | None = None
    bid_size: float | None = None
    ask_size: float | None = None

    @property
    def key(self) -> str:
        """VENUE:SYMBOL: the entity of the feature store and the Kafka key."""
        return f"{self.venue}:{self.symbol}"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that is not a valid tick: the reason and the raw bytes as received."""

    reason: Reason
    raw: bytes
    detail: str = ""


# The rules on well-typed values, written once: parse(), polars (feeds) and Flink (stream) evaluate
# the same text. `received_us` is the arrival time: the broker's timestamp on the stream, the
# current time for a live feed.
RULES: tuple[tuple[Reason, str], ...] = (
    (
        Reason.UNKNOWN_SCHEMA_VERSION,
        f"schema_version < {SCHEMA_VERSION} or schema_version > {SCHEMA_VERSION}",
    ),
    (Reason.NOT_POSITIVE, "price <= 0 or size <= 0"),
    (
        Reason.OUT_OF_RANGE,
        (
            f"price < {PRICE_MIN!r} or price > {PRICE_MAX!r} or size < {SIZE_MIN!r} or size >"
            f" {SIZE_MAX!r} or price * size < {NOTIONAL_MIN!r} or price * size > {NOTIONAL_MAX!r}"
            " or side < -1 or side > 1 or seq < 0"
        ),
    ),
    (
        Reason.TIME_OUT_OF_BOUNDS,
        (
            f"event_time_us < {EVENT_TIME_US_MIN} or event_time_us > received_us + {FUTURE_US_MAX}"
            f" or ingest_time_us < {EVENT_TIME_US_MIN}"
        ),
    ),
    (Reason.CROSSED_QUOTE, "bid > ask"),
)
