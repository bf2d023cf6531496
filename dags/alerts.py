"""Alerts for late runs and failed tasks: to the log, and to Slack and e-mail if connected.

Airflow calls these functions by name from its own processes, so this module must be installed.
"""

import html
import json
import logging
import urllib.request
from collections.abc import Callable
from typing import Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from asgiref.sync import sync_to_async

SLACK, EMAIL = "tick_alerts_slack", "tick_alerts_email"
TIMEOUT_S = 15
# Limits for exceptions of any length: Slack refuses more than 40,000 characters.
SUBJECT_MAX, TEXT_MAX = 200, 3_000
log = logging.getLogger("dags.alerts")


async def deadline_missed(
    dag_id: str, owner: str, hours: float, context: dict[str, Any] | None = None
) -> None:
    """Send an alert: a run has not finished `hours` after it was queued."""
    run_id = ((context or {}).get("dag_run") or {}).get("dag_run_id", "")
    await sync_to_async(send_alert)(
        f"{dag_id} is late ({owner})",
        f"{f'run {run_id}' if run_id else 'the current run'} has not finished {hours:g} h after it"
        " was queued",
    )


def task_failed(context: Any) -> None:
    """Send an alert: a task has failed and will not be retried."""
    task, run = context["ti"], context["dag_run"]
    exception = context.get("exception")
    cause = "see its log" if exception is None else str(exception) or type(exception).__name__
    send_alert(
        f"{task.dag_id}.{task.task_id} failed ({context['task'].owner})",
        f"run {run.run_id}: {cause}",
    )


def send_alert(subject: str, text: str) -> None:
    """Log an alert and send it through every connection that exists.

    A channel that fails is logged and does not fail the caller.
    """
    log.warning("%s: %s", subject, text)
    line, body = " ".join(subject.split())[:SUBJECT_MAX], text[:TEXT_MAX]
    for name, send in ((SLACK, _to_slack), (EMAIL, _to_email)):
        try:
            _send_by(name, send, line, body)
        except Exception:  # an error of a mail server or webhook must not fail the task
            log.exception("could not send the alert by connection %s", name)


def _send_by(name: str, send: Callable[[Any, str, str], None], subject: str, text: str) -> None:
    try:
        connection = Connection.get(name)
    except AirflowNotFoundException:
        return
    send(connection, subject, text)


def _to_slack(connection: Any, subject: str, text: str) -> None:
    """Send to an incoming webhook, whose address is the connection's password.

    &, < and > must be escaped: Slack parses `<…>` as links and mentions.
    """
    escaped = html.escape(f"*{subject}*\n{text}", quote=False)
    body = json.dumps({"text": escaped}).encode()
    request = urllib.request.Request(
        connection.password, body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        response.read(1000)


def _to_email(connection: Any, subject: str, text: str) -> None:
    """Send by an SMTP connection; `to` and `from_email` are in its extra fields."""
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    content = html.escape(text).replace("\n", "<br>")
    with SmtpHook(smtp_conn_id=EMAIL) as hook:
        hook.send_email_smtp(
            to=connection.extra_dejson["to"],
            subject=subject,
            html_content=f"<p>{content}</p>",
        )
