"""The approval before Production: off by default, and never given by waiting."""

import pytest

from contracts.config.settings import settings as read_settings

pytestmark = [pytest.mark.airflow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture
def step(monkeypatch, tmp_path):
    """The step with this value of TICK_AIRFLOW_APPROVAL."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))

    def build(value):
        from dags.factory.approval import approval_step

        monkeypatch.setenv("TICK_AIRFLOW_APPROVAL", value)
        read_settings.cache_clear()
        try:
            return approval_step("mnist-cnn-experiments")
        finally:
            read_settings.cache_clear()

    return build


def test_without_the_setting_the_gate_decides_alone(step):
    assert step("false").label == "the gate decides"


def test_with_it_a_person_is_asked_about_the_experiment(step):
    approval = step("true")
    assert approval.task_id == "approve_production"
    assert "mnist-cnn-experiments" in approval.subject
    assert approval.options == ["Approve", "Reject"]


def test_no_answer_approves_nothing(step):
    approval = step("true")
    assert approval.defaults is None
    assert approval.execution_timeout is None
