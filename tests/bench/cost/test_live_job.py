"""CPU time of the live job for one chunk: what is waited for, and in which order."""

from contextlib import contextmanager

import pytest

from bench.cost import live_job
from bench.cost.jvm import JvmCost
from bench.errors import BenchError
from bench.load.ticks import Chunk
from contracts.topics import DEAD_LETTER, TICK_FEATURES, TICKS

CHUNK = Chunk(1_800_000_000_000_000, 61, 2, symbols=3)


class Job:
    """Topics and checkpoints of a live job that publishes a third of the rows per heartbeat."""

    def __init__(self):
        self.offsets = {TICKS.name: 100, TICK_FEATURES.name: 50, DEAD_LETTER.name: 7}
        self.checkpoints = 3
        self.events = []
        self.is_measured = False

    def end_offsets(self, settings, topic):
        return [self.offsets[topic.name], *[0] * (topic.partitions - 1)]

    def send_chunk(self, settings, chunk):
        self.events.append("chunk")
        self.offsets[TICKS.name] += chunk.ticks + TICKS.partitions
        self.offsets[DEAD_LETTER.name] += TICKS.partitions

    def send_heartbeat(self, settings, chunk):
        self.events.append("heartbeat")
        self.offsets[TICK_FEATURES.name] += -(-chunk.rows // 3)

    def completed_checkpoints(self, settings, path):
        self.events.append("checkpoint")
        self.checkpoints += 1
        return {"counts": {"completed": self.checkpoints}}

    @contextmanager
    def measure(self, process):
        cost = JvmCost()
        self.is_measured = True
        yield cost
        self.is_measured = False
        cost.cpu_s, cost.jit_s = 2.5, 0.5


@pytest.fixture
def job(monkeypatch):
    running = Job()
    monkeypatch.setattr(live_job.services, "POLL_S", 0.0)
    monkeypatch.setattr(live_job.services, "process", lambda *_: None)
    monkeypatch.setattr(live_job.services, "end_offsets", running.end_offsets)
    monkeypatch.setattr(live_job, "send_chunk", running.send_chunk)
    monkeypatch.setattr(live_job, "send_heartbeat", running.send_heartbeat)
    monkeypatch.setattr(live_job, "measure_jvm_cost", running.measure)
    monkeypatch.setattr(live_job.flink_rest, "call", running.completed_checkpoints)
    return running


def test_the_cost_is_that_of_the_taskmanager_without_its_compiler(job, free_settings):
    cost = live_job.run_chunk(free_settings, "job", CHUNK)
    assert (cost.chunk, cost.cpu_s, cost.jit_s) == (CHUNK, 2.5, 0.5)


def test_heartbeats_are_repeated_until_every_row_is_published(job, free_settings):
    live_job.run_chunk(free_settings, "job", CHUNK)
    assert job.events[:4] == ["chunk", "heartbeat", "heartbeat", "heartbeat"]
    assert job.offsets[TICK_FEATURES.name] >= 50 + CHUNK.rows


def test_a_checkpoint_after_the_last_row_belongs_to_the_cost(job, free_settings):
    live_job.run_chunk(free_settings, "job", CHUNK)
    assert job.events[-2:] == ["checkpoint", "checkpoint"]


def test_the_offsets_are_those_of_the_chunk_only(job, free_settings):
    cost = live_job.run_chunk(free_settings, "job", CHUNK)
    assert sum(cost.begin) == 100
    assert sum(cost.end) - sum(cost.begin) == CHUNK.ticks + TICKS.partitions


@pytest.mark.parametrize(
    ("broken", "missing"),
    [("send_heartbeat", f"{CHUNK.rows} feature rows"), ("checkpoints", "a checkpoint")],
)
def test_what_never_arrives_is_named(job, free_settings, monkeypatch, broken, missing):
    monkeypatch.setattr(live_job, "ROWS_TIMEOUT_S", 0.01)
    monkeypatch.setattr(live_job, "CHECKPOINT_TIMEOUT_S", 0.01)
    if broken == "send_heartbeat":
        monkeypatch.setattr(live_job, "send_heartbeat", lambda *_: None)
    else:
        completed = {"counts": {"completed": 3}}
        monkeypatch.setattr(live_job.flink_rest, "call", lambda *_: completed)
    with pytest.raises(BenchError, match=f"in vain: {missing}"):
        live_job.run_chunk(free_settings, "job", CHUNK)


def test_missing_dead_letters_are_named(job, free_settings, monkeypatch):
    monkeypatch.setattr(live_job, "ROWS_TIMEOUT_S", 0.01)
    monkeypatch.setattr(live_job, "send_chunk", lambda *_: None)
    with pytest.raises(BenchError, match="in vain: the last dead letters"):
        live_job.run_chunk(free_settings, "job", CHUNK)
