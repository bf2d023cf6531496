"""The daily drift check of the tick model, without Airflow: it only needs its exception."""

import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from contracts.errors import RegistryError
from dags.tasks import tick
from training.monitoring import drift_check
from training.monitoring.drift_check import NoProductionError

TO = datetime(2027, 1, 31, tzinfo=UTC)
TO_US = int(TO.timestamp()) * 1_000_000


class SkipError(Exception):
    """In place of Airflow's exception of a skipped task."""


@pytest.fixture(autouse=True)
def airflow(monkeypatch, free_settings):
    exceptions = SimpleNamespace(AirflowSkipException=SkipError)
    monkeypatch.setitem(sys.modules, "airflow.sdk.exceptions", exceptions)
    monkeypatch.setitem(sys.modules, "airflow.sdk", SimpleNamespace(exceptions=exceptions))
    monkeypatch.setattr(tick, "context", lambda: {"params": {"from": None, "to": None}})
    monkeypatch.setattr(tick, "data_interval", lambda: (None, TO))
    monkeypatch.setattr(tick, "current_settings", lambda: free_settings)


def test_without_a_production_model_it_is_skipped_with_what_will_make_one(monkeypatch):
    def refuse(*_):
        raise NoProductionError("no Production version", "train one: `tick train tick`")

    monkeypatch.setattr(drift_check, "check_drift", refuse)
    with pytest.raises(SkipError, match="no Production version") as caught:
        tick.check_drift()
    assert "train one: `tick train tick`" in str(caught.value)


def test_a_registry_that_does_not_answer_fails_the_task(monkeypatch):
    def refuse(*_):
        raise RegistryError("MLflow does not answer")

    monkeypatch.setattr(drift_check, "check_drift", refuse)
    with pytest.raises(RegistryError, match="does not answer"):
        tick.check_drift()


@pytest.mark.parametrize(
    ("reasons", "said"), [((), "no drift in 500 decisions"), (("PSI 0.3",), "PSI 0.3")]
)
def test_without_a_retraining_due_it_is_skipped_with_what_was_found(monkeypatch, reasons, said):
    verdict = SimpleNamespace(reasons=reasons)
    outcome = SimpleNamespace(due=False, rows=500, verdict=verdict)
    monkeypatch.setattr(drift_check, "check_drift", lambda *_: outcome)
    with pytest.raises(SkipError, match=said):
        tick.check_drift()


def test_a_retraining_that_is_due_passes_its_reasons_on(monkeypatch):
    values = {"due": True, "reasons": ["PSI 0.3"]}
    outcome = SimpleNamespace(due=True, as_dict=lambda: values)
    monkeypatch.setattr(drift_check, "check_drift", lambda *_: outcome)
    assert tick.request_retrain(tick.check_drift()) == ["PSI 0.3"]
