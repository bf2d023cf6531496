"""Start and stop Airflow in the required order: database, its tables, api-server, then the
components that call it.
"""

from contracts.config.home import HomeSettings
from contracts.config.settings import Settings
from contracts.progress import Progress, silent
from stack import platform
from stack.process import airflow_environment
from stack.services import airflow

API_CLIENTS = (airflow.DAGS, airflow.SCHEDULER, airflow.TRIGGERER)
SERVICES = ("postgres", airflow.API, *API_CLIENTS)


def up(settings: Settings, progress: Progress = silent) -> None:
    """Start what does not run, and wait until Airflow reports every component as healthy.

    The first task would fail if the scheduler started before the api-server responds. Raises
    ServiceError.
    """
    airflow_environment.airflow_python(settings)  # fail before anything is started
    database = () if settings.airflow_database else ("postgres",)
    for names in (database, (airflow.API,), API_CLIENTS):
        if airflow.API in names:
            airflow.prepare(settings)
        platform.start_all(settings, names, progress)


def down(settings: HomeSettings) -> list[str]:
    """Stop all services of Airflow; returns the names of those that were running. Unfinished runs
    are retried after the next start.
    """
    return platform.down(settings, SERVICES)
