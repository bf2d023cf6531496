"""Refusals while Redis fails: each documented, counted, and Redis repaired afterwards."""

import pytest

from bench.errors import BenchError
from bench.load.http_load import Load
from bench.measures import failures


class Outage:
    """A failure of Redis that records whether it was caused and repaired."""

    def __init__(self):
        self.events = []

    def __call__(self, settings):
        self.events.append("failed")
        return lambda: self.events.append("repaired")


@pytest.fixture
def respond_with(monkeypatch, free_settings):
    """Measure a case in which the API responds with this load."""
    monkeypatch.setattr(failures.api, "messages", lambda _: [b""])
    monkeypatch.setattr(failures.services, "process", lambda *_: None)

    def measure(load, outage, requests=4):
        def send(url, messages, clients, count, server):
            outage.events.append(f"sent {count} over {clients}")
            if isinstance(load, Exception):
                raise load
            return load

        monkeypatch.setattr(failures.http_load, "send_requests", send)
        return failures._case(free_settings, "Redis gone", requests, outage)

    return measure


def test_redis_is_repaired_after_the_requests(respond_with):
    outage = Outage()
    respond_with(Load([1.0, 2.0, 3.0, 40.0], {503: 4}), outage)
    assert outage.events == ["failed", "sent 4 over 8", "repaired"]


def test_redis_is_repaired_when_the_requests_fail(respond_with):
    outage = Outage()
    with pytest.raises(BenchError, match="closed"):
        respond_with(BenchError("the server closed a connection"), outage)
    assert outage.events[-1] == "repaired"


def test_the_figure_is_the_tail_and_the_note_the_rest(respond_with):
    latencies = [float(ms) for ms in range(1, 101)]
    figure = respond_with(Load(latencies, {503: 100}), Outage(), 100)
    assert (figure.what, figure.value, figure.unit) == ("Redis gone, p99", 100.0, "ms")
    assert figure.note == "100 responses 503 at c=8, p50 51.0 ms, longest 100 ms"
    assert figure.met


def test_a_slow_refusal_misses_the_aim(respond_with):
    assert respond_with(Load([250.1], {503: 1}), Outage(), 1).met is False


@pytest.mark.parametrize("statuses", [{200: 4}, {503: 3, 200: 1}, {503: 3, 500: 1}, {}])
def test_any_other_response_fails_the_bench_and_is_counted(respond_with, statuses):
    with pytest.raises(BenchError) as caught:
        respond_with(Load([1.0] * 4, statuses), Outage())
    assert f"Redis gone: responses by status {statuses}, expected only 503" in str(caught.value)


def test_every_way_to_fail_has_a_name():
    assert list(failures.CASES) == ["Redis stalled", "Redis gone", "Redis empty"]
