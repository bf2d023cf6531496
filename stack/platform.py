"""The whole platform: up, down, status. `up` starts what does not run and leaves running services
alone; `down` leaves no process behind.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from contracts.config import paths
from contracts.config.home import HomeSettings
from contracts.config.settings import Settings
from contracts.errors import ServiceError
from contracts.files import hold_lock
from contracts.progress import Progress, silent
from stack import bounded_value, jars, secrets
from stack.process.log_files import log_tail, rotate
from stack.process.service import (
    Service,
    ServiceStatus,
    is_ready,
    require_alive,
    service_status,
    spawn,
    stop,
)
from stack.services import (
    airflow,
    flink,
    kafka,
    postgres,
    project_services,
    redis,
    supervision,
)
from streaming.job import intent

FACTORIES: dict[str, Callable[[Settings], Service]] = {
    "kafka": kafka.service,
    "redis": redis.service,
    "jobmanager": flink.jobmanager,
    "taskmanager": flink.taskmanager,
    "writer": project_services.writer,
    "maintenance": project_services.maintenance,
    "api": project_services.api,
    "mlflow": project_services.mlflow,
    "postgres": postgres.service,
    airflow.API: airflow.api,
    airflow.DAGS: airflow.dag_processor,
    airflow.SCHEDULER: airflow.scheduler,
    airflow.TRIGGERER: airflow.triggerer,
    supervision.NAME: supervision.service,
}
POLL_S = 0.2
LOCK = "lock"  # file in HOME/run
PLATFORM = ("kafka", "redis", "jobmanager", "taskmanager")
# Started by their own commands; `up` restarts them when they died.
OPTIONAL = ("writer", "api")
# The supervisor stops first: it would restart the others. The users of a service stop before it.
STOP_ORDER = (
    (supervision.NAME,),
    (airflow.SCHEDULER, airflow.TRIGGERER, airflow.DAGS, "mlflow", "api", "writer", "maintenance"),
    (airflow.API, "taskmanager", "jobmanager"),
    ("kafka", "redis", "postgres"),
)


def find_service(settings: Settings, name: str) -> Service:
    """The service with that name. Raises ServiceError when there is none."""
    if name not in FACTORIES:
        raise ServiceError(f"unknown service {name!r}", f"choose one of: {', '.join(FACTORIES)}")
    return FACTORIES[name](settings)


def up(
    settings: Settings, services: Iterable[str] | None = None, progress: Progress = silent
) -> None:
    """Start the services that do not run, in parallel, and wait until all are ready; by default
    also restart the writer and the API when they died.

    1. Download jars, generate the API key.  2. Take the lock: one `up` at a time.  3. Spawn.
    4. Wait for each service, then run its `after_ready` (Kafka: topics).  5. The same for the
    services that died. Raises ServiceError: a port is in use, a process died (with the end of its
    log), or it is not ready within start_timeout_s.
    """
    jars.ensure_downloaded(settings, progress)
    bounded_value.ensure_compiled(settings)
    secrets.ensure_api_key(settings)
    with _exclusive(settings):
        _spawn_and_wait(settings, PLATFORM if services is None else services, progress)
        if services is None:
            _spawn_and_wait(settings, _find_dead_optional(settings), progress)


def _spawn_and_wait(settings: Settings, names: Iterable[str], progress: Progress) -> None:
    services = [find_service(settings, name) for name in names]
    for service in services:
        _spawn(settings, service)
    _wait_until_ready(services, settings.start_timeout_s, progress)


def _spawn(settings: Settings, service: Service) -> None:
    rotate(service.log, settings.log_mb_max)
    spawn(service)


def supervise(settings: Settings) -> None:
    """Start the supervisor unless it runs: from now on services that die are restarted."""
    start(settings, supervision.NAME)


def _find_dead_optional(settings: Settings) -> list[str]:
    """Optional services that were started and not stopped, but whose process is gone."""
    services = [find_service(settings, name) for name in OPTIONAL]
    return [
        service.name
        for service in services
        if service.pid_file.exists() and service.process() is None
    ]


def _wait_until_ready(
    services: list[Service], timeout_s: float, progress: Progress = silent
) -> None:
    """Poll all services in turn, and stop waiting as soon as one died: the others may need it."""
    pending = list(services)
    deadline = time.monotonic() + timeout_s
    while pending:
        for service in list(filter(is_ready, pending)):
            service.after_ready()
            pending.remove(service)
            progress("start services", len(services) - len(pending), len(services))
        for service in pending:
            require_alive(service)
        if pending:
            _await_next_poll(pending[0], deadline, timeout_s)


def _await_next_poll(service: Service, deadline: float, timeout_s: float) -> None:
    if time.monotonic() > deadline:
        raise ServiceError(
            f"{service.name} is not ready after {timeout_s:.0f} s:\n{log_tail(service.log)}",
            f"see {service.log}",
        )
    time.sleep(POLL_S)


@contextmanager
def _exclusive(settings: HomeSettings) -> Iterator[None]:
    """Hold the lock of the platform: two `tick up` at the same time would start everything twice.

    The second one waits, then sees that the services run.
    """
    with hold_lock(paths.run(settings) / LOCK, wait=True):
        yield


def down(
    settings: HomeSettings, services: Iterable[str] | None = None, *, forget: bool = True
) -> list[str]:
    """Stop these services, by default every one that was started here; returns the names of those
    that were running. Unless `forget`, the next supervised `up` starts them again, and the live
    job.

    Raises ServiceError when a process cannot be killed, after all others were stopped.
    """
    names = recorded_names(settings) if services is None else set(services)
    stopped: list[str] = []
    errors: list[ServiceError] = []
    if not names:
        return stopped
    with _exclusive(settings):
        for group in (*STOP_ORDER, tuple(names.difference(*STOP_ORDER))):
            group_names = [name for name in group if name in names]
            stopped += _stop_all(settings, group_names, forget, errors)
        if forget and "jobmanager" in names:
            intent.forget(settings)
    if errors:
        raise errors[0]
    return stopped


def recorded_names(settings: HomeSettings) -> set[str]:
    """Services with a PID file: those that were started and not stopped."""
    return {file.stem for file in paths.run(settings).glob("[!.]*.json")}


def _stop_all(
    settings: HomeSettings, names: list[str], forget: bool, errors: list[ServiceError]
) -> list[str]:
    """Stop one group; appends the errors of processes that cannot be killed."""

    def stop_one(name: str) -> bool:
        try:
            pid_file = paths.run(settings) / f"{name}.json"
            # The supervisor is started by `up` itself.
            remove = forget or name == supervision.NAME
            return stop(pid_file, settings.stop_timeout_s, forget=remove)
        except ServiceError as error:
            errors.append(error)
            return False

    with ThreadPoolExecutor(max(1, len(names))) as pool:
        was_running = pool.map(stop_one, names)
        return [name for name, running in zip(names, was_running, strict=True) if running]


def start_all(settings: Settings, names: Iterable[str], progress: Progress = silent) -> None:
    """Start services in parallel and wait until all are ready; downloads nothing. Raises
    ServiceError as `up` does.
    """
    with _exclusive(settings):
        _spawn_and_wait(settings, names, progress)


def start(settings: Settings, name: str) -> Service:
    """Start one service alongside the platform (writer, api, mlflow) and wait until it is ready.
    Raises ServiceError as `up` does.
    """
    secrets.ensure_api_key(settings)
    with _exclusive(settings):
        service = find_service(settings, name)
        _spawn(settings, service)
    _wait_until_ready([service], settings.start_timeout_s)
    return service


def status(settings: Settings, now_s: float) -> list[ServiceStatus]:
    """The status of every service of the platform and of the other services that were started;
    `now_s` is seconds since 1970.
    """
    names = [
        name
        for name in FACTORIES
        if name in PLATFORM or (paths.run(settings) / f"{name}.json").exists()
    ]
    with ThreadPoolExecutor(len(names)) as pool:
        return list(
            pool.map(lambda name: service_status(find_service(settings, name), now_s), names)
        )
