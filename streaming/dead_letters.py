"""Dead letters: list them with their reason, and replay those that the current contract accepts."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_fixed

from contracts.config import connections
from contracts.config.groups.kafka import KafkaSettings
from contracts.errors import ServiceError
from contracts.messages import encoding
from contracts.messages.parsing import parse
from contracts.tick import Rejected
from contracts.topics import DEAD_LETTER, TICKS
from streaming.job import skipped
from streaming.replay.sender import Sender
from streaming.replay.sent_offsets import SentOffsets

TIMEOUT_S = 5
POLL_S = 0.2
# Letters of a transaction that a dead job left open cannot be read: stop waiting for them.
SILENT_S_MAX = 5.0
BATCH = 500
# What a message without one of these headers gets: any client with write access can write one.
NO_HEADERS = dict.fromkeys(("reason", "topic", "partition", "offset"), "?") | dict.fromkeys(
    ("detail", "bytes"), ""
)
# First offset and end of the letters in each partition.
Bounds = dict[int, tuple[int, int]]


@dataclass(frozen=True)
class DeadLetter:
    """A rejected message: reason, origin, time of rejection and bytes.

    The origin is `topic/partition/offset`, or `feed:<file>/0/<row>`. `raw` has at most
    MESSAGE_BYTES_MAX bytes of the message; `true_bytes` is its original length.
    """

    reason: str
    origin: str
    raw: bytes
    rejected_ms: int
    true_bytes: int
    key: bytes | None = None
    detail: str = ""

    @property
    def from_feed(self) -> bool:
        """Whether a feed rejected it: the bytes are then a row of a file, not a message."""
        return self.origin.startswith("feed:")

    @property
    def is_truncated(self) -> bool:
        """Whether bytes are missing, so that it cannot be replayed."""
        return self.true_bytes > len(self.raw)

    @property
    def place(self) -> tuple[int, int] | None:
        """Partition and offset of the message in `ticks`; None if it has another origin."""
        topic, _, place = self.origin.partition("/")
        partition, _, offset = place.partition("/")
        is_tick = topic == TICKS.name and partition.isdecimal() and offset.isdecimal()
        return (int(partition), int(offset)) if is_tick else None


@dataclass(frozen=True)
class ReplayCounts:
    """Dead letters that a replay sent, that are still rejected (by reason), and that it skipped.

    Skipped are rows of files (`rows`), which only their feed can parse, and `truncated` messages.
    """

    sent: int
    rejected: Counter[str]
    rows: int
    truncated: int


def ends(settings: KafkaSettings) -> dict[int, int]:
    """The current end of every partition, for `read`. Raises ServiceError without Kafka."""
    with closing(_consumer(settings)) as consumer:
        return {partition: end for partition, (_, end) in _bounds(consumer, settings).items()}


def read(
    settings: KafkaSettings,
    reason: str | None = None,
    after: dict[int, int] | None = None,
) -> Iterator[DeadLetter]:
    """Dead letters up to the current end of the topic, oldest first.

    `after`: only those since these `ends`. Raises ServiceError if Kafka is unavailable.
    """
    with closing(_consumer(settings)) as consumer:
        letters = _letters(consumer, _unread(_bounds(consumer, settings), after or {}))
        yield from (letter for letter in letters if reason in (None, letter.reason))


def counts(settings: KafkaSettings) -> Counter[str]:
    """Dead letters by reason."""
    return Counter(letter.reason for letter in read(settings))


def counts_of(
    settings: KafkaSettings, sent_offsets: SentOffsets, after: dict[int, int]
) -> Counter[str]:
    """Messages of `sent_offsets` that the live job rejected, by reason.

    `after`: `ends` from before they were sent. A restarted job writes some dead letters again, so
    each message is counted once.
    """
    reasons: dict[tuple[int, int], str] = {}
    for letter in read(settings, after=after):
        if letter.place is not None and letter.place in sent_offsets:
            reasons[letter.place] = letter.reason
    return Counter(reasons.values())


def replay(settings: KafkaSettings, received_us: int, reason: str | None = None) -> ReplayCounts:
    """Validate dead letters by the current contract and send those that pass to `ticks` again.

    Messages on which the job failed (`skipped`) are sent only if `reason` names them.
    A letter that is replayed twice does no harm: duplicates of a trade are counted once.
    """
    sender, rejected = Sender(settings), Counter[str]()
    sent = rows = truncated = 0
    for letter in read(settings, reason):
        if letter.from_feed:
            rows += 1
            continue
        if letter.is_truncated:
            truncated += 1
            continue
        if reason is None and letter.reason == skipped.REASON:
            rejected[skipped.REASON] += 1
            continue
        parsed = parse(letter.raw, received_us)
        if isinstance(parsed, Rejected):
            rejected[parsed.reason.value] += 1
            continue
        sender.send_message(parsed.key, encoding.encode(parsed))
        sent += 1
    sender.flush()
    return ReplayCounts(sent, rejected, rows, truncated)


def _unread(bounds: Bounds, after: dict[int, int]) -> Bounds:
    """The part of `bounds` from the offsets `after` on, without partitions that have nothing."""
    starts = {p: (max(low, after.get(p, low)), end) for p, (low, end) in bounds.items()}
    return {p: (start, end) for p, (start, end) in starts.items() if start < end}


def _letters(consumer: Consumer, bounds: Bounds) -> Iterator[DeadLetter]:
    """The letters within `bounds`."""
    messages = chain.from_iterable(_poll(consumer, bounds))
    return (_letter(message) for message in messages if _is_within(message, bounds))


def _poll(consumer: Consumer, bounds: Bounds) -> Iterator[list[Message]]:
    """Messages up to the end of `bounds`. Gives up after SILENT_S_MAX without a message."""
    consumer.assign(
        [TopicPartition(DEAD_LETTER.name, p, start) for p, (start, _) in bounds.items()]
    )
    silent_s = 0.0
    while silent_s < SILENT_S_MAX and _is_unread(consumer, bounds):
        messages = consumer.consume(BATCH, POLL_S)
        silent_s = 0.0 if messages else silent_s + POLL_S
        yield messages


def _is_unread(consumer: Consumer, bounds: Bounds) -> bool:
    """Whether the consumer has not reached the end of every partition."""
    return any(_position(consumer, p) < end for p, (_, end) in bounds.items())


def _is_within(message: Message, bounds: Bounds) -> bool:
    """Whether it is a message before the end of its partition, not an error of the consumer."""
    if message.error():
        return False
    return cast(int, message.offset()) < bounds[cast(int, message.partition())][1]


def _has_no_leader_yet(error: BaseException) -> bool:
    """Whether the topic was created so recently that it has no leader."""
    codes = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
    return isinstance(error, KafkaException) and error.args[0].code() in codes


def _consumer(settings: KafkaSettings) -> Consumer:
    options = {"group.id": "dead-letters", "enable.auto.commit": False, "log_level": 2}
    return Consumer({**connections.kafka(settings), **options})


@retry(
    retry=retry_if_exception(_has_no_leader_yet),
    stop=stop_after_attempt(20),
    wait=wait_fixed(0.25),
    reraise=True,
)
def _watermarks(consumer: Consumer) -> Bounds:
    partitions = (
        consumer.list_topics(DEAD_LETTER.name, timeout=TIMEOUT_S)
        .topics[DEAD_LETTER.name]
        .partitions
    )
    return {
        p: consumer.get_watermark_offsets(TopicPartition(DEAD_LETTER.name, p), timeout=TIMEOUT_S)
        for p in partitions
    }


def _bounds(consumer: Consumer, settings: KafkaSettings) -> Bounds:
    """All letters that Kafka has. Raises ServiceError without Kafka."""
    try:
        return _watermarks(consumer)
    except KafkaException as error:
        raise ServiceError(
            f"Kafka does not answer at {settings.kafka}: {error}", "start it with `tick up`"
        ) from error


def _position(consumer: Consumer, partition: int) -> int:
    """The consumer's offset, which also moves past transaction markers and other non-messages."""
    return int(consumer.position([TopicPartition(DEAD_LETTER.name, partition)])[0].offset)


def _letter(message: Message) -> DeadLetter:
    headers = NO_HEADERS | _headers(message)
    raw, (_, rejected_ms) = message.value() or b"", message.timestamp()
    return DeadLetter(
        headers["reason"],
        "{topic}/{partition}/{offset}".format_map(headers),
        raw,
        rejected_ms,
        _true_bytes(headers["bytes"], len(raw)),
        message.key(),
        headers["detail"],
    )


def _headers(message: Message) -> dict[str, str]:
    return {
        name: (value or b"").decode("utf-8", "replace") for name, value in message.headers() or ()
    }


def _true_bytes(header: str, received: int) -> int:
    """The length in the header if it is one, else the `received` bytes."""
    return int(header) if header.isdecimal() and len(header) < 16 else received
