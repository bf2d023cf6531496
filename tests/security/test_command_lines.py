"""No secret is on a command line, which every user of a machine can read (`ps`)."""

import os
import re
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import yaml

from contracts.config.settings import Settings
from stack import platform
from stack.process.service import is_ready, spawn, stop
from stack.services import redis
from tests.security.test_secrets import CANARY, NAMES
from tests.support.command_lines import command_lines

ROOT = Path(__file__).parents[2]
REDIS_8_OPTION, OPTION = "hash-max-listpack-entries", "hash-max-ziplist-entries"


@pytest.fixture
def secretive(make_settings, monkeypatch) -> Settings:
    """Settings in which every secret is the canary."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    secrets = dict.fromkeys(NAMES, CANARY)
    return make_settings(
        **secrets | {"airflow_database": f"postgresql://u:{CANARY}@h/d"},
        kafka_protocol="SASL_PLAINTEXT",
        kafka_mechanism="PLAIN",
        kafka_user="tick",
        mlflow_tracking_uri=f"postgresql+psycopg2://mlflow:{CANARY}@h/mlflow",
    )


@pytest.mark.parametrize("name", platform.FACTORIES)
def test_no_service_is_started_with_a_secret_on_its_command_line(secretive, name):
    assert CANARY not in " ".join(platform.find_service(secretive, name).command)


def test_mlflow_gets_its_database_by_its_environment(secretive):
    env = platform.find_service(secretive, "mlflow").env
    assert env["MLFLOW_BACKEND_STORE_URI"] == secretive.mlflow_tracking_uri
    assert env["MLFLOW_ARTIFACTS_DESTINATION"] == str(secretive.root / "mlflow" / "artifacts")


def test_a_running_redis_requires_its_password_and_shows_it_to_no_one(secretive):
    service = platform.find_service(secretive, "redis")
    spawn(service)
    try:
        wait_until(lambda: is_ready(service))  # it answers with the password only
        lines = list(command_lines())
        assert any("redis-server" in line for line in lines)
        assert not [line for line in lines if CANARY in line]
    finally:
        stop(service.pid_file, timeout_s=5)


def wait_until(condition) -> None:
    while not condition():
        time.sleep(0.02)


def test_redis_in_compose_requires_its_password_and_shows_it_to_no_one(secretive, tmp_path):
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    shell, option, script = services["redis"]["command"]
    script = script.replace("$$", "$").replace(REDIS_8_OPTION, OPTION)
    script = script.replace("redis-server - ", f"redis-server - --port {secretive.redis_port} ")
    (tmp_path / "redis-server").symlink_to(redis.binary())
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "REDIS_PASSWORD": CANARY,
    }
    with subprocess.Popen(
        [shell, option, script], env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as server:
        try:
            wait_until(lambda: redis.is_responding(secretive))
            assert not redis.is_responding(secretive.model_copy(update={"redis_password": None}))
            assert psutil.Process(server.pid).name().startswith("redis-server")
            assert not [line for line in command_lines() if CANARY in line]
        finally:
            server.terminate()


def test_the_roles_of_postgres_are_created_without_a_password_on_a_command_line(tmp_path):
    """`psql` is a script that notes what it is given: its command line, input and environment."""
    psql = tmp_path / "psql"
    psql.write_text(
        "#!/bin/sh\n"
        f"tr '\\0' ' ' < /proc/$$/cmdline >> {tmp_path}/lines\n"
        f'cat >> {tmp_path}/input; echo "$ROLE_PASSWORD" >> {tmp_path}/passwords\n'
    )
    psql.chmod(0o700)
    passwords = {f"POSTGRES_{role}_PASSWORD": f"{CANARY}-{role}" for role in ("AIRFLOW", "MLFLOW")}
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **passwords}
    subprocess.run(["sh", ROOT / "deploy/postgres/roles.sh"], env=environment, check=True)
    lines, sql = (tmp_path / "lines").read_text(), (tmp_path / "input").read_text()
    assert re.findall(r"name=(\w+)", lines) == ["airflow", "mlflow"]
    assert CANARY not in lines + sql
    assert (tmp_path / "passwords").read_text().split() == list(passwords.values())
    assert sql.count("\\getenv password ROLE_PASSWORD") == 2
