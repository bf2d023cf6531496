"""The Python environment with Airflow: its packages are not part of the default environment, which
`uv sync` keeps small.
"""

import subprocess
import sys
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path

from contracts.config import paths
from contracts.config.groups.airflow import AirflowSettings
from contracts.errors import ServiceError

PACKAGE = "apache-airflow"
QUERY_TIMEOUT_S = 30
HINT = (
    "run `make install-airflow` (it installs the group `airflow` into .venv-airflow), or set"
    " TICK_AIRFLOW_PYTHON"
)


def airflow_python(settings: AirflowSettings) -> Path:
    """The Python that has Airflow: TICK_AIRFLOW_PYTHON, else this one, else that of
    `.venv-airflow`. Raises ServiceError when Airflow is not installed.
    """
    configured = settings.airflow_python
    candidates = (
        [configured.expanduser().absolute()]
        if configured
        else [Path(sys.executable), paths.project(settings) / ".venv-airflow" / "bin" / "python"]
    )
    python = next((candidate for candidate in candidates if version_in(candidate)), None)
    if python is None:
        place = f" in {configured}" if configured else ""
        raise ServiceError(f"Airflow is not installed{place}", HINT)
    return python


def airflow_version(settings: AirflowSettings) -> str:
    """Version of the installed Airflow, or `not installed`."""
    try:
        return version_in(airflow_python(settings)) or "not installed"
    except ServiceError:
        return "not installed"


def packages_folder(settings: AirflowSettings) -> Path:
    """Folder of the packages installed alongside Airflow. Raises ServiceError."""
    folder = _site_packages(airflow_python(settings))
    if folder is None:
        raise ServiceError("the packages of Airflow's Python cannot be found", HINT)
    return folder


@lru_cache(maxsize=8)
def version_in(interpreter: Path) -> str | None:
    """Version of Airflow that an interpreter would import, from the metadata of its installed
    packages; imports nothing.
    """
    folder = _site_packages(interpreter)
    packages = distributions(name=PACKAGE, path=[str(folder)]) if folder else ()
    return next((package.version for package in packages), None)


@lru_cache(maxsize=8)
def _site_packages(interpreter: Path) -> Path | None:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    try:
        process = subprocess.run(
            [interpreter, "-c", code],
            capture_output=True,
            text=True,
            timeout=QUERY_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return Path(process.stdout.strip())
