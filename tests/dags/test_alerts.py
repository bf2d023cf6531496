"""Alerts reach a Slack webhook and a mail server; hostile text stays text."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from tests.support.mailbox import MailServer, Webhook, connections, served

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
HOSTILE = '<img src=x onerror="steal()"> & <!channel> <http://evil|pay here>'


@pytest.fixture(scope="module", autouse=True)
def own_airflow_home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow-home")))
        yield


@pytest.fixture
def alerts():
    from dags import alerts

    return alerts


@pytest.fixture
def channels(monkeypatch):
    with served(Webhook()) as webhook, served(MailServer()) as mail:
        for name, fields in connections(webhook, mail).items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))
        yield webhook, mail


def failure(exception):
    return {
        "ti": SimpleNamespace(dag_id="power_lgbm_training", task_id="train_model"),
        "task": SimpleNamespace(owner="energy-team"),
        "dag_run": SimpleNamespace(run_id="manual__1"),
        "exception": exception,
    }


def html(mail):
    (message,) = mail.messages
    return message.get_body(("html",)).get_content()


def test_a_failed_task_is_reported_in_slack_and_by_mail(alerts, channels):
    webhook, mail = channels
    alerts.task_failed(failure(ValueError("no such column")))
    (post,) = webhook.posts
    subject = "power_lgbm_training.train_model failed (energy-team)"
    assert post == {"text": f"*{subject}*\nrun manual__1: no such column"}
    (message,) = mail.messages
    assert (message["subject"], message["from"]) == (subject, "tick@example.org")
    assert mail.recipients == ["team@example.org"]
    assert "run manual__1: no such column" in html(mail)


def test_a_late_run_is_reported_in_slack_and_by_mail(alerts, channels):
    webhook, mail = channels
    context = {"dag_run": {"dag_run_id": "scheduled__1"}}
    asyncio.run(alerts.deadline_missed("tick_model_training", "quant-team", 4, context))
    (post,) = webhook.posts
    assert post["text"].startswith("*tick_model_training is late (quant-team)*\nrun scheduled__1")
    assert "has not finished 4 h after it was queued" in html(mail)


def test_a_deadline_without_a_run_is_reported_too(alerts, channels):
    webhook, _ = channels
    asyncio.run(alerts.deadline_missed("tick_drift_retrain", "quant-team", 0.5))
    assert webhook.posts[0]["text"].endswith(
        "\nthe current run has not finished 0.5 h after it was queued"
    )


def test_a_failure_without_an_exception_points_to_the_log(alerts, channels):
    webhook, _ = channels
    alerts.task_failed(failure(None))
    assert webhook.posts[0]["text"].endswith("\nrun manual__1: see its log")


def test_an_exception_without_a_text_is_reported_by_its_type(alerts, channels):
    webhook, _ = channels
    alerts.task_failed(failure(TimeoutError()))
    assert webhook.posts[0]["text"].endswith("\nrun manual__1: TimeoutError")


def test_hostile_text_is_not_markup(alerts, channels):
    webhook, mail = channels
    alerts.task_failed(failure(ValueError(f"{HOSTILE}\nsecond line")))
    text = webhook.posts[0]["text"]
    assert "<" not in text and ">" not in text
    assert "&lt;!channel&gt;" in text
    content = html(mail)
    assert "&lt;img src=x onerror=&quot;steal()&quot;&gt; &amp; &lt;!channel&gt;" in content
    assert "<img" not in content
    assert "<br>second line" in content


def test_a_line_break_in_a_subject_adds_no_header(alerts, channels):
    _, mail = channels
    alerts.send_alert("late\r\nBcc: everybody@example.org", "text")
    (message,) = mail.messages
    assert message["subject"] == "late Bcc: everybody@example.org"
    assert message["bcc"] is None
    assert mail.recipients == ["team@example.org"]


def test_an_endless_exception_is_cut(alerts, channels):
    webhook, mail = channels
    alerts.task_failed(failure(ValueError("x" * 1_000_000)))
    assert len(webhook.posts[0]["text"]) < 4_000
    assert len(html(mail)) < 4_000


@pytest.mark.parametrize(("length", "sent"), [(199, 199), (200, 200), (201, 200)])
def test_a_subject_has_at_most_200_characters(alerts, channels, length, sent):
    webhook, mail = channels
    alerts.send_alert("s" * length, "text")
    assert mail.messages[0]["subject"] == "s" * sent
    assert webhook.posts[0]["text"] == f"*{'s' * sent}*\ntext"


@pytest.mark.parametrize(("length", "sent"), [(2_999, 2_999), (3_000, 3_000), (3_001, 3_000)])
def test_a_text_has_at_most_3000_characters(alerts, channels, length, sent):
    webhook, mail = channels
    alerts.send_alert("late", "é" * length)
    assert webhook.posts[0]["text"] == f"*late*\n{'é' * sent}"
    assert html(mail).count("é") == sent


def test_the_log_has_the_whole_text(alerts, channels, caplog):
    alerts.send_alert("late", "x" * 5_000)
    assert "x" * 5_000 in caplog.text


def test_a_dead_mail_server_does_not_keep_slack_from_the_alert(alerts, channels, caplog):
    webhook, mail = channels
    mail.shutdown()
    mail.server_close()
    alerts.send_alert("late", "text")
    assert len(webhook.posts) == 1
    assert "could not send the alert by connection tick_alerts_email" in caplog.text


def test_incomplete_connections_are_logged_and_fail_nothing(alerts, caplog, monkeypatch):
    for name in ("SLACK", "EMAIL"):
        monkeypatch.setenv(f"AIRFLOW_CONN_TICK_ALERTS_{name}", json.dumps({"conn_type": "http"}))
    alerts.send_alert("late", "text")
    for name in ("slack", "email"):
        assert f"could not send the alert by connection tick_alerts_{name}" in caplog.text


def test_one_connection_is_enough(alerts, channels, caplog, monkeypatch):
    webhook, mail = channels
    monkeypatch.delenv("AIRFLOW_CONN_TICK_ALERTS_EMAIL")
    alerts.send_alert("late", "text")
    assert (len(webhook.posts), mail.messages) == (1, [])
    assert "could not send" not in caplog.text


def test_a_dead_channel_fails_neither_the_caller_nor_the_other_one(alerts, channels, caplog):
    webhook, mail = channels
    webhook.status = 500
    alerts.send_alert("late", "text")
    assert len(mail.messages) == 1
    assert "could not send the alert by connection tick_alerts_slack" in caplog.text
    assert webhook.url not in caplog.text, "the address is a secret"


def test_without_connections_only_the_log_has_the_alert(alerts, caplog, monkeypatch):
    for name in ("SLACK", "EMAIL"):
        monkeypatch.delenv(f"AIRFLOW_CONN_TICK_ALERTS_{name}", raising=False)
    alerts.send_alert("late", "text")
    assert "late: text" in caplog.text
