"""Airflow as four processes of the stack: api-server, dag-processor, scheduler (which also runs the
tasks: LocalExecutor) and triggerer.

Everything listens on loopback. No log server is started: the api-server reads the log files itself.
"""

import configparser
import hashlib
import io
import json
import os
import subprocess
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import dags
from contracts.config import paths
from contracts.config.groups.airflow import AirflowSettings
from contracts.config.home import HomeSettings
from contracts.errors import ServiceError
from stack import secrets
from stack.process import airflow_environment
from stack.process.pids import ProcessRecord
from stack.process.service import Service
from stack.services import airflow_rest, postgres
from stack.services.project_services import settings_env

API = "airflow-api"
DAGS = "airflow-dags"
SCHEDULER = "airflow-scheduler"
TRIGGERER = "airflow-triggerer"
DAGS_FOLDER = Path(dags.__file__).parent
POOLS = DAGS_FOLDER / "pools.json"
PREPARE_TIMEOUT_S = 300
Config = dict[str, dict[str, str]]


def api(settings: AirflowSettings) -> Service:
    """Web page, REST API and execution API of running tasks; ready when it reaches its database."""
    address = ("--host", settings.host, "--port", str(settings.airflow_port), "--workers", "1")
    return _service(
        settings, API, ("api-server", *address), "", {settings.airflow_port: "TICK_AIRFLOW_PORT"}
    )


def dag_processor(settings: AirflowSettings) -> Service:
    """Parses the DAG files."""
    return _service(settings, DAGS, ("dag-processor",), "dag_processor")


def scheduler(settings: AirflowSettings) -> Service:
    """Schedules task instances and runs them in its own worker processes. Without its log server,
    which would listen on all interfaces.
    """
    return _service(settings, SCHEDULER, ("scheduler", "--skip-serve-logs"), "scheduler")


def triggerer(settings: AirflowSettings) -> Service:
    """Waits for manual approvals and reports missed deadlines."""
    return _service(settings, TRIGGERER, ("triggerer", "--skip-serve-logs"), "triggerer")


def _service(
    settings: AirflowSettings,
    name: str,
    arguments: tuple[str, ...],
    component: str,
    ports: dict[int, str] | None = None,
) -> Service:
    return Service(
        name=name,
        version=airflow_environment.airflow_version(settings),
        command=(_python(settings), "-m", "airflow", *arguments),
        ready=lambda: _is_healthy(settings, name, component),
        home=settings.root,
        ports=ports or {},
        env=airflow_env(settings),
    )


def _python(settings: AirflowSettings) -> str:
    try:
        return str(airflow_environment.airflow_python(settings))
    except ServiceError:
        # Airflow is not installed: `tick airflow up` reports it before it starts anything.
        return "python-with-airflow"


def airflow_env(settings: HomeSettings) -> dict[str, str]:
    """Environment of Airflow's processes, which every task inherits: contains these settings."""
    return settings_env(settings) | {
        "AIRFLOW_HOME": str(paths.airflow_home(settings)),
        "PYTHONWARNINGS": "ignore",
    }


def _is_healthy(settings: AirflowSettings, name: str, component: str) -> bool:
    """Whether Airflow reports this process as healthy.

    The heartbeat must be newer than the process: Airflow still reports a dead component as healthy
    for half a minute.
    """
    health = airflow_rest.fetch_health(settings)
    if health is None:
        return False
    if not component:
        return bool(health["metadatabase"]["status"] == "healthy")
    record = ProcessRecord.from_file(paths.run(settings) / f"{name}.json")
    if record is None:  # a container does not record PIDs
        return bool(health[component]["status"] == "healthy")
    heartbeat = health[component].get(f"latest_{component}_heartbeat")
    return (
        heartbeat is not None and datetime.fromisoformat(heartbeat).timestamp() > record.started_s()
    )


def prepare(settings: AirflowSettings) -> None:
    """Write airflow.cfg, migrate the database and import the pools; the last two only after a
    change.

    Postgres must run. Raises ServiceError with the output of the `airflow` command that failed.
    """
    home = paths.airflow_home(settings)
    passwords = json.dumps({airflow_rest.USER: secrets.airflow_secrets(settings).admin})
    secrets.write_private(home / "passwords.json", passwords)
    secrets.write_private(home / "airflow.cfg", _config_text(config(settings)))
    inputs = (
        airflow_environment.airflow_version(settings) + postgres.dsn(settings) + POOLS.read_text()
    )
    fingerprint = hashlib.sha256(inputs.encode()).hexdigest()
    marker = home / "prepared"
    if marker.exists() and marker.read_text() == fingerprint:
        return
    _run_airflow(settings, "db", "migrate")
    _run_airflow(settings, "pools", "import", str(POOLS))
    marker.write_text(fingerprint)


def _run_airflow(settings: AirflowSettings, *arguments: str) -> None:
    try:
        subprocess.run(
            [str(airflow_environment.airflow_python(settings)), "-m", "airflow", *arguments],
            env={**os.environ, **airflow_env(settings)},
            capture_output=True,
            text=True,
            timeout=PREPARE_TIMEOUT_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        output = "\n".join((error.stdout + error.stderr).strip().splitlines()[-8:])
        raise ServiceError(
            f"`airflow {' '.join(arguments)}` failed:\n{output}", "check TICK_AIRFLOW_DATABASE"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ServiceError(
            f"`airflow {' '.join(arguments)}` took more than {PREPARE_TIMEOUT_S} s",
            "check that no other process locks its database",
        ) from error


def config(settings: AirflowSettings) -> Config:
    """Our airflow.cfg by section: only what differs from Airflow's defaults."""
    home = paths.airflow_home(settings)
    keys = secrets.airflow_secrets(settings)
    url = airflow_rest.url(settings)
    return {
        "core": {
            "dags_folder": str(DAGS_FOLDER),
            "plugins_folder": str(home / "plugins"),
            "load_examples": "False",
            "executor": "LocalExecutor",
            "parallelism": str(settings.airflow_parallelism),
            "fernet_key": keys.fernet_key,
            "simple_auth_manager_users": f"{airflow_rest.USER}:admin",
            "simple_auth_manager_passwords_file": str(home / "passwords.json"),
            "execution_api_server_url": f"{url}/execution/",
        },
        "database": {"sql_alchemy_conn": postgres.dsn(settings)},
        "api": {
            "host": settings.host,
            "port": str(settings.airflow_port),
            "base_url": url,
            "secret_key": keys.secret_key,
            "workers": "1",
        },
        "api_auth": {"jwt_secret": keys.jwt_secret},
        "logging": {"base_log_folder": str(home / "logs")},
        "scheduler": {
            "enable_health_check": "False",
            "scheduler_health_check_server_host": settings.host,
        },
        "dag_processor": {"parsing_processes": "1"},
        **_metrics(settings),
    }


def _metrics(settings: AirflowSettings) -> Config:
    sections: Config = {}
    if settings.airflow_statsd:
        host, _, port = settings.airflow_statsd.partition(":")
        sections["metrics"] = {
            "statsd_on": "True",
            "statsd_host": host,
            "statsd_port": port,
            "statsd_prefix": "airflow",
        }
    if settings.airflow_otel:
        collector = urlsplit(settings.airflow_otel)
        address = {
            "otel_on": "True",
            "otel_host": collector.hostname or "",
            "otel_port": str(collector.port or 4318),
            "otel_ssl_active": str(collector.scheme == "https"),
        }
        sections |= {"metrics": sections.get("metrics", {}) | address, "traces": address}
    return sections


def _config_text(sections: Config) -> str:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_dict(
        {
            name: {key: value.replace("%", "%%") for key, value in values.items()}
            for name, values in sections.items()
        }
    )
    out = io.StringIO()
    parser.write(out)
    return out.getvalue()
