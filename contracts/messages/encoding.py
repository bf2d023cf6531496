"""The messages of topic `ticks`: one JSON object per tick with the fields of `Tick`, or a
heartbeat; and the dead letter of one that is not accepted.
"""

import orjson

from contracts.tick import MESSAGE_BYTES_MAX, SCHEMA_VERSION, Tick


def encode(tick: Tick) -> bytes:
    """The message of one tick, without absent quotes. `streaming.feeds.tick_frame.encode` encodes
    batches.
    """
    fields = {name: value for name, value in tick._asdict().items() if value is not None}
    return orjson.dumps({"schema_version": SCHEMA_VERSION, **fields})


def heartbeat(event_time_us: int) -> bytes:
    """A message that advances event time in its partition and counts as no tick."""
    return orjson.dumps(
        {"schema_version": SCHEMA_VERSION, "heartbeat": True, "event_time_us": event_time_us}
    )


def dead_letter(
    raw: bytes, reason: str, topic: str, partition: int, offset: int
) -> tuple[bytes, dict[str, str]]:
    """Value and headers of a dead letter: the raw bytes, their reason and their origin.

    Truncated at MESSAGE_BYTES_MAX bytes, with the true length as a header: a producer refuses
    messages of more than 1,000,000 bytes.
    """
    headers = {
        "reason": reason,
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
    }
    if len(raw) > MESSAGE_BYTES_MAX:
        headers["bytes"] = str(len(raw))
    return raw[:MESSAGE_BYTES_MAX], headers
