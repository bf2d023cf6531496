"""Service logs: one JSON object per line, whatever is in the event."""

import json
from datetime import datetime, timedelta

import pytest
import structlog

from contracts.config import logs


@pytest.fixture(autouse=True)
def configured():
    logs.configure()
    yield
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def logged(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_has_the_event_its_level_and_its_values(capsys):
    structlog.get_logger().warning("model refused", version="7", rows=3)
    (line,) = logged(capsys)
    assert (line["event"], line["level"]) == ("model refused", "warning")
    assert (line["version"], line["rows"]) == ("7", 3)


def test_the_time_is_utc_with_its_zone(capsys):
    structlog.get_logger().info("started")
    (line,) = logged(capsys)
    assert datetime.fromisoformat(line["timestamp"]).utcoffset() == timedelta(0)


def test_what_is_bound_to_the_request_is_in_every_line_of_it(capsys):
    structlog.contextvars.bind_contextvars(request_id="r1")
    structlog.get_logger().info("first")
    structlog.contextvars.clear_contextvars()
    structlog.get_logger().info("second")
    first, second = logged(capsys)
    assert first["request_id"] == "r1"
    assert "request_id" not in second


def test_a_line_break_in_a_value_does_not_begin_a_line(capsys):
    structlog.get_logger().info("rejected", raw='{"a":\n"b"}', odd=object)
    (line,) = logged(capsys)
    assert line["raw"] == '{"a":\n"b"}'
