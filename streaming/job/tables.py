"""The live job's Kafka tables, and the views that select valid messages and windowed ticks.

The sources keep the names `wire`, `wire_warm`, `wire_raw` and `served`: saved states of the job and
`tick job status` refer to readers by them.
"""

from contracts import feature_row, live_job, prediction, topics
from contracts.config import connections
from contracts.config.groups.kafka import KafkaSettings
from contracts.config.settings import Settings
from contracts.fields import Kind, names
from contracts.tick import (
    EVENT_TIME_US_MIN,
    FIELDS,
    FUTURE_US_MAX,
    MESSAGE_BYTES_MAX,
    MESSAGE_FIELDS,
    QUOTES,
    RULES,
    Reason,
)
from contracts.windows import Level
from feature_store.sql.tiles import ENDS, SqlView, tile_input
from lakehouse import catalog_options, tables
from lakehouse.schemas import PREDICTION_NAMES, PREDICTIONS
from streaming.job.flink_types import declared
from streaming.job.skipped import Skipped, is_read
from streaming.job.validation_sql import RECEIVED, quote, rule, well_typed

# One group per reader: a job without state starts from the offsets that each group committed.
GROUP, GROUP_WARM = live_job.TICKS.group, live_job.WARMUP.group
GROUP_RAW, GROUP_SERVED = live_job.RAW.group, live_job.SERVED.group
JSON = "'format'='json', 'json.ignore-parse-errors'='true'"
# Both readers of `ticks` check the length before parsing, by the same deserializer. For a message
# that is too long the typed reader gets NULL and emits no row; the raw reader gets its first bytes
# and its length.
LENGTH_CHECKED = (
    f"'properties.value.deserializer'='{connections.BOUNDED_VALUE}',"
    f" 'properties.bounded.value.bytes.max'='{MESSAGE_BYTES_MAX}'"
)
ORIGIN = ",\n  `partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL"
LENGTH_CHECKED_TRUNCATED = f"{LENGTH_CHECKED}, 'properties.bounded.value.cut'='true'"
# A record that the sink's Kafka client refuses would fail the job on every restart. A dead letter
# is truncated at MESSAGE_BYTES_MAX and its headers have about 100 bytes, far below these limits.
# `max.request.size` counts uncompressed bytes; a buffer of 32 MiB that is full is backpressure.
LETTERS = (
    f"'properties.max.request.size'='{4 * MESSAGE_BYTES_MAX}',"
    f" 'properties.buffer.memory'='{512 * MESSAGE_BYTES_MAX}', 'properties.compression.type'='lz4'"
)


def kafka(settings: KafkaSettings, topic: str, extra: str = "") -> str:
    """Connector options of a topic. They may contain a password: never log them."""
    options = {"connector": "kafka", **connections.kafka_flink(settings), "topic": topic}
    return f"{catalog_options.format_options(options)}{', ' + extra if extra else ''}"


def _source_options(settings: KafkaSettings, topic: str, extra: str, group: str) -> str:
    # `none`: an offset older than the topic fails the job instead of skipping messages silently. A
    # first start has offsets as well, see `offsets.prepare`.
    reset = "earliest" if group == GROUP_WARM else "none"
    start = (
        f"'scan.startup.mode'='group-offsets', 'properties.auto.offset.reset'='{reset}',"
        " 'scan.topic-partition-discovery.interval'='0'"
    )
    return kafka(settings, topic, f"'properties.group.id'='{group}', {start}, {extra}")


def ticks_source(settings: Settings, skipped: Skipped = ()) -> str:
    """The typed reader of `ticks`. Messages are `skipped` by their partition and offset.

    An empty partition holds the watermark back; heartbeats keep every partition non-empty. The
    source is never idle unless `idle_timeout_s` is set: Flink passes idleness on from operator to
    operator, so after two readers were idle the first one that wakes up advances the watermark, and
    a row of the tile that was open before the silence is late.
    """
    idle = (
        f"'scan.watermark.idle-timeout'='{settings.idle_timeout_s * 1000:.0f} ms', "
        if settings.idle_timeout_s
        else ""
    )
    origin = ORIGIN if skipped else ""
    return _typed_source(settings, "wire", topics.TICKS.name, GROUP, idle, origin)


def warmup_source(settings: Settings) -> str:
    """The typed reader of the warm-up topic.

    No heartbeats reach this topic, so it is a bounded source: it ends at the offsets seen at job
    start, and holds the watermark back only until then.
    """
    return _typed_source(
        settings,
        "wire_warm",
        topics.WARMUP.name,
        GROUP_WARM,
        "'scan.bounded.mode'='latest-offset', ",
    )


def _typed_source(
    settings: Settings, table: str, topic: str, group: str, extra: str, origin: str = ""
) -> str:
    """A reader of JSON messages as typed columns, with a watermark.

    An event time out of bounds (e.g. more than 5 s after arrival) is replaced by 1970 before the
    watermark is generated, so that a single message cannot advance it.
    """
    sane = f"event_time_us >= {EVENT_TIME_US_MIN} AND event_time_us <= {RECEIVED} + {FUTURE_US_MAX}"
    # A reader without a partition would hold the watermark back.
    readers = f"'scan.parallelism'='{min(settings.parallelism, topics.TICKS.partitions)}', "
    return f"""CREATE TABLE {table} ({declared(MESSAGE_FIELDS)},
  arrived TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL{origin},
  et AS CASE WHEN {sane} THEN TO_TIMESTAMP_LTZ(event_time_us / 1000, 3) ELSE TO_TIMESTAMP_LTZ(0, 3) END,
  WATERMARK FOR et AS et - INTERVAL '{settings.lateness_ms / 1000:.3f}' SECOND
) WITH ({_source_options(settings, topic, f"{readers}{extra}{LENGTH_CHECKED}, {JSON}", group)})"""


def raw_source(settings: KafkaSettings) -> str:
    """The reader of `ticks` as bytes, for dead letters only.

    The typed reader drops JSON that does not parse, so it cannot produce them.
    """
    return f"""CREATE TABLE wire_raw (message BYTES, arrived TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL{ORIGIN}
) WITH ({_source_options(settings, topics.TICKS.name, f"{LENGTH_CHECKED_TRUNCATED}, 'format'='raw'", GROUP_RAW)})"""


# Fields in the reader's order, by kind. Nested objects are read as JSON text: a bad value inside one
# cannot make the record unreadable.
SERVED = tuple(
    field
    for kind in (Kind.TEXT, Kind.OBJECT, Kind.LONG, Kind.REAL)
    for field in prediction.FIELDS
    if field.kind is kind
)


def predictions_source(settings: KafkaSettings) -> str:
    """The reader of topic `predictions`.

    It has no watermark: neither predictions nor their absence may affect the watermark of the
    ticks.
    """
    arrived = "arrived TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL"
    return (
        f"CREATE TABLE served ({declared(SERVED, quoted=True)}, {arrived}) WITH"
        f" ({_source_options(settings, topics.PREDICTIONS.name, JSON, GROUP_SERVED)})"
    )


def predictions_insert() -> str:
    """The insert of every prediction into gold.

    A field that is missing or has the wrong type becomes NULL; a time out of bounds is replaced by
    the time of arrival.
    """
    sane = f"served_at_us >= {EVENT_TIME_US_MIN} AND served_at_us <= {RECEIVED} + {FUTURE_US_MAX}"
    time = f"CASE WHEN {sane} THEN TO_TIMESTAMP_LTZ(served_at_us / 1000, 3) ELSE arrived END"
    values = ", ".join(time if name == "served_at" else f"`{name}`" for name in PREDICTION_NAMES)
    return tables.insert(
        PREDICTIONS, PREDICTION_NAMES, f"SELECT {values} FROM served", tables.NO_SHUFFLE
    )


def valid_messages(skipped: Skipped = ()) -> SqlView:
    """Accepted ticks, and heartbeats whose time is within bounds (others were set to 1970).

    `late` is true if the tile had already closed. It is computed next to the source, where the
    watermark is generated, so that all sinks agree on it.
    """
    rules = " AND ".join(f"{rule(text)} IS NOT TRUE" for _, text in RULES)
    late = (
        "COALESCE(TO_TIMESTAMP_LTZ(event_time_us / 1000000 * 1000 + 999, 3) <="
        " CURRENT_WATERMARK(et), FALSE)"
    )
    fields = ", ".join(quote(name) if name in QUOTES else name for name in names(FIELDS))
    is_valid = (
        f"CASE WHEN heartbeat IS TRUE THEN et > TO_TIMESTAMP_LTZ(1, 3) ELSE {well_typed()} AND"
        f" {rules} END"
    )
    conditions = f"{is_read(skipped)} AND {is_valid}" if skipped else is_valid
    return SqlView(
        "valid_messages",
        f"SELECT {fields}, et, {late} AS late, heartbeat IS TRUE AS is_heartbeat FROM wire WHERE"
        f" {conditions}",
    )


def windowed_ticks() -> SqlView:
    """The ticks that enter the windows: valid and not late, plus the warm-up.

    Warm-up ticks were read from silver, so they are not written to it again.
    """
    select = f"SELECT {tile_input()} FROM"
    return SqlView(
        "windowed_ticks",
        f"{select} valid_messages WHERE NOT is_heartbeat AND NOT late UNION ALL {select} wire_warm WHERE"
        f" {well_typed()}",
    )


def dead_letter_sink(settings: KafkaSettings) -> str:
    """Topic `ticks.dead_letter`: raw bytes as the value; origin and reason as headers.

    The value has at most MESSAGE_BYTES_MAX bytes; if it was truncated, another header has the length.
    """
    connector = kafka(settings, topics.DEAD_LETTER.name, f"{LETTERS}, 'format'='raw'")
    return (
        "CREATE TABLE dead_letter (message BYTES, headers MAP<STRING, BYTES> METADATA) WITH"
        f" ({connector})"
    )


def dead_letter_insert() -> str:
    """The insert that fills `dead_letter`."""
    entries = ", ".join(
        f"'{name}', ENCODE({value}, 'UTF-8')"
        for name, value in {
            "reason": "reason",
            "topic": f"'{topics.TICKS.name}'",
            "partition": "CAST(`partition` AS STRING)",
            "offset": "CAST(`offset` AS STRING)",
        }.items()
    )
    is_truncated = f"reason = '{Reason.TOO_LONG}'"
    with_length = f"MAP[{entries}, 'bytes', ENCODE(true_length, 'UTF-8')]"
    headers = f"CASE WHEN {is_truncated} THEN {with_length} ELSE MAP[{entries}] END"
    letter = f"CAST(message AS VARBINARY({MESSAGE_BYTES_MAX})), {headers}"
    return f"INSERT INTO dead_letter SELECT {letter} FROM raw_with_reason WHERE reason IS NOT NULL"


def features_sink(settings: KafkaSettings, level: Level) -> str:
    """Topic `tick_features`: feature rows of one level."""
    others = feature_row.fields(level)[len(feature_row.IDENTITY) :]
    return f"""CREATE TABLE features_{level.view} ({declared(feature_row.IDENTITY)},
  {declared(others)})
WITH ({kafka(settings, topics.TICK_FEATURES.name)}, {_KEYED})"""


_KEYED = (
    "'key.format'='raw', 'key.fields'='symbol', 'value.format'='json', 'properties.linger.ms'='5',"
    " 'properties.compression.type'='lz4'"
)


def features_insert(level: Level) -> str:
    """The insert that publishes the rows of one level."""
    expressions = {"view": f"'{level.view}'", "event_time_ms": "sec * 1000"}
    values = (expressions.get(name, name) for name in names(feature_row.fields(level)))
    return f"INSERT INTO features_{level.view} SELECT {', '.join(values)} FROM rows_{level.view}"


def heartbeat_sink(settings: KafkaSettings) -> str:
    """Topic `tick_features`: heartbeat rows, which carry the progress of event time and no
    features."""
    return (
        f"CREATE TABLE features_heartbeat ({declared(feature_row.IDENTITY)}) WITH"
        f" ({kafka(settings, topics.TICK_FEATURES.name)}, {_KEYED})"
    )


def heartbeat_insert() -> str:
    """The insert of one heartbeat row per second of event time that heartbeats reached."""
    end = f"1000 * {ENDS['stream']}"
    heartbeats = (
        "FROM TUMBLE((SELECT et FROM valid_messages WHERE is_heartbeat), DESCRIPTOR(et), INTERVAL '1' SECOND) GROUP"
        " BY window_start, window_end"
    )
    identity = f"'{feature_row.HEARTBEAT_VIEW}', '{feature_row.HEARTBEAT_SYMBOL}', {end}"
    return f"INSERT INTO features_heartbeat SELECT {identity} {heartbeats}"
