"""The person between a passed gate and Production, where the settings ask for one
(TICK_AIRFLOW_APPROVAL).
"""

from typing import Any

from airflow.sdk import Label

from contracts.config.settings import settings


def approved(experiment: str) -> Any:
    """What stands before the task that registers: a question to a person, or nothing but a name on
    the arrow.

    The question has no default answer and no time-out: nothing becomes Production because nobody
    looked.
    """
    if not settings().airflow_approval:
        return Label("the gate decides")
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    return ApprovalOperator(
        task_id="approve_production",
        subject=f"May the new model of {experiment} become Production, if the gate lets it?",
        body="Its run in MLflow has the verdict, the numbers and the pictures.",
    )
