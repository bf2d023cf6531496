"""The Python with Airflow: which one is used, and what is said when there is none."""

import sys
from pathlib import Path

import pytest

from contracts.errors import ServiceError
from stack.process import airflow_environment


@pytest.fixture(autouse=True)
def forget_interpreters():
    yield
    airflow_environment._site_packages.cache_clear()
    airflow_environment.version_in.cache_clear()


@pytest.fixture
def interpreter(tmp_path):
    """Writes a program that prints a folder of packages, as an interpreter does when asked."""

    def write(path: Path, version: str | None) -> Path:
        packages = tmp_path / f"packages-{version}"
        if version is not None:
            metadata = packages / f"apache_airflow-{version}.dist-info" / "METADATA"
            metadata.parent.mkdir(parents=True)
            metadata.write_text(f"Name: apache-airflow\nVersion: {version}\n")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho {packages}\n")
        path.chmod(0o755)
        return path

    return write


def test_the_interpreter_of_the_settings_is_used(make_settings, interpreter, tmp_path):
    python = interpreter(tmp_path / "mine", "3.3.2")
    settings = make_settings(airflow_python=python)
    assert airflow_environment.airflow_python(settings) == python
    assert airflow_environment.airflow_version(settings) == "3.3.2"
    assert airflow_environment.packages_folder(settings) == tmp_path / "packages-3.3.2"


def test_the_environment_next_to_the_project_is_found(make_settings, interpreter, tmp_path):
    python = interpreter(tmp_path / "project" / ".venv-airflow" / "bin" / "python", "3.3.2")
    settings = make_settings(project=tmp_path / "project")
    assert airflow_environment.version_in(Path(sys.executable)) is None  # this one has no Airflow
    assert airflow_environment.airflow_python(settings) == python


@pytest.mark.parametrize("script", [None, "exit 1", "kill -9 $$"])
def test_an_interpreter_that_fails_has_no_airflow(make_settings, tmp_path, script):
    python = tmp_path / "python"
    if script is not None:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
    settings = make_settings(airflow_python=python)
    with pytest.raises(ServiceError, match=f"Airflow is not installed in {python}") as caught:
        airflow_environment.airflow_python(settings)
    assert "make install-airflow" in caught.value.hint
    assert "TICK_AIRFLOW_PYTHON" in caught.value.hint


def test_an_interpreter_that_hangs_is_given_up(make_settings, tmp_path, monkeypatch):
    monkeypatch.setattr(airflow_environment, "QUERY_TIMEOUT_S", 0.05)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 30\n")
    python.chmod(0o755)
    assert (
        airflow_environment.airflow_version(make_settings(airflow_python=python)) == "not installed"
    )


def test_an_environment_without_airflow_is_not_used(make_settings, interpreter, tmp_path):
    python = interpreter(tmp_path / "python", None)
    with pytest.raises(ServiceError, match="not installed"):
        airflow_environment.packages_folder(make_settings(airflow_python=python))
