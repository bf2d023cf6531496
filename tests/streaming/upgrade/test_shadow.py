"""The shadow shares no topic and no consumer group with the live job, and leaves no state."""

from dataclasses import replace

import pytest
from confluent_kafka.admin import AdminClient

from contracts import live_job, topics
from contracts.config import connections
from contracts.errors import JobError, ServiceError
from streaming.job import job
from streaming.upgrade import shadow
from streaming.upgrade.shadow import Shadow
from tests.streaming.broker import running_broker, settings_of

ONE = Shadow(1)


def test_it_writes_feature_rows_only_to_its_own_topic(free_settings):
    program = ONE.program(free_settings, job.program(free_settings))
    sinks = {text.split()[2] for text in program.inserts}
    assert sinks == {"features_tick_1s", "features_tick_10s", "features_tick_1m"} | {
        "features_heartbeat"
    }
    written = [ddl for ddl in program.ddl if ddl.startswith("CREATE TABLE features_")]
    assert len(written) == len(sinks)
    assert all(f"'topic'='{ONE.features}'" in ddl for ddl in written)


def test_it_reads_ticks_and_its_own_warm_up_with_its_own_groups(free_settings):
    program = ONE.program(free_settings, job.program(free_settings))
    readers = {
        reader.table: ddl
        for reader in (live_job.TICKS, live_job.WARMUP)
        for ddl in program.ddl
        if ddl.startswith(f"CREATE TABLE {reader.table} ")
    }
    assert f"'topic'='{topics.TICKS.name}'" in readers["wire"]
    assert f"'topic'='{ONE.warmup}'" in readers["wire_warm"]
    for reader in (live_job.TICKS, live_job.WARMUP):
        assert f"'properties.group.id'='{ONE.of(reader.group)}'" in readers[reader.table]


def test_its_name_and_options_keep_it_apart_from_the_live_job(free_settings):
    program = ONE.program(free_settings, job.program(free_settings, "file:///states/chk-1"))
    assert program.name != live_job.NAME
    assert not [name for name in program.options if name.startswith("execution.checkpointing")]
    assert "execution.state-recovery.path" not in program.options
    assert program.options["restart-strategy.type"] == "none"
    assert program.options["execution.shutdown-on-attached-exit"] == "true"


def test_a_program_without_the_known_readers_is_refused(free_settings):
    live = job.program(free_settings)
    other = tuple(ddl.replace("'tick-job'", "'other'") for ddl in live.ddl)
    with pytest.raises(JobError, match="has no 'properties.group.id'='tick-job'"):
        ONE.program(free_settings, replace(live, ddl=other))


def names(settings):
    admin = AdminClient({**connections.kafka(settings), "log_level": 0})
    return {name for name in admin.list_topics(timeout=10).topics if shadow.INFIX in name}


def test_without_kafka_it_says_that_the_live_job_runs_on(tmp_path, monkeypatch):
    monkeypatch.setattr(shadow, "TIMEOUT_S", 0.3)
    settings = settings_of("127.0.0.1:1", tmp_path)
    with (
        pytest.raises(ServiceError, match="were not created") as told,
        shadow.created(settings, ONE),
    ):
        pass
    assert "runs as before" in told.value.hint


def test_a_live_topic_that_is_missing_is_an_error(tmp_path):
    with (
        running_broker(("ticks",)) as address,
        pytest.raises(ServiceError, match="tick"),
        shadow.created(settings_of(address, tmp_path), ONE),
    ):
        pass
