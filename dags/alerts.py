"""Who is told when a run is late or a task has failed for good: the log always, Slack and e-mail
where Airflow has such a connection.

Airflow calls these by name, from its own processes: the module must be an installed one.
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
# An exception may be megabytes. Slack refuses more than 40,000 characters; a subject is one line.
SUBJECT_MAX, TEXT_MAX = 200, 3_000
log = logging.getLogger("dags.alerts")


async def deadline_missed(
    dag_id: str, owner: str, hours: float, context: dict[str, Any] | None = None
) -> None:
    """A run was not over `hours` after it was queued."""
    run_id = ((context or {}).get("dag_run") or {}).get("dag_run_id", "")
    await sync_to_async(tell)(
        f"{dag_id} is late ({owner})",
        f"run {run_id or 'of now'} was not over {hours:g} h after it was queued",
    )


def task_failed(context: Any) -> None:
    """A task failed, and will not be tried again."""
    task, run = context["ti"], context["dag_run"]
    why = context.get("exception") or "see its log"
    tell(
        f"{task.dag_id}.{task.task_id} failed ({context['task'].owner})", f"run {run.run_id}: {why}"
    )


def tell(subject: str, text: str) -> None:
    """Log an alert and send it through every connection there is.

    A channel that fails is itself a line in the log, and never fails the caller.
    """
    log.warning("%s: %s", subject, text)
    line, body = " ".join(subject.split())[:SUBJECT_MAX], text[:TEXT_MAX]
    for name, send in ((SLACK, _to_slack), (EMAIL, _to_email)):
        try:
            _through(name, send, line, body)
        except Exception:  # noqa: BLE001 – whatever a mail server or webhook does: the alert must not become the failure
            log.exception("the alert could not be sent by the connection %s", name)


def _through(name: str, send: Callable[[Any, str, str], None], subject: str, text: str) -> None:
    try:
        connection = Connection.get(name)
    except AirflowNotFoundException:
        return
    send(connection, subject, text)


def _to_slack(connection: Any, subject: str, text: str) -> None:
    """An incoming webhook: its address is the connection's password.

    Slack reads `<…>` as links and mentions; it asks for &, < and > to be escaped.
    """
    escaped = html.escape(f"*{subject}*\n{text}", quote=False)
    body = json.dumps({"text": escaped}).encode()
    request = urllib.request.Request(
        connection.password, body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        answer.read(1000)


def _to_email(connection: Any, subject: str, text: str) -> None:
    """An SMTP connection; `to` and `from_email` are in its extra fields."""
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    content = html.escape(text).replace("\n", "<br>")
    with SmtpHook(smtp_conn_id=EMAIL) as hook:
        hook.send_email_smtp(
            to=connection.extra_dejson["to"],
            subject=subject,
            html_content=f"<p>{content}</p>",
        )
