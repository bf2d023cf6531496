"""Run one service in the foreground, for containers and init systems, which own its process,
restarts and output.
"""

import os
import shutil
from collections.abc import Callable
from typing import NoReturn

from contracts.config.groups.airflow import AirflowSettings
from contracts.config.settings import Settings
from contracts.errors import ServiceError
from contracts.progress import Progress, silent
from stack import platform, secrets
from stack.services import airflow, flink, kafka_topics


def exec_service(settings: Settings, name: str) -> NoReturn:
    """Prepare the service, then replace this process with it, so that signals reach it directly.
    Raises ServiceError when its program is missing.
    """
    secrets.ensure_api_key(settings)
    service = platform.find_service(settings, name)
    service.prepare()
    program = shutil.which(service.command[0])
    if program is None:
        raise ServiceError(f"{name}: program {service.command[0]} not found", "run `tick doctor`")
    os.execve(program, list(service.command), {**os.environ, **service.env})


def initialize_platform(settings: Settings, progress: Progress = silent) -> None:
    """Create what the services need, once and again after an upgrade: topics, tables, the Feast
    repository. Idempotent.

    The object store, if one is configured, is verified before the tables are created: DatasetError
    when it alters written data.
    """
    from feature_store.feast_repo import objects as feast_objects
    from lakehouse.tables import Lakehouse

    steps: tuple[Callable[[Settings], object], ...] = (
        kafka_topics.set_up_topics,
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
        flink.prepare_home(settings)
        object_store.verify(settings)


def initialize_airflow(settings: AirflowSettings) -> None:
    """Create Airflow's configuration, secrets, tables and pools; its Postgres must run.
    Idempotent.
    """
    airflow.prepare(settings)
