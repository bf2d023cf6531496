"""Dead letters: list them with their reason, and replay those that the current contract accepts."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_fixed

from contracts.config import connections
from contracts.config.settings import Settings
from contracts.errors import ServiceError
from contracts.messages import encoding
from contracts.messages.parsing import parse
from contracts.tick import Rejected
from contracts.topics import DEAD_LETTER, TICKS
from streaming.replay.sender import Sender
from streaming.replay.sent_offsets import SentOffsets

TIMEOUT_S = 5
POLL_S = 0.2
# Letters of a transaction that a dead job left open cannot be read: stop waiting for them.
SILENT_S_MAX = 5.0
BATCH = 500


@dataclass(frozen=True)
class DeadLetter:
    """A refused message: reason, origin, time of refusal and bytes.

    The origin is `topic/partition/offset`, or `feed:<file>/0/<row>`. `raw` has at most
    MESSAGE_BYTES_MAX bytes of the message; `true_bytes` is its original length.
    """

    reason: str
    origin: str
    raw: bytes
    refused_ms: int
    true_bytes: int
    key: bytes | None = None
    detail: str = ""

    @property
    def from_feed(self) -> bool:
        """Whether a feed rejected it: the bytes are then a row of a file, not a message."""
        return self.origin.startswith("feed:")

    @property
    def is_cut(self) -> bool:
        """Whether bytes are missing, so that it cannot be replayed."""
        return self.true_bytes > len(self.raw)

    @property
    def place(self) -> tuple[int, int] | None:
        """Partition and offset of the refused message in `ticks`; None if it has another origin."""
        topic, _, place = self.origin.partition("/")
        partition, _, offset = place.partition("/")
        is_tick = topic == TICKS.name and partition.isdecimal() and offset.isdecimal()
        return (int(partition), int(offset)) if is_tick else None


@dataclass(frozen=True)
class ReplayCounts:
    """Dead letters that a replay sent, that are still refused (by reason), and that it skipped.

    Skipped are rows of files (`rows`), which only their feed can parse, and cut messages (`cut`).
    """

    sent: int
    refused: Counter[str]
    rows: int
    cut: int


def ends(settings: Settings) -> dict[int, int]:
    """The current end of every partition, for `read`. Raises ServiceError without Kafka."""
    consumer = _consumer(settings)
    try:
        return {partition: high for partition, (_, high) in _ends(consumer, settings).items()}
    finally:
        consumer.close()


def read(
    settings: Settings,
    reason: str | None = None,
    after: dict[int, int] | None = None,
) -> Iterator[DeadLetter]:
    """Dead letters up to the current end of the topic, oldest first.

    `after`: only those since these `ends`. Raises ServiceError if Kafka is unavailable.
    """
    consumer = _consumer(settings)
    try:
        bounds = _ends(consumer, settings)
        starts = {p: max(low, (after or {}).get(p, low)) for p, (low, _) in bounds.items()}
        consumer.assign([TopicPartition(DEAD_LETTER.name, p, start) for p, start in starts.items()])
        left, silent_s = {p for p, (_, high) in bounds.items() if starts[p] < high}, 0.0
        while left and silent_s < SILENT_S_MAX:
            messages = consumer.consume(BATCH, POLL_S)
            silent_s = 0.0 if messages else silent_s + POLL_S
            letters = _letters(messages, bounds)
            yield from (letter for letter in letters if reason in (None, letter.reason))
            left = {p for p in left if _position(consumer, p) < bounds[p][1]}
    finally:
        consumer.close()


def counts(settings: Settings) -> Counter[str]:
    """Dead letters by reason."""
    return Counter(letter.reason for letter in read(settings))


def counts_of(settings: Settings, written: SentOffsets, after: dict[int, int]) -> Counter[str]:
    """Messages of `written` that the live job refused, by reason.

    `after`: `ends` from before they were sent. A restarted job writes some dead letters again, so
    each message is counted once.
    """
    reasons: dict[tuple[int, int], str] = {}
    for letter in read(settings, after=after):
        if letter.place is not None and letter.place in written:
            reasons[letter.place] = letter.reason
    return Counter(reasons.values())


def replay(settings: Settings, received_us: int, reason: str | None = None) -> ReplayCounts:
    """Validate dead letters by the current contract and send those that pass to `ticks` again.

    A letter that is replayed twice does no harm: duplicates of a trade are counted once.
    """
    sender, refused = Sender(settings), Counter[str]()
    sent = rows = cut = 0
    for letter in read(settings, reason):
        if letter.from_feed:
            rows += 1
            continue
        if letter.is_cut:
            cut += 1
            continue
        parsed = parse(letter.raw, received_us)
        if isinstance(parsed, Rejected):
            refused[parsed.reason.value] += 1
            continue
        sender.send_message(parsed.key, encoding.encode(parsed))
        sent += 1
    sender.flush()
    return ReplayCounts(sent, refused, rows, cut)


def _letters(messages: list[Message], ends: dict[int, tuple[int, int]]) -> Iterator[DeadLetter]:
    for message in messages:
        partition, offset = message.partition(), message.offset()
        if (
            not message.error()
            and partition is not None
            and offset is not None
            and offset < ends[partition][1]
        ):
            yield _letter(message)


def _has_no_leader_yet(error: BaseException) -> bool:
    """Whether the topic was created so recently that it has no leader."""
    codes = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
    return isinstance(error, KafkaException) and error.args[0].code() in codes


def _consumer(settings: Settings) -> Consumer:
    options = {"group.id": "dead-letters", "enable.auto.commit": False, "log_level": 2}
    return Consumer({**connections.kafka(settings), **options})


@retry(
    retry=retry_if_exception(_has_no_leader_yet),
    stop=stop_after_attempt(20),
    wait=wait_fixed(0.25),
    reraise=True,
)
def _watermarks(consumer: Consumer) -> dict[int, tuple[int, int]]:
    partitions = (
        consumer.list_topics(DEAD_LETTER.name, timeout=TIMEOUT_S)
        .topics[DEAD_LETTER.name]
        .partitions
    )
    return {
        p: consumer.get_watermark_offsets(TopicPartition(DEAD_LETTER.name, p), timeout=TIMEOUT_S)
        for p in partitions
    }


def _ends(consumer: Consumer, settings: Settings) -> dict[int, tuple[int, int]]:
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
    headers = {
        name: (value or b"").decode("utf-8", "replace") for name, value in message.headers() or ()
    }
    origin = "/".join(headers.get(name, "?") for name in ("topic", "partition", "offset"))
    raw, (_, refused_ms) = message.value() or b"", message.timestamp()
    size = headers.get("bytes", "")  # not trusted: any client with write access can set it
    true_bytes = int(size) if size.isdecimal() and len(size) < 16 else len(raw)
    reason, detail = headers.get("reason", "?"), headers.get("detail", "")
    return DeadLetter(reason, origin, raw, refused_ms, true_bytes, message.key(), detail)
