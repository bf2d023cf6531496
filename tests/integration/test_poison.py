"""Messages made to break a parser become dead letters, each once and with its reason.

The job continues without a restart.
"""

from collections import Counter, defaultdict

import pytest
from confluent_kafka import Producer

from contracts.config import connections
from contracts.config.settings import Settings
from contracts.messages.parsing import parse
from contracts.tick import MESSAGE_BYTES_MAX, Rejected, Tick
from contracts.topics import TICKS
from feature_store.flink import rest as flink_rest
from streaming import dead_letters
from streaming.job import job
from tests.integration.conftest import minutes_ago
from tests.integration.test_parse_equals_sql import in_silver
from tests.support import outcomes
from tests.support.poison import huge, messages

pytestmark = pytest.mark.integration
BATCH_BYTES = 1_048_576 - 200  # of one message, just below the broker's limit of 1 MiB
TEN_MB = 10_000_000
SENT_BYTES_MAX = 20_000_000


def vertices(settings: Settings, job_id: str) -> dict[str, str]:
    return {
        vertex["name"]: vertex["status"]
        for vertex in flink_rest.call(settings, f"/jobs/{job_id}")["vertices"]
    }


def origin(place: outcomes.Place) -> str:
    return f"{TICKS.name}/{place[0]}/{place[1]}"


def send(settings: Settings, sent: list[bytes | None], compression: str) -> None:
    options = {
        "compression.type": compression,
        "message.max.bytes": SENT_BYTES_MAX,
        "batch.num.messages": 1,
    }
    producer = Producer({**connections.kafka(settings), **options})
    errors: list[str] = []
    for number, message in enumerate(sent):
        told = lambda error, _: errors.append(str(error)) if error else None  # noqa: E731
        producer.produce(TICKS.name, message, partition=number % TICKS.partitions, on_delivery=told)
        producer.poll(0)
    assert producer.flush(60) == 0
    assert errors == []


def test_poison_becomes_dead_letters_and_the_job_runs_on(live: Settings) -> None:
    job_id, start_us = job.start(live), minutes_ago(95)
    before, restarted = outcomes.marks(live), flink_rest.restarts(live, job_id)
    send(live, [*messages(start_us), None], "lz4")
    send(live, list(huge(start_us, BATCH_BYTES)), "none")
    for compression in ("lz4", "zstd"):
        send(live, list(huge(start_us, TEN_MB)), compression)

    sent = {(m.partition, m.offset): m for m in outcomes.sent(live, before)}
    parsed = {
        place: parse(message.value, outcomes.received_us(message))
        for place, message in sent.items()
    }
    refused = {
        place: (one.reason.value, one.raw[:MESSAGE_BYTES_MAX])
        for place, one in parsed.items()
        if isinstance(one, Rejected)
    }
    accepted = Counter(one for one in parsed.values() if isinstance(one, Tick))
    assert outcomes.reasons(refused)["too_long"] > 50 and accepted.total() > 10

    outcomes.settle(
        live, start_us
    )  # ticks behind the poison are accepted, and bad messages refused, in every partition
    letters, stored = outcomes.letters(live, before), in_silver(live, start_us)
    odd = [place for place in sent if letters.get(place) != refused.get(place)]
    assert [
        (sent[place].value[:200], (letters.get(place) or "?")[0], (refused.get(place) or "?")[0])
        for place in odd
    ] == []
    assert (stored - accepted, accepted - stored) == (Counter(), Counter())
    sizes = defaultdict(list)
    for letter in dead_letters.read(live):
        sizes[letter.origin].append(letter.true_bytes)
    assert [place for place in refused if sizes[origin(place)] != [len(sent[place].value)]] == []

    assert flink_rest.restarts(live, job_id) == restarted
    (reader,) = [name for name in vertices(live, job_id) if "wire_raw" in name]
    assert vertices(live, job_id)[reader] == "RUNNING"
