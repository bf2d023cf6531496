"""Whether the live job is meant to run: written when it is started or stopped, read by whatever
restarts it after a crash.

The file is stored with the savepoints, which containers share. `python -m streaming.job.intent`
exits with 0 if the job was stopped on purpose.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from contracts.config import paths
from contracts.config.home import HomeSettings
from contracts.files import replace_atomically


@dataclass(frozen=True, slots=True)
class JobIntent:
    """The job that was started last, and the URL of the state that it continued from; `stopped`:
    a person stopped it, with the savepoint at the URL `savepoint`.
    """

    job_id: str
    restored: str | None = None
    stopped: bool = False
    savepoint: str | None = None


def _file(settings: HomeSettings) -> Path:
    return paths.savepoints(settings) / "live-job.json"


def read(settings: HomeSettings) -> JobIntent | None:
    """The last intent; None when no job was started, or after `forget`."""
    try:
        return JobIntent(**json.loads(_file(settings).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _write(settings: HomeSettings, intent: JobIntent) -> None:
    with replace_atomically(_file(settings)) as partial:
        partial.write_text(json.dumps(asdict(intent)))


def record_start(settings: HomeSettings, job_id: str, restored: str | None) -> None:
    """From now on this job is meant to run."""
    _write(settings, JobIntent(job_id, restored))


@contextmanager
def stopping(settings: HomeSettings, job_id: str) -> Iterator[None]:
    """The job is not meant to run from the beginning of the block; after an error in it, it is."""
    before = read(settings) or JobIntent(job_id)
    _write(settings, replace(before, stopped=True))
    try:
        yield
    except BaseException:
        _write(settings, before)
        raise


def record_savepoint(settings: HomeSettings, job_id: str, savepoint: str) -> None:
    """The job has stopped with this savepoint."""
    before = read(settings) or JobIntent(job_id)
    _write(settings, replace(before, stopped=True, savepoint=savepoint))


def forget(settings: HomeSettings) -> None:
    """After a planned stop of Flink a person decides how the job continues."""
    intent = read(settings)
    if intent is not None and not intent.stopped:
        _file(settings).unlink(missing_ok=True)


def main() -> None:
    """Exit with 0 if the job was stopped on purpose, else with 1."""
    from contracts.config.settings import settings

    intent = read(settings())
    sys.exit(0 if intent is not None and intent.stopped else 1)


if __name__ == "__main__":
    main()
