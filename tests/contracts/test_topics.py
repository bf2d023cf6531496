"""Topics and readers of the live job: names that others rely on, and retention that suffices."""

from contracts import live_job
from contracts.config.groups.flink import FlinkSettings
from contracts.topics import DAY_MS, DEAD_LETTER, PREDICTIONS, TICKS, TOPICS, WARMUP


def test_names_are_unique():
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)


def test_the_broker_stamps_every_message():
    """The bound on future event times relies on a time that a producer cannot forge."""
    assert all(topic.log_append_time for topic in TOPICS)


def test_dead_letters_are_kept_longer_than_the_ticks_they_could_be_repaired_from():
    assert DEAD_LETTER.retention_ms > TICKS.retention_ms


def test_every_topic_is_kept_long_enough_for_the_longest_warm_up():
    longest_s = next(
        bound.le
        for bound in FlinkSettings.model_fields["warmup_s"].metadata
        if hasattr(bound, "le")
    )
    assert all(topic.retention_ms >= longest_s * 1000 for topic in TOPICS)
    assert WARMUP.retention_ms == DAY_MS


def test_records_in_the_order_of_their_arrival_have_one_partition():
    assert DEAD_LETTER.partitions == PREDICTIONS.partitions == 1
    assert TICKS.partitions == WARMUP.partitions, "a symbol has the same partition in both"


def test_a_group_commits_the_offsets_of_one_reader():
    groups = [reader.group for reader in live_job.READERS] + [live_job.WRITER_GROUP]
    assert len(set(groups)) == len(groups)


def test_the_job_reads_topics_that_are_created():
    created = {topic.name for topic in TOPICS}
    assert {reader.topic for reader in live_job.READERS} <= created


def test_only_the_warm_up_ends_by_itself():
    assert (live_job.WARMUP.table,) == live_job.ENDING_READERS


def test_ticks_are_read_twice_by_readers_with_their_own_tables():
    """Once as fields, once as raw bytes for dead letters."""
    tables = [reader.table for reader in live_job.READERS if reader.topic == TICKS.name]
    assert len(tables) == len(set(tables)) == 2
