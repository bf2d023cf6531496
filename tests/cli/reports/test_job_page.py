"""The output of `tick job status`, with a server that responds like Flink, and without Kafka."""

from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from cli.reports.job_page import sender_lines
from contracts.config.settings import Settings, settings
from streaming.replay.other_senders import OtherSender
from tests.support.flink_server import FlinkServer, flink_server


@pytest.fixture
def flink() -> Iterator[FlinkServer]:
    with flink_server() as server:
        yield server


@pytest.fixture
def status(flink, tmp_path, monkeypatch) -> Iterator:
    monkeypatch.setenv("TICK_HOME", str(tmp_path))
    monkeypatch.setenv("TICK_FLINK_PORT", str(flink.port))
    monkeypatch.setenv("TICK_KAFKA_SERVERS", "127.0.0.1:9")
    settings.cache_clear()
    yield lambda: CliRunner().invoke(app, ["job", "status"])
    settings.cache_clear()


def problems(result: Result) -> list[str]:
    return [line for line in result.stdout.splitlines() if line.startswith("✗")]


def test_every_task_has_a_line_and_no_line_is_too_long(flink, status):
    flink.failed_ms, flink.restarts = [1], 3
    result = status()
    lines = [line for line in result.stdout.splitlines() if not line.startswith("✗")]
    assert max(map(len, lines)) <= 80
    assert "reader wire_raw                              RUNNING    2 of 2" in lines
    assert "reader wire_warm                             FINISHED   0 of 2, may end" in lines
    assert "restarts       3" in lines and "last failure   c.D: inner" in lines


def test_two_senders_that_are_apart_are_told_in_short_lines(tmp_path):
    senders = [OtherSender("0123456789ab", 0), OtherSender("ba9876543210", 3_600_000_000)]
    lines = list(sender_lines(Settings(home=tmp_path), senders))
    assert "3,600.0 s of event time apart: ticks of run 0123456789ab are late" in (
        " ".join(" ".join(lines).split())
    )
    assert max(map(len, lines)) <= 80
    assert list(sender_lines(Settings(home=tmp_path), senders[:1])) == []


def test_a_kafka_that_is_down_is_a_problem(status):
    result = status()
    assert result.exit_code == 1
    (problem,) = problems(result)
    assert "Kafka at 127.0.0.1:9" in problem


def test_one_finished_task_is_a_problem(flink, status):
    flink.vertices["raw"] = {"RUNNING": 1, "FINISHED": 1}
    result = status()
    assert result.exit_code == 1
    assert problems(result)[0] == "✗ reader wire_raw has FINISHED (1 of 2 tasks) but must run"


def test_a_failed_job_names_the_start_command(flink, status):
    flink.state = "FAILED"
    result = status()
    assert result.exit_code == 1
    assert "✗ the job is FAILED" in problems(result)
    assert "start one: `tick job submit`" in result.stdout
