"""`parse()`, typed reader and dead-letter views agree on every odd message: a tick or a letter."""

from collections import Counter

import polars as pl
import pytest
from confluent_kafka import Producer

from contracts.config import connections
from contracts.config.settings import Settings
from contracts.messages.parsing import parse
from contracts.tick import Rejected, Tick
from contracts.topics import TICKS
from lakehouse.schemas import SILVER
from lakehouse.tables import Lakehouse
from tests.integration.conftest import minutes_ago
from tests.support import outcomes
from tests.support.odd_messages import messages

pytestmark = pytest.mark.integration
MIXTURES, SEED = 5_000, 20
# All messages of a run lie within a minute of its start, in event time or at least in ingest time.
WIDTH_US = 60_000_000


def in_silver(settings: Settings, start_us: int) -> Counter[Tick]:
    """The rows of this run by event time, or by ingest time if the event time is odd."""
    frame = pl.DataFrame(
        Lakehouse(settings).table(SILVER).scan(selected_fields=Tick._fields).to_arrow()
    )
    mine = [
        pl.col(name).is_between(start_us + 1, start_us + WIDTH_US)
        for name in ("event_time_us", "ingest_time_us")
    ]
    return Counter(
        map(Tick._make, frame.filter(pl.any_horizontal(mine)).select(Tick._fields).iter_rows())
    )


def test_every_odd_message_is_a_tick_or_a_dead_letter(live: Settings) -> None:
    start_us = minutes_ago(100)
    before = outcomes.marks(live)
    producer = Producer({**connections.kafka(live)})
    for number, message in enumerate(messages(MIXTURES, SEED, start_us)):
        producer.produce(TICKS.name, message, partition=number % TICKS.partitions)
    assert producer.flush(30) == 0

    sent = {(m.partition, m.offset): m for m in outcomes.sent(live, before)}
    parsed = {
        place: parse(message.value, outcomes.received_us(message))
        for place, message in sent.items()
    }
    refused = {
        place: (one.reason.value, one.raw)
        for place, one in parsed.items()
        if isinstance(one, Rejected)
    }
    accepted = Counter(one for one in parsed.values() if isinstance(one, Tick))
    assert (
        len(set(outcomes.reasons(refused))) == 7
        and min(len(refused), accepted.total()) > len(sent) // 4
    )

    outcomes.settle(live, start_us)
    letters, stored = outcomes.letters(live, before), in_silver(live, start_us)
    assert [
        (sent[place].value, letters.get(place), refused.get(place))
        for place in sent
        if letters.get(place) != refused.get(place)
    ] == []
    assert (stored - accepted, accepted - stored) == (Counter(), Counter())
