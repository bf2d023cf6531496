"""The Python environment that holds Airflow: its packages stay out of the default one, which `uv
sync` keeps small.
"""

import subprocess
import sys
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path

from contracts.config import paths
from contracts.config.settings import Settings
from contracts.errors import ServiceError

PACKAGE = "apache-airflow"
LOOK_TIMEOUT_S = 30
HINT = (
    "`make install-airflow` puts the group `airflow` into .venv-airflow, where it is found; or set"
    " TICK_AIRFLOW_PYTHON"
)


def python(settings: Settings) -> Path:
    """The Python that has Airflow: TICK_AIRFLOW_PYTHON, else this one, else `.venv-airflow`'s.
    Raises ServiceError when none has.
    """
    given = settings.airflow_python
    known = (
        [given.expanduser().absolute()]
        if given
        else [Path(sys.executable), paths.project(settings) / ".venv-airflow" / "bin" / "python"]
    )
    found = next((each for each in known if version_in(each)), None)
    if found is None:
        raise ServiceError(f"Airflow is not installed{f' in {given}' if given else ''}", HINT)
    return found


def version(settings: Settings) -> str:
    """Its version, or `not installed`."""
    try:
        return version_in(python(settings)) or "not installed"
    except ServiceError:
        return "not installed"


def packages(settings: Settings) -> Path:
    """Folder of the packages installed alongside Airflow. Raises ServiceError."""
    folder = _packages(python(settings))
    if folder is None:
        raise ServiceError("the packages of Airflow's Python cannot be found", HINT)
    return folder


@lru_cache(maxsize=8)
def version_in(interpreter: Path) -> str | None:
    """Version of Airflow that an interpreter would import, read from its installed packages;
    nothing is loaded.
    """
    folder = _packages(interpreter)
    found = distributions(name=PACKAGE, path=[str(folder)]) if folder else ()
    return next((each.version for each in found), None)


@lru_cache(maxsize=8)
def _packages(interpreter: Path) -> Path | None:
    look = "import sysconfig; print(sysconfig.get_path('purelib'))"
    try:
        asked = subprocess.run(
            [interpreter, "-c", look],
            capture_output=True,
            text=True,
            timeout=LOOK_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return Path(asked.stdout.strip())
