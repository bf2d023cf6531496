"""The steps of the demos that need no service: what counts as complete, and early errors."""

from types import SimpleNamespace

import pytest

from contracts.errors import FeedError, ServiceError
from lakehouse.tables import TickCount
from stack import airflow_demo, demo
from stack.demo import DemoOptions, DemoReport, run_demo

PREDICTION = {"symbol": "V:A", "status": "ok"}


@pytest.mark.parametrize(
    ("promoted", "sent", "predictions", "complete"),
    [
        (True, 5, [PREDICTION], True),
        (False, 5, [PREDICTION], False),
        (True, 6, [PREDICTION], False),
        (True, 5, [], False),
    ],
)
def test_a_complete_demo_has_a_model_all_ticks_and_predictions(
    promoted, sent, predictions, complete
):
    report = DemoReport(SimpleNamespace(promoted=promoted), sent=sent, accepted=3, rejected=2)
    report.predictions = predictions
    assert report.complete is complete


def test_a_missing_feed_fails_before_anything_starts(free_settings, monkeypatch):
    monkeypatch.setattr(demo.platform, "up", lambda *_, **__: pytest.fail("started services"))
    with pytest.raises(FeedError, match="none.csv"):
        run_demo(free_settings, DemoOptions(feed="none.csv"), lambda *_: None)


@pytest.mark.parametrize("sent", [4, 5])
def test_ticks_are_counted_until_they_have_arrived_or_the_time_is_up(
    free_settings, monkeypatch, sent
):
    monkeypatch.setattr(demo, "SETTLE_S", 0.0)
    monkeypatch.setattr(demo.Lakehouse, "count_ticks", lambda *_, **__: TickCount(3, 2, 1, ["V:A"]))
    monkeypatch.setattr(demo.dead_letters, "counts", lambda _: {"late": 1})
    monkeypatch.setattr(demo, "connect", lambda _: None)
    monkeypatch.setattr(demo.writer_stats, "read", lambda _: None)
    report = DemoReport(SimpleNamespace(promoted=True), sent=sent)
    assert demo._await_arrival(free_settings, report, 0, without_venue=None) == ["V:A"]
    assert (report.accepted, report.duplicates, report.late, report.rejected) == (3, 1, 1, 1)
    assert report.all_arrived is (sent == 4)


def test_without_an_api_every_symbol_is_refused_with_the_reason(free_settings):
    (result,) = demo._request_predictions(free_settings, ["V:A"])
    assert result["symbol"] == "V:A"
    assert result["status"] == "refused"
    assert "no API key" in result["reason"]
    assert demo._request_predictions(free_settings, []) == []


def test_a_dag_that_does_not_end_is_named(monkeypatch):
    monkeypatch.setattr(airflow_demo, "TIMEOUT_S", 0.0)
    monkeypatch.setattr(airflow_demo, "POLL_S", 0.0)
    client = SimpleNamespace(unpause=lambda _: None, runs=lambda _: [{"state": "running"}])
    with pytest.raises(ServiceError, match="some_dag has not ended after 0 s") as error:
        airflow_demo._run_dags(client, ("some_dag",))
    assert "tick airflow status" in error.value.hint
