"""A refused model skips the task, with every reason; a model that passed continues."""

import pytest

from dags.tasks.task_context import refuse_unless_passed
from training.run.gate import GateCheck, GateVerdict

pytestmark = [pytest.mark.airflow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def test_a_model_that_passed_continues():
    refuse_unless_passed(GateVerdict((GateCheck("sharpe", 2, ">", 1.5),), ("sharpe",)))


def test_a_refused_model_skips_with_all_reasons():
    from airflow.sdk.exceptions import AirflowSkipException

    checks = (GateCheck("sharpe", 1, ">", 1.5), GateCheck("trades", 9, ">=", 100))
    verdict = GateVerdict(checks, ("sharpe",), obstacles=("no Production model",))
    with pytest.raises(AirflowSkipException) as skipped:
        refuse_unless_passed(verdict)
    assert str(skipped.value) == (
        "refused by the gate, nothing registered: sharpe 1 is not > 1.5; trades 9 is not >= 100;"
        " no Production model"
    )


def test_a_gate_without_checks_refuses():
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException):
        refuse_unless_passed(GateVerdict((), ("sharpe",)))
