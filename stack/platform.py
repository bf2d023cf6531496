"""The whole platform: up, down, status. `up` heals what died and leaves alone what runs; `down`
leaves nothing behind.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from contracts.config import paths
from contracts.config.settings import Settings
from contracts.errors import ServiceError
from contracts.files import locked
from contracts.progress import Progress, silent
from stack import bounded_value, jars, secrets
from stack.process.service import Row, Service, is_ready, require_alive, row, spawn, stop, tail
from stack.services import airflow, flink, kafka, postgres, redis
from stack.services import own as own_services

FACTORIES: dict[str, Callable[[Settings], Service]] = {
    "kafka": kafka.service,
    "redis": redis.service,
    "jobmanager": flink.jobmanager,
    "taskmanager": flink.taskmanager,
    "writer": own_services.writer,
    "api": own_services.api,
    "mlflow": own_services.mlflow,
    "postgres": postgres.service,
    airflow.API: airflow.api,
    airflow.DAGS: airflow.dag_processor,
    airflow.SCHEDULER: airflow.scheduler,
    airflow.TRIGGERER: airflow.triggerer,
}
POLL_S = 0.2
PLATFORM = ("kafka", "redis", "jobmanager", "taskmanager")
OPTIONAL = (
    "writer",
    "api",
)  # started by their own commands; `up` starts them again when they died
# Whoever uses a service stops before it.
STOP_ORDER = (
    (airflow.SCHEDULER, airflow.TRIGGERER, airflow.DAGS, "mlflow", "api", "writer"),
    (airflow.API, "taskmanager", "jobmanager"),
    ("kafka", "redis", "postgres"),
)


def find(settings: Settings, name: str) -> Service:
    """The service of that name. Raises ServiceError for an unknown one."""
    if name not in FACTORIES:
        raise ServiceError(f"there is no service {name!r}", f"known: {', '.join(FACTORIES)}")
    return FACTORIES[name](settings)


def up(
    settings: Settings, services: Iterable[str] | None = None, progress: Progress = silent
) -> None:
    """Start what does not run, all at once, and wait until everything is ready; by default also the
    writer and API that died.

    1. jars and key  2. one `up` at a time  3. spawn  4. wait for each, then its last step (Kafka:
       topics)  5. the same for what died. Raises ServiceError: port taken, process died (with the
       end of its log), not ready within start_timeout_s.
    """
    jars.ensure(settings, progress)
    bounded_value.ensure(settings)
    secrets.ensure(settings)
    with _alone(settings):
        _bring_up(settings, PLATFORM if services is None else services, progress)
        if services is None:
            _bring_up(settings, _died(settings), progress)


def _bring_up(settings: Settings, names: Iterable[str], progress: Progress) -> None:
    wanted = [find(settings, name) for name in names]
    for service in wanted:
        spawn(service)
    _await(wanted, settings.start_timeout_s, progress)


def _died(settings: Settings) -> list[str]:
    """Those alongside the platform that were started, not stopped, and live no more."""
    services = [find(settings, name) for name in OPTIONAL]
    return [
        service.name
        for service in services
        if service.pid_file.exists() and service.process() is None
    ]


def _await(services: list[Service], timeout_s: float, progress: Progress = silent) -> None:
    """Poll all of them in turn: when one dies there is no sense in waiting for those that need
    it."""
    pending, deadline = list(services), time.monotonic() + timeout_s
    while pending:
        for service in [service for service in pending if is_ready(service)]:
            service.after_ready()
            pending.remove(service)
            progress("start services", len(services) - len(pending), len(services))
        for service in pending:
            require_alive(service)
        if pending and time.monotonic() > deadline:
            raise ServiceError(
                f"{pending[0].name} is not ready after {timeout_s:.0f} s:\n{tail(pending[0].log)}",
                f"see {pending[0].log}",
            )
        time.sleep(POLL_S if pending else 0)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Two `tick up` at the same time would start everything twice: the second waits, and then finds
    it running.
    """
    with locked(paths.run(settings) / "lock", wait=True):
        yield


def down(settings: Settings, services: Iterable[str] | None = None) -> list[str]:
    """Stop these services, by default every one that was started here; returns the names of those
    that lived.
    """
    wanted = (
        set(services)
        if services is not None
        else {file.stem for file in paths.run(settings).glob("[!.]*.json")}
    )
    stopped: list[str] = []
    if not wanted:
        return stopped
    with _alone(settings):
        for group in (*STOP_ORDER, tuple(wanted.difference(*STOP_ORDER))):
            stopped += _stop_all(settings, [name for name in group if name in wanted])
    return stopped


def _stop_all(settings: Settings, names: list[str]) -> list[str]:
    def stop_one(name: str) -> bool:
        return stop(paths.run(settings) / f"{name}.json", settings.stop_timeout_s)

    with ThreadPoolExecutor(max(1, len(names))) as pool:
        return [name for name, lived in zip(names, pool.map(stop_one, names), strict=True) if lived]


def start_all(settings: Settings, names: Iterable[str], progress: Progress = silent) -> None:
    """Start several services at once and wait until all are ready; nothing is fetched. Raises as
    `up` does.
    """
    with _alone(settings):
        _bring_up(settings, names, progress)


def start(settings: Settings, name: str) -> Service:
    """Start one service alongside the platform (writer, api, mlflow) and wait until it is ready;
    see `up`.
    """
    secrets.ensure(settings)
    with _alone(settings):
        service = find(settings, name)
        spawn(service)
    _await([service], settings.start_timeout_s)
    return service


def status(settings: Settings, now_s: float) -> list[Row]:
    """One row per service of the platform, and per other service that was started; `now_s` is
    seconds since 1970.
    """
    names = [
        name
        for name in FACTORIES
        if name in PLATFORM or (paths.run(settings) / f"{name}.json").exists()
    ]
    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(lambda name: row(find(settings, name), now_s), names))
