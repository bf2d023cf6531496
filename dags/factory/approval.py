"""Optional manual approval of a model before Production (TICK_AIRFLOW_APPROVAL)."""

from typing import Any

from airflow.sdk import Label

from contracts.config.settings import settings


def approval_step(experiment: str) -> Any:
    """The step before registration: an approval task, or only a label on the edge.

    The approval has neither a default answer nor a time-out, so that no model becomes Production
    by inaction.
    """
    if not settings().airflow_approval:
        return Label("the gate decides")
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    return ApprovalOperator(
        task_id="approve_production",
        subject=f"Promote the new model of {experiment}? If the gate refused it, it stays out.",
        body="Its run in MLflow has the gate's result, the metrics and the plots.",
    )
