"""Airflow as four processes of the stack: api-server, dag-processor, scheduler (its tasks too:
LocalExecutor) and triggerer.

Everything listens on loopback, and no log server is started: logs are files that the api-server
reads itself.
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
from contracts.config.settings import Settings
from contracts.errors import ServiceError
from stack import secrets
from stack.process import environment
from stack.process.pids import Record
from stack.process.service import Service
from stack.services import airflow_rest, postgres
from stack.services.own import settings_env

API, DAGS, SCHEDULER, TRIGGERER = (
    "airflow-api",
    "airflow-dags",
    "airflow-scheduler",
    "airflow-triggerer",
)
DAGS_FOLDER = Path(dags.__file__).parent
POOLS = DAGS_FOLDER / "pools.json"
PREPARE_TIMEOUT_S = 300
Config = dict[str, dict[str, str]]


def api(settings: Settings) -> Service:
    """The page, the REST interface, and what running tasks talk to; ready when it sees its data
    base.
    """
    address = ("--host", settings.host, "--port", str(settings.airflow_port), "--workers", "1")
    return _service(
        settings, API, ("api-server", *address), "", {settings.airflow_port: "TICK_AIRFLOW_PORT"}
    )


def dag_processor(settings: Settings) -> Service:
    """Reads the DAG files."""
    return _service(settings, DAGS, ("dag-processor",), "dag_processor")


def scheduler(settings: Settings) -> Service:
    """Decides what runs, and runs it in its own workers. Its log server would listen to
    everybody: it is left out.
    """
    return _service(settings, SCHEDULER, ("scheduler", "--skip-serve-logs"), "scheduler")


def triggerer(settings: Settings) -> Service:
    """Waits for people's approvals, and tells of missed deadlines."""
    return _service(settings, TRIGGERER, ("triggerer", "--skip-serve-logs"), "triggerer")


def _service(
    settings: Settings,
    name: str,
    words: tuple[str, ...],
    part: str,
    ports: dict[int, str] | None = None,
) -> Service:
    return Service(
        name=name,
        version=environment.version(settings),
        command=(_python(settings), "-m", "airflow", *words),
        ready=lambda: _is_healthy(settings, name, part),
        home=settings.root,
        ports=ports or {},
        env=env(settings),
    )


def _python(settings: Settings) -> str:
    try:
        return str(environment.python(settings))
    except ServiceError:
        # It is not installed: `tick airflow up` says so before anything is started.
        return "python-with-airflow"


def env(settings: Settings) -> dict[str, str]:
    """Environment of Airflow's processes, and thereby of every task: the same settings as here."""
    return settings_env(settings) | {
        "AIRFLOW_HOME": str(paths.airflow_home(settings)),
        "PYTHONWARNINGS": "ignore",
    }


def _is_healthy(settings: Settings, name: str, part: str) -> bool:
    """Whether Airflow has heard of this very process: a dead one counts as healthy for half a
    minute.
    """
    health = airflow_rest.health(settings)
    if health is None or not part:
        return health is not None and health["metadatabase"]["status"] == "healthy"
    record, beat = (
        Record.read(paths.run(settings) / f"{name}.json"),
        health[part].get(f"latest_{part}_heartbeat"),
    )
    if record is None:  # in a container no one records a PID
        return bool(health[part]["status"] == "healthy")
    return beat is not None and datetime.fromisoformat(beat).timestamp() > record.created_s


def prepare(settings: Settings) -> None:
    """Write airflow.cfg, bring the data base to this version, and import the pools; the last two
    only when something changed.

    Postgres must run. Raises ServiceError with what Airflow said.
    """
    home, keys = paths.airflow_home(settings), secrets.airflow(settings)
    secrets.write_private(home / "passwords.json", json.dumps({airflow_rest.USER: keys.admin}))
    secrets.write_private(home / "airflow.cfg", _text(config(settings)))
    marker = home / "prepared"
    wanted = hashlib.sha256(
        (environment.version(settings) + postgres.dsn(settings) + POOLS.read_text()).encode()
    ).hexdigest()
    if marker.exists() and marker.read_text() == wanted:
        return
    _command(settings, "db", "migrate")
    _command(settings, "pools", "import", str(POOLS))
    marker.write_text(wanted)


def _command(settings: Settings, *words: str) -> None:
    command, own = (
        [str(environment.python(settings)), "-m", "airflow", *words],
        {**os.environ, **env(settings)},
    )
    try:
        subprocess.run(
            command, env=own, capture_output=True, text=True, timeout=PREPARE_TIMEOUT_S, check=True
        )
    except subprocess.CalledProcessError as error:
        said = "\n".join((error.stdout + error.stderr).strip().splitlines()[-8:])
        raise ServiceError(
            f"`airflow {' '.join(words)}` failed:\n{said}", "is TICK_AIRFLOW_DATABASE right?"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ServiceError(
            f"`airflow {' '.join(words)}` took more than {PREPARE_TIMEOUT_S} s",
            "is its data base locked?",
        ) from error


def config(settings: Settings) -> Config:
    """Our airflow.cfg by section: what differs from Airflow's own defaults."""
    home, keys, url = (
        paths.airflow_home(settings),
        secrets.airflow(settings),
        airflow_rest.url(settings),
    )
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


def _metrics(settings: Settings) -> Config:
    found: Config = {}
    if settings.airflow_statsd:
        host, _, port = settings.airflow_statsd.partition(":")
        found["metrics"] = {
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
        }
        address["otel_ssl_active"] = str(collector.scheme == "https")
        found |= {"metrics": found.get("metrics", {}) | address, "traces": address}
    return found


def _text(sections: Config) -> str:
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
