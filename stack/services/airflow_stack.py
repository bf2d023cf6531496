"""Airflow up and down, in the order that works: data base, its tables, the api-server, then those
that talk to it.
"""

from contracts.config.settings import Settings
from contracts.progress import Progress, silent
from stack import platform
from stack.process import environment
from stack.services import airflow

AFTER = (airflow.DAGS, airflow.SCHEDULER, airflow.TRIGGERER)
SERVICES = ("postgres", airflow.API, *AFTER)


def up(settings: Settings, progress: Progress = silent) -> None:
    """Start what does not run, and wait until Airflow has heard of every part.

    The first task would fail if the scheduler began before the api-server answers. Raises
    ServiceError.
    """
    environment.python(settings)  # before anything is started
    for names in ((() if settings.airflow_database else ("postgres",)), (airflow.API,), AFTER):
        if airflow.API in names:
            airflow.prepare(settings)
        platform.start_all(settings, names, progress)


def down(settings: Settings) -> list[str]:
    """Stop all of it; returns what lived. Runs that were under way are tried again after the next
    start.
    """
    return platform.down(settings, SERVICES)
