"""One service in the foreground, for containers and init systems: they keep the PID, restart it,
and read what it says.
"""

import os
import shutil
from collections.abc import Callable
from typing import NoReturn

from contracts.config.settings import Settings
from contracts.errors import ServiceError
from contracts.progress import Progress, silent
from stack import platform, secrets
from stack.services import airflow, flink, kafka


def run(settings: Settings, name: str) -> NoReturn:
    """Prepare the service and become it: signals reach it directly. Raises ServiceError when it
    cannot be run.
    """
    secrets.ensure(settings)
    service = platform.find(settings, name)
    service.prepare()
    program = shutil.which(service.command[0])
    if program is None:
        raise ServiceError(f"{name}: {service.command[0]} is not there", "run `tick doctor`")
    os.execve(program, list(service.command), {**os.environ, **service.env})


def init(settings: Settings, progress: Progress = silent) -> None:
    """Make what the services need once, and again after an upgrade: topics, tables, the Feast
    repository. Safe to repeat.

    Before the tables are made the object store, if there is one, is checked: DatasetError when it
    changes what is written.
    """
    from feature_store.feast_repo import objects as feast_objects
    from lakehouse.tables import Lakehouse

    steps: tuple[Callable[[Settings], object], ...] = (
        kafka.settle,
        _verify_object_store,
        lambda settings: Lakehouse(settings).create(),
        feast_objects.apply,
    )
    for done, step in enumerate(steps, 1):
        step(settings)
        progress("prepare", done, len(steps))


def _verify_object_store(settings: Settings) -> None:
    from feature_store.flink import object_store

    if object_store.is_used(settings):
        flink.prepare(settings)
        object_store.verify(settings)


def init_airflow(settings: Settings) -> None:
    """Airflow's configuration, generated secrets, tables and pools; its Postgres must answer. Safe
    to repeat.
    """
    airflow.prepare(settings)
