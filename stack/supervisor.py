"""The supervisor: restarts services that died, until `tick down` or until a limit is reached, and
keeps their logs small. `python -m stack.supervisor` runs it.

A service is meant to run from its start until `tick down`: as long as it has a PID file. In every
round, for every PID file whose process is gone:

1. Too many restarts within the window: write `<service>.failed`, which `tick status` shows as
   FAILED, and leave the service alone until a person has started it.
2. The pause after the last restart is not over: wait.
3. Otherwise take the lock of the platform, check again, and start the service. While `tick up` or
   `tick down` holds the lock, they decide.

Then rotate logs, and let `JobKeeper` look after the live job.
"""

import os
import time
from collections.abc import Callable
from functools import partial

import structlog

from contracts.config import logs, paths
from contracts.config.settings import Settings
from contracts.config.settings import settings as read_settings
from contracts.files import hold_lock
from stack import platform
from stack.job_keeper import JobKeeper
from stack.process.log_files import log_tail, rotate
from stack.process.pids import ProcessRecord, reap_child
from stack.process.restarts import Decision, RestartBudget
from stack.process.service import Service, is_ready, spawn
from stack.services import supervision

log = structlog.get_logger("supervisor")


class Supervisor:
    """Watches the services of one platform."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._budgets: dict[str, RestartBudget] = {}
        self._starting: dict[str, Service] = {}
        self._children: set[int] = set()
        self._job = JobKeeper(settings)

    def run(self) -> None:
        """Work until this process is ended."""
        log.info("supervisor started", home=str(self._settings.root))
        while True:
            self.step(time.monotonic())
            time.sleep(self._settings.supervise_poll_s)

    def step(self, now_s: float) -> None:
        """One round; `now_s` is a time of the monotonic clock."""
        for pid in self._children:
            reap_child(pid)  # also of services that others have stopped or replaced
        for name in sorted(platform.recorded_names(self._settings) - {supervision.NAME}):
            if name in platform.FACTORIES:
                _attempt(name, partial(self._look_after, name, now_s))
        _attempt("logs", self._rotate_logs)
        _attempt("live job", partial(self._job.step, now_s))

    def _rotate_logs(self) -> None:
        for file in paths.logs(self._settings).glob("*.log"):
            rotate(file, self._settings.log_mb_max)

    def _look_after(self, name: str, now_s: float) -> None:
        pid_file = paths.run(self._settings) / f"{name}.json"
        failed_file = pid_file.with_suffix(".failed")
        record = ProcessRecord.from_file(pid_file)
        if record is not None and record.process() is not None:
            self._finish_start(name)
            return
        if failed_file.exists():
            self._budgets.pop(name, None)  # the next start by a person has the full number again
            return
        budget = self._budgets.setdefault(name, RestartBudget(self._settings))
        decision = budget.decide(now_s)
        if decision is Decision.GIVE_UP:
            self._give_up(name, len(budget.restarts_s))
        elif decision is Decision.RESTART:
            self._restart(name, budget, now_s)

    def _give_up(self, name: str, restarts: int) -> None:
        service = platform.find_service(self._settings, name)
        service.failed_file.write_text(f"{restarts} restarts\n")
        log.error(
            "service FAILED: it is not restarted any more",
            service=name,
            restarts=restarts,
            window_s=self._settings.supervise_window_s,
            log=log_tail(service.log),
            hint=f"see {service.log}, repair the cause, then `tick up`",
        )

    def _restart(self, name: str, budget: RestartBudget, now_s: float) -> None:
        try:
            with hold_lock(paths.run(self._settings) / platform.LOCK, wait=False):
                service = platform.find_service(self._settings, name)
                if service.pid_file.exists() and service.process() is None:
                    budget.record_restart(now_s)
                    log.warning("service died; restarting it", service=name)
                    self._start(service)
        except BlockingIOError:  # `tick up` or `tick down` is at work
            return

    def _start(self, service: Service) -> None:
        spawn(service)
        self._starting[service.name] = service
        if record := ProcessRecord.from_file(service.pid_file):
            self._children.add(record.pid)

    def _finish_start(self, name: str) -> None:
        """Once a restarted service is ready, do what follows its start (Kafka: topics)."""
        service = self._starting.get(name)
        if service is not None and is_ready(service):
            service.after_ready()
            del self._starting[name]
            log.info("service is ready again", service=name)


def _attempt(subject: str, work: Callable[[], None]) -> None:
    """Do one part of a round."""
    try:
        work()
    # Whatever fails here, such as a port in use or a full disk, must not leave the others alone.
    except Exception as error:  # noqa: BLE001
        log.error("the supervisor failed", subject=subject, error=repr(error))


def main() -> None:
    """Supervise the platform of TICK_HOME."""
    logs.configure()
    settings = read_settings()
    os.umask(0o077)
    Supervisor(settings).run()


if __name__ == "__main__":
    main()
