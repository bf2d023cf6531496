"""The outcome of every message sent: a tick in silver, a dead letter, both or nothing.

Read only from the topics and the table.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from uuid import uuid4

from confluent_kafka import Producer
from pyiceberg.expressions import EqualTo

from contracts import topics
from contracts.config import connections
from contracts.config.settings import Settings
from contracts.messages.encoding import encode
from contracts.tick import Tick
from lakehouse.schemas import SILVER
from lakehouse.tables import Lakehouse
from tests.integration.conftest import eventually
from tests.support import topic_reader
from tests.support.topic_reader import Message

SECOND_US = 1_000_000
LAST = b"last-of-all"
Place = tuple[int, int]  # partition, offset


@dataclass(frozen=True)
class Marks:
    """Ends of the topics before a test sent anything."""

    ticks: dict[int, int]
    letters: dict[int, int]


def marks(settings: Settings) -> Marks:
    return Marks(
        topic_reader.ends(settings, topics.TICKS.name),
        topic_reader.ends(settings, topics.DEAD_LETTER.name),
    )


def sent(settings: Settings, before: Marks) -> list[Message]:
    """The messages that arrived since, without heartbeats and the markers of `settle`."""
    return [
        m
        for m in topic_reader.since(settings, topics.TICKS.name, before.ticks)
        if not m.is_beat and LAST not in m.value
    ]


def settle(settings: Settings, event_time_us: int) -> None:
    """Wait until all messages sent so far are processed.

    Sends a valid and an invalid marker through every partition and waits for both.
    """
    tag, producer = str(uuid4()), Producer({**connections.kafka(settings)})
    for partition in range(topics.TICKS.partitions):
        name = f"{LAST.decode()}-{tag}-{partition}"
        good = encode(Tick("TEST", "LAST", event_time_us, event_time_us, 1.0, 1.0, 0, name, 0))
        for message in (good, name.encode()):
            producer.produce(topics.TICKS.name, message, partition=partition)
    assert producer.flush(30) == 0
    eventually(
        lambda: _marked(settings, tag) == topics.TICKS.partitions,
        "the last good message of every partition in silver",
    )

    def end():
        return [
            m
            for m in topic_reader.since(settings, topics.DEAD_LETTER.name, {0: 0})
            if tag.encode() in m.value
        ]

    eventually(
        lambda: len(end()) >= topics.TICKS.partitions,
        "the last bad message of every partition among the dead letters",
    )


def _marked(settings: Settings, tag: str) -> int:
    scan = (
        Lakehouse(settings)
        .table(SILVER)
        .scan(row_filter=EqualTo("symbol", "LAST"), selected_fields=("trade_id",))
    )
    return len({name for name in scan.to_arrow()["trade_id"].to_pylist() if tag in name})


def letters(settings: Settings, before: Marks) -> dict[Place, tuple[str, bytes]]:
    """(reason, raw) of the dead letters since, by the position of the message.

    A copy of a letter counts once.
    """
    everything = topic_reader.since(settings, topics.DEAD_LETTER.name, before.letters)
    candidates = [
        m for m in everything if m.headers.get("topic") == topics.TICKS.name and LAST not in m.value
    ]
    verdicts: dict[Place, set[tuple[str, bytes]]] = defaultdict(set)
    for m in candidates:
        verdicts[int(m.headers["partition"]), int(m.headers["offset"])].add(
            (m.headers["reason"], m.value)
        )
    assert all(len(verdict) == 1 for verdict in verdicts.values()), (
        "a message was rejected for two reasons"
    )
    return {place: verdict.pop() for place, verdict in verdicts.items()}


def received_us(message: Message) -> int:
    """The arrival time as the job sees it: the broker's timestamp, in whole seconds."""
    return message.appended_us // SECOND_US * SECOND_US


def reasons(letters_: dict[Place, tuple[str, bytes]]) -> Counter[str]:
    return Counter(reason for reason, _ in letters_.values())
