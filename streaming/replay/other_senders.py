"""Other senders that are sending now, and how far their event time is from ours.

The live job has one event time. A second sender whose event time is ahead makes every tick of the
first one late. Heartbeats name their sender in a header and reach every partition, so the newest
messages of one partition show all senders.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from operator import attrgetter
from typing import cast

import orjson
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from contracts.config import connections
from contracts.config.settings import Settings
from contracts.topics import TICKS
from streaming.replay.sender import SENDER_HEADER

TAIL_MESSAGES = 5_000
RECENT_S = 5.0
TIMEOUT_S = 2.0
POLL_S = 0.2


@dataclass(frozen=True)
class OtherSender:
    """A sender by its run id; `ahead_us`: its event time less the time at which it was sent."""

    run_id: str
    ahead_us: int

    def differs(self, settings: Settings, ahead_us: int) -> bool:
        """Whether its event time is further from ours than the live job tolerates.

        The two were read up to a heartbeat apart, and a silent exchange follows behind its clock.
        """
        tolerance_s = max(settings.heartbeat_interval_s, settings.live_idle_lag_s)
        return abs(self.ahead_us - ahead_us) > settings.lateness_ms * 1000 + tolerance_s * 1e6


def apart(settings: Settings, senders: Sequence[OtherSender]) -> tuple[OtherSender, ...]:
    """The sender furthest behind and the one furthest ahead, if their event times differ."""
    ordered = sorted(senders, key=attrgetter("ahead_us"))
    if not ordered or not ordered[0].differs(settings, ordered[-1].ahead_us):
        return ()
    return ordered[0], ordered[-1]


def find(settings: Settings, now_us: int) -> list[OtherSender]:
    """Senders with a heartbeat in the last seconds before `now_us`; none without Kafka."""
    options = {"group.id": "other-senders", "enable.auto.commit": False, "log_level": 2}
    newest: dict[str, int] = {}
    with closing(Consumer({**connections.kafka(settings), **options})) as consumer:
        try:
            for message in _tail(consumer):
                run_id, event_us = _sender(message), _event_time_us(message)
                sent_us = message.timestamp()[1] * 1000
                if run_id and event_us is not None and now_us - sent_us < RECENT_S * 1e6:
                    newest[run_id] = event_us - sent_us
        except KafkaException:  # the replay itself reports what is wrong
            return []
    return [OtherSender(run_id, ahead_us) for run_id, ahead_us in newest.items()]


def _tail(consumer: Consumer) -> Iterator[Message]:
    """The newest messages of the first partition."""
    partition = TopicPartition(TICKS.name, 0)
    low, end = consumer.get_watermark_offsets(partition, timeout=TIMEOUT_S)
    start = max(low, end - TAIL_MESSAGES)
    consumer.assign([TopicPartition(TICKS.name, 0, start)])
    left, silent_s = end - start, 0.0
    while left > 0 and silent_s < TIMEOUT_S:
        messages = [m for m in consumer.consume(left, POLL_S) if not m.error()]
        left -= len(messages)
        silent_s = 0.0 if messages else silent_s + POLL_S
        yield from messages


def _sender(message: Message) -> str:
    headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    return (dict(headers).get(SENDER_HEADER) or b"").decode("utf-8", "replace")


def _event_time_us(message: Message) -> int | None:
    """The time of a heartbeat; None for anything else, as any client can write a header."""
    try:
        return int(orjson.loads(message.value() or b"")["event_time_us"])
    except (ValueError, TypeError, KeyError):
        return None
