"""A message on which the job fails is kept as a dead letter and filtered by both readers."""

import pytest
from confluent_kafka import Producer

from contracts.config import connections, paths
from contracts.config.settings import Settings
from contracts.errors import JobError, ServiceError
from contracts.tick import MESSAGE_BYTES_MAX
from contracts.topics import DEAD_LETTER, TICKS
from streaming import dead_letters
from streaming.job import job, skipped
from streaming.job.skipped import SkippedMessage
from tests.streaming.broker import running_broker, settings_of
from tests.support.local_flink import query
from tests.support.odd_messages import good, text

TIME_US = 1_760_000_000_000_000
RAW = b'{"poison": [1, 1]}'
ONE = SkippedMessage(2, 41, 1_760_000_000_123)


@pytest.fixture
def kafka(tmp_path):
    with running_broker((TICKS.name, DEAD_LETTER.name)) as address:
        yield settings_of(address, tmp_path / "home")


def send(settings, *values):
    producer = Producer(connections.kafka(settings))
    for value in values:
        producer.produce(TICKS.name, value, partition=1)
    assert producer.flush(10) == 0


def test_a_skipped_message_is_a_dead_letter_with_its_bytes_and_place(kafka):
    send(kafka, b"before", RAW, b"after")
    assert skipped.skip(kafka, 1, 1)
    (letter,) = dead_letters.read(kafka)
    assert (letter.reason, letter.origin, letter.raw) == ("skipped", "ticks/1/1", RAW)
    assert [(one.partition, one.offset) for one in skipped.read(kafka)] == [(1, 1)]


def test_skipping_it_again_changes_nothing(kafka):
    send(kafka, RAW)
    assert skipped.skip(kafka, 1, 0)
    assert not skipped.skip(kafka, 1, 0)
    assert len(list(dead_letters.read(kafka))) == len(skipped.read(kafka)) == 1


def test_a_long_message_is_cut_and_its_length_is_kept(kafka):
    send(kafka, b"x" * (MESSAGE_BYTES_MAX + 7))
    skipped.skip(kafka, 1, 0)
    (letter,) = dead_letters.read(kafka)
    assert (len(letter.raw), letter.true_bytes) == (MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX + 7)


@pytest.mark.parametrize(("partition", "offset"), [(1, 1), (1, 99), (0, 0), (77, 0)])
def test_a_message_that_does_not_exist_is_refused(kafka, partition, offset):
    send(kafka, RAW)
    with pytest.raises(JobError, match="has no"):
        skipped.skip(kafka, partition, offset)
    assert skipped.read(kafka) == ()
    assert list(dead_letters.read(kafka)) == []


def test_their_number_is_bounded(kafka, monkeypatch):
    monkeypatch.setattr(skipped, "SKIPPED_MAX", 1)
    send(kafka, RAW, RAW)
    skipped.skip(kafka, 1, 0)
    with pytest.raises(JobError, match="1 messages are skipped already"):
        skipped.skip(kafka, 1, 1)
    assert len(list(dead_letters.read(kafka))) == 1


def test_a_replay_of_all_dead_letters_does_not_send_it_again(kafka):
    """The contract accepts it, so it would fail the job once more."""
    send(kafka, text(good(1, TIME_US)))
    skipped.skip(kafka, 1, 0)
    counts = dead_letters.replay(kafka, TIME_US)
    assert (counts.sent, counts.rejected) == (0, {"skipped": 1})
    assert dead_letters.replay(kafka, TIME_US, "skipped").sent == 1


def test_without_kafka_nothing_is_recorded(free_settings, monkeypatch):
    monkeypatch.setattr(skipped, "TIMEOUT_S", 0.2)
    settings = free_settings.model_copy(update={"kafka_servers": "127.0.0.1:1"})
    with pytest.raises(ServiceError):
        skipped.skip(settings, 0, 0)
    assert skipped.read(settings) == ()


def test_a_damaged_list_stops_the_start(free_settings):
    file = paths.savepoints(free_settings) / "skipped-messages.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('[{"partition": 1')
    with pytest.raises(JobError, match="cannot be read"):
        job.program(free_settings)


def test_both_readers_step_over_it(free_settings, monkeypatch):
    monkeypatch.setattr(skipped, "read", lambda _: (ONE,))
    program = job.program(free_settings)
    views, condition = dict(program.views), skipped.is_read((ONE,))
    assert condition == (
        "((`partition` = 2 AND `offset` = 41 AND arrived = TO_TIMESTAMP_LTZ(1760000000123, 3)))"
        " IS NOT TRUE"
    )
    assert f"FROM wire WHERE {condition} AND" in views["valid_messages"]
    assert views["raw_text"].endswith(f"FROM wire_raw WHERE {condition}")
    (wire,) = [ddl for ddl in program.ddl if ddl.startswith("CREATE TABLE wire (")]
    assert "`offset` BIGINT METADATA VIRTUAL" in wire


@pytest.mark.integration
def test_flink_filters_that_message_alone():
    """Not its neighbours, and not a message of a new topic with the same offset."""
    places = ((2, 41, 0), (2, 42, 0), (1, 41, 0), (2, 41, 1))
    rows = ", ".join(
        f"({partition}, {offset}, TO_TIMESTAMP_LTZ({ONE.arrived_ms + later_ms}, 3), {later_ms})"
        for partition, offset, later_ms in places
    )
    columns = "`partition`, `offset`, arrived, later_ms"
    found = query(
        "stream",
        [],
        [("messages", f"SELECT * FROM (VALUES {rows}) AS t({columns})")],
        f"SELECT `partition`, `offset`, later_ms FROM messages WHERE {skipped.is_read((ONE,))}",
    )
    assert sorted(map(tuple, found)) == sorted(places[1:])


def test_without_skipped_messages_the_plan_stays_as_it_is():
    """An additional column or filter would cost every message something."""
    program = job.program(Settings())
    assert "IS NOT TRUE" not in dict(program.views)["raw_text"]
    (wire,) = [ddl for ddl in program.ddl if ddl.startswith("CREATE TABLE wire (")]
    assert "`offset`" not in wire
