"""The live job's tables on Kafka and its first views: what is read, what is a tick, what is a dead
letter.
"""

from contracts import live_job, topics
from contracts.config import connections
from contracts.config.settings import Settings
from contracts.features import columns
from contracts.tick import EVENT_TIME_US_MIN, FUTURE_US_MAX, MESSAGE_BYTES_MAX, RULES, Reason
from contracts.windows import Level
from contracts.wire import HEARTBEAT_KEY
from feature_store.sql.tiles import View, entry
from lakehouse import catalog_options, tables
from lakehouse.schemas import PREDICTION_NAMES, PREDICTIONS
from streaming.job.validation_sql import (
    QUOTES,
    RECEIVED,
    TYPES,
    dead_letters,
    quote,
    rule,
    well_typed,
)

__all__ = ["dead_letters"]

# One group per reader: each commits its own offsets, from which a job without state starts.
GROUP, GROUP_WARM = live_job.TICKS.group, live_job.WARMUP.group
GROUP_RAW, GROUP_SERVED = live_job.RAW.group, live_job.SERVED.group
JSON = "'format'='json', 'json.ignore-parse-errors'='true'"
# Both readers of `ticks` judge the length before they parse anything, by one class. Of what is too
# long the typed reader gets NULL, and makes no row; the raw reader gets its first bytes and length.
BOUNDED = (
    f"'properties.value.deserializer'='{connections.BOUNDED_VALUE}',"
    f" 'properties.bounded.value.bytes.max'='{MESSAGE_BYTES_MAX}'"
)
CUT = f"{BOUNDED}, 'properties.bounded.value.cut'='true'"
# A record that the sink's client refuses fails the job, again and again. A letter is cut at
# MESSAGE_BYTES_MAX and its headers have some 100 bytes: no limit here is near. `max.request.size`
# counts uncompressed bytes; when 32 MiB of letters wait, the job waits for Kafka.
LETTERS = (
    f"'properties.max.request.size'='{4 * MESSAGE_BYTES_MAX}',"
    f" 'properties.buffer.memory'='{512 * MESSAGE_BYTES_MAX}', 'properties.compression.type'='lz4'"
)


def kafka(settings: Settings, topic: str, more: str = "") -> str:
    """Connector options of a topic. They may hold a password: never log them."""
    options = {"connector": "kafka", **connections.kafka_flink(settings), "topic": topic}
    return f"{catalog_options.listed(options)}{', ' + more if more else ''}"


def _source(settings: Settings, topic: str, form: str, group: str) -> str:
    start = (
        "'scan.startup.mode'='group-offsets', 'properties.auto.offset.reset'='earliest',"
        " 'scan.topic-partition-discovery.interval'='0'"
    )
    return kafka(settings, topic, f"'properties.group.id'='{group}', {start}, {form}")


def wire(settings: Settings) -> str:
    """The typed reader of the ticks. A partition holds time until it has a message: heartbeats
    reach every one of them.

    It is never idle, unless the settings say so: behind two idle readers one that wakes first moves
    time on, and a row of the tile that was open before the silence comes too late, because Flink
    passes idleness on from operator to operator.
    """
    idle = (
        f"'scan.watermark.idle-timeout'='{settings.idle_timeout_s * 1000:.0f} ms', "
        if settings.idle_timeout_s
        else ""
    )
    return _wire(settings, "wire", topics.TICKS.name, GROUP, idle)


def wire_warm(settings: Settings) -> str:
    """The typed reader of the warm-up. Nobody beats there: it ends with what is there when the job
    starts, and time waits for just that.
    """
    return _wire(
        settings,
        "wire_warm",
        topics.WARMUP.name,
        GROUP_WARM,
        "'scan.bounded.mode'='latest-offset', ",
    )


def _wire(settings: Settings, name: str, topic: str, group: str, more: str) -> str:
    """A time stamp is clamped before the watermark sees it: beyond its arrival + 5 s it counts as
    1970.
    """
    fields = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
    sane = f"event_time_us >= {EVENT_TIME_US_MIN} AND event_time_us <= {RECEIVED} + {FUTURE_US_MAX}"
    # One without a partition would hold time.
    readers = f"'scan.parallelism'='{min(settings.parallelism, topics.TICKS.partitions)}', "
    return f"""CREATE TABLE {name} ({fields},
  arrived TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  et AS CASE WHEN {sane} THEN TO_TIMESTAMP_LTZ(event_time_us / 1000, 3) ELSE TO_TIMESTAMP_LTZ(0, 3) END,
  WATERMARK FOR et AS et - INTERVAL '{settings.lateness_ms / 1000:.3f}' SECOND
) WITH ({_source(settings, topic, f"{readers}{more}{BOUNDED}, {JSON}", group)})"""


def wire_raw(settings: Settings) -> str:
    """The same messages as bytes, for dead letters alone; JSON that does not parse never reaches
    the typed reader.
    """
    return f"""CREATE TABLE wire_raw (message BYTES, arrived TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  `partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL
) WITH ({_source(settings, topics.TICKS.name, f"{CUT}, 'format'='raw'", GROUP_RAW)})"""


# Objects are read as their JSON text: nothing inside them can keep the rest of a record from being
# read.
SERVED = {
    **dict.fromkeys(
        (
            "request_id",
            "symbol",
            "source",
            "model_name",
            "model_version",
            "event_times_us",
            "features",
        ),
        "STRING",
    ),
    **dict.fromkeys(("served_at_us", "known_at_us"), "BIGINT"),
    "prediction_bps": "DOUBLE",
}


def served(settings: Settings) -> str:
    """Topic predictions. It has no watermark: what was served, or that nothing was, cannot hold up
    or move the time of the ticks.
    """
    fields = ", ".join(f"`{name}` {kind}" for name, kind in SERVED.items())
    arrived = "arrived TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL"
    return (
        f"CREATE TABLE served ({fields}, {arrived}) WITH"
        f" ({_source(settings, topics.PREDICTIONS.name, JSON, GROUP_SERVED)})"
    )


def served_insert() -> str:
    """Every JSON object into gold. What is missing or ill-typed in it is NULL; a time out of bounds
    counts as its arrival.
    """
    sane = f"served_at_us >= {EVENT_TIME_US_MIN} AND served_at_us <= {RECEIVED} + {FUTURE_US_MAX}"
    time = f"CASE WHEN {sane} THEN TO_TIMESTAMP_LTZ(served_at_us / 1000, 3) ELSE arrived END"
    made = ", ".join(time if name == "served_at" else f"`{name}`" for name in PREDICTION_NAMES)
    return tables.insert(
        PREDICTIONS, PREDICTION_NAMES, f"SELECT {made} FROM served", tables.NO_SHUFFLE
    )


def heard() -> View:
    """Accepted ticks, and heartbeats whose time is sane (others were clamped to 1970): one row made
    once for all who read it.

    `late` when the tile was closed already, judged where the watermark is made, so that all sinks
    agree.
    """
    rules = " AND ".join(f"{rule(text)} IS NOT TRUE" for _, text in RULES)
    late = (
        "COALESCE(TO_TIMESTAMP_LTZ(event_time_us / 1000000 * 1000 + 999, 3) <="
        " CURRENT_WATERMARK(et), FALSE)"
    )
    fields = ", ".join(
        quote(name) if name in QUOTES else name
        for name in TYPES
        if name not in ("schema_version", "heartbeat")
    )
    good = (
        f"CASE WHEN heartbeat IS TRUE THEN et > TO_TIMESTAMP_LTZ(1, 3) ELSE {well_typed()} AND"
        f" {rules} END"
    )
    return View(
        "heard",
        f"SELECT {fields}, et, {late} AS late, heartbeat IS TRUE AS beat FROM wire WHERE {good}",
    )


def accepted() -> View:
    """What the feature ladder reads: ticks in time, and the warm-up, which came from silver and
    never reaches it again.
    """
    select = f"SELECT {entry()} FROM"
    return View(
        "accepted",
        f"{select} heard WHERE NOT beat AND NOT late UNION ALL {select} wire_warm WHERE"
        f" {well_typed()}",
    )


def dead_letter_sink(settings: Settings) -> str:
    """At most MESSAGE_BYTES_MAX raw bytes as the value; origin and reason as headers.

    When bytes are missing, another header has the true length.
    """
    connector = kafka(settings, topics.DEAD_LETTER.name, f"{LETTERS}, 'format'='raw'")
    return (
        "CREATE TABLE dead_letter (message BYTES, headers MAP<STRING, BYTES> METADATA) WITH"
        f" ({connector})"
    )


def dead_letter_insert() -> str:
    """The insert that fills `dead_letter`."""
    made = ", ".join(
        f"'{name}', ENCODE({value}, 'UTF-8')"
        for name, value in {
            "reason": "reason",
            "topic": f"'{topics.TICKS.name}'",
            "partition": "CAST(`partition` AS STRING)",
            "offset": "CAST(`offset` AS STRING)",
        }.items()
    )
    long = f"reason = '{Reason.TOO_LONG}'"
    with_length = f"MAP[{made}, 'bytes', ENCODE(true_length, 'UTF-8')]"
    headers = f"CASE WHEN {long} THEN {with_length} ELSE MAP[{made}] END"
    letter = f"CAST(message AS VARBINARY({MESSAGE_BYTES_MAX})), {headers}"
    return f"INSERT INTO dead_letter SELECT {letter} FROM raw_judged WHERE reason IS NOT NULL"


def features_sink(settings: Settings, level: Level) -> str:
    """Topic tick_features, rows of one level."""
    names = "".join(f", {column.name} DOUBLE" for column in columns(level))
    return f"""CREATE TABLE features_{level.view} (`view` STRING, symbol STRING, event_time_ms BIGINT,
  known_at_us BIGINT, warm_s BIGINT{names})
WITH ({kafka(settings, topics.TICK_FEATURES.name)}, {_KEYED})"""


_KEYED = (
    "'key.format'='raw', 'key.fields'='symbol', 'value.format'='json', 'properties.linger.ms'='5',"
    " 'properties.compression.type'='lz4'"
)


def features_insert(level: Level) -> str:
    """The insert that publishes the rows of one level."""
    names = "".join(f", {column.name}" for column in columns(level))
    return (
        f"INSERT INTO features_{level.view} SELECT '{level.view}', symbol, sec * 1000, known_at_us,"
        f" warm_s{names} FROM rows_{level.view}"
    )


def heartbeat_sink(settings: Settings) -> str:
    """Topic tick_features, rows that only say how far event time has come."""
    fields = "`view` STRING, symbol STRING, event_time_ms BIGINT"
    return (
        f"CREATE TABLE features_heartbeat ({fields}) WITH"
        f" ({kafka(settings, topics.TICK_FEATURES.name)}, {_KEYED})"
    )


def heartbeat_insert() -> str:
    """One row per second of event time that heartbeats reached."""
    end = (
        "1000 * CAST(TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', window_end) AS BIGINT)"
    )
    beats = (
        "FROM TUMBLE((SELECT et FROM heard WHERE beat), DESCRIPTOR(et), INTERVAL '1' SECOND) GROUP"
        " BY window_start, window_end"
    )
    return f"INSERT INTO features_heartbeat SELECT 'heartbeat', '{HEARTBEAT_KEY}', {end} {beats}"
