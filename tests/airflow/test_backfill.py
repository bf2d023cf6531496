"""A year day by day is counted to its end; a real failure is told in Slack and by mail. No Flink.

Runs of the year are ended through Airflow's own REST interface: the scheduler would take hours.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from contracts.config.settings import Settings
from stack import platform, secrets
from stack.services import airflow as services
from stack.services import airflow_stack
from stack.services.airflow_rest import Client
from stack.services.project_services import settings_env
from tests.conftest import settings_in
from tests.support.airflow_runs import ended, wait
from tests.support.mailbox import MailServer, Webhook, connections, served

pytestmark = [pytest.mark.airflow, pytest.mark.filterwarnings("ignore")]
REPO = Path(__file__).parents[2]
POWER = "power_lgbm_training"
DAYS = 366
FIRST, LAST, FAILED = "2025-01-01", "2026-01-01", "2025-07-19"  # the 200th day
PAGE = 100


@pytest.fixture(scope="module")
def airflow(tmp_path_factory) -> Iterator[tuple[Settings, Client]]:
    """Airflow without its scheduler: nothing runs until a test starts it."""
    settings = settings_in(tmp_path_factory.mktemp("year"), airflow_retry_s_max=3)
    try:
        platform.start_all(settings, ("postgres",))
        services.prepare(settings)
        platform.start_all(settings, (services.API,))
        platform.start_all(settings, (services.DAGS,))
        client = Client(settings)
        wait(lambda: len(client.dags()) >= 8, "the DAGs are read")
        yield settings, client
    finally:
        platform.down(settings, airflow_stack.SERVICES)


def test_pools_have_their_sizes(airflow):
    _, client = airflow
    pools = {pool["name"]: pool["slots"] for pool in client.get("/pools")["pools"]}
    assert pools == {"gpu_pool": 2, "high_priority_cpu": 4, "default_pool": 8}


def test_an_expired_token_is_renewed(airflow):
    settings, client = airflow
    algorithm = jwt.get_unverified_header(client._token)["alg"]
    claims = jwt.decode(client._token, options={"verify_signature": False})
    long_ago = dict.fromkeys(("iat", "nbf", "exp"), claims["iat"] - 90_000)
    key = secrets.airflow_secrets(settings).jwt_secret
    client._token = expired = jwt.encode(claims | long_ago, key, algorithm)
    assert client.dags()
    assert client._token != expired


def backfilled(client: Client) -> list[dict[str, Any]]:
    """Every backfill run of the DAG, oldest first."""
    runs: list[dict[str, Any]] = []
    path = f"/dags/{POWER}/dagRuns?run_type=backfill&order_by=logical_date&limit={PAGE}"
    while True:
        answer = client.get(f"{path}&offset={len(runs)}")
        runs += answer["dag_runs"]
        if len(runs) >= answer["total_entries"]:
            return runs


def end_runs(client: Client) -> None:
    """One day fails, the others succeed."""
    for run in backfilled(client):
        state = "failed" if run["logical_date"].startswith(FAILED) else "success"
        path = f"/api/v2/dags/{POWER}/dagRuns/{run['dag_run_id']}"
        client._request("PATCH", path, {"state": state})


def tick_backfill(settings: Settings, first: str, last: str, *more: str) -> subprocess.Popen[str]:
    """`tick airflow backfill` in a separate process, as a person calls it."""
    command = [sys.executable, "-m", "cli.main", "airflow", "backfill", POWER]
    return subprocess.Popen(
        [*command, "--from", first, "--to", last, *more],
        env={**os.environ, **settings_env(settings), "COLUMNS": "120"},
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_year_is_counted_to_its_end_and_one_failed_day_is_the_exit_code(airflow):
    settings, client = airflow
    with tick_backfill(settings, FIRST, LAST) as backfill:
        try:
            wait(lambda: len(backfilled(client)) == DAYS, "a run for every day")
            assert backfill.poll() is None
            end_runs(client)
            platform.start_all(settings, (services.SCHEDULER,))  # declares the backfill over
            out, progress = backfill.communicate(timeout=300)
        finally:
            backfill.kill()
    assert backfill.returncode == 1, out + progress
    assert "366 runs: 365 success, 1 failed" in out
    rows = [line.split() for line in out.splitlines() if line.split()[:2] == [POWER, "backfill"]]
    assert [row[2] for row in rows] == [FAILED]
    assert "runs" in progress and "100 %" in progress


def test_a_real_failure_reaches_slack_and_the_mailbox(airflow):
    settings, client = airflow
    platform.start_all(settings, (services.SCHEDULER,))
    with served(Webhook()) as webhook, served(MailServer()) as mail:
        for name, fields in connections(webhook, mail).items():
            client._request("POST", "/api/v2/connections", {"connection_id": name, **fields})
        run_id = client.trigger(POWER, {"day": "1999-01-01"})
        client.unpause(POWER)
        assert ended(client, POWER, run_id)["state"] == "failed"
        wait(lambda: told(webhook, mail, run_id), "both alerts")
    subject, post, message = told(webhook, mail, run_id)
    assert subject == f"{POWER}.prepare_data failed (energy-team)"
    assert post.startswith(f"*{subject}*\nrun {run_id}: ")
    assert message["subject"] == subject
    assert set(mail.recipients) == {"team@example.org"}


def told(webhook: Webhook, mail: MailServer, run_id: str) -> tuple[str, str, Any] | None:
    """Subject, Slack text and mail about a run, once both have come: the schedule fails, too."""
    posts = [post["text"] for post in webhook.posts if run_id in post["text"]]
    mails = [each for each in mail.messages if run_id in each.get_body(("html",)).get_content()]
    if not posts or not mails:
        return None
    return posts[0].partition("*\n")[0].removeprefix("*"), posts[0], mails[0]


def test_an_interval_that_the_scheduler_runs_is_left_out_and_reported(airflow):
    settings, client = airflow
    platform.start_all(settings, (services.SCHEDULER,))
    client.unpause(POWER)
    run = wait(lambda: scheduled(client), "the scheduled run of the last interval")
    ended(client, POWER, run["dag_run_id"])
    platform.down(settings, (services.SCHEDULER,))
    path = f"/api/v2/dags/{POWER}/dagRuns/{run['dag_run_id']}"
    client._request("PATCH", path, {"state": "queued"})
    day = run["logical_date"][:10]
    with tick_backfill(settings, day, day, "--no-wait") as backfill:
        out, complaints = backfill.communicate(timeout=120)
    assert backfill.returncode == 1, out + complaints
    assert f"skipped: {run['dag_run_id']} is running" in out


def scheduled(client: Client) -> dict[str, Any] | None:
    runs = client.get(f"/dags/{POWER}/dagRuns?run_type=scheduled&limit=1")["dag_runs"]
    return next(iter(runs), None)
