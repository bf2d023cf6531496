"""What passes between the steps of a training, tick or power: their one parent run, the sealed
model, and a run folder for one process.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from models.runtime import Exported
from training.run import directory, mlflow_run
from training.run.directory import Folder
from training.run.mlflow_run import Track

RUN, AT, DIGEST, DIFFERENCE = "run_id", "at_us", "digest", "difference"


def begin(
    settings: Settings,
    at: Folder,
    name: str,
    at_us: int,
    params: Mapping[str, str],
    experiment: str | None = None,
) -> Track:
    """The parent run of a first step: that of an earlier try, else a new one with `params`; `at_us`
    is the time that the runs carry.
    """
    if RUN in at.state():
        return track(settings, at)
    made = mlflow_run.start(settings, name, at_us, experiment)
    made.params(params)
    at.note(**{RUN: made.run_id, AT: at_us})
    return made


def track(settings: Settings, at: Folder) -> Track:
    """The parent run that the first step has begun. Raises DatasetError when none has."""
    known = at.state()
    if RUN not in known:
        raise DatasetError(
            f"no training has begun in {at.path}", "run the step that prepares its data first"
        )
    return mlflow_run.resume(settings, known[RUN], known[AT])


def keep(at: Folder, exported: Exported) -> None:
    """Note what `train_model` has sealed."""
    at.note(**{DIGEST: exported.digest, DIFFERENCE: exported.difference})


def kept(at: Folder) -> Exported:
    """What `train_model` has sealed. Raises DatasetError before that."""
    return Exported(at.model, at.need(DIGEST, "train_model"), at.need(DIFFERENCE, "train_model"))


@contextmanager
def once(settings: Settings, pipeline: str, at_us: int) -> Iterator[tuple[str, Folder]]:
    """Key and folder of a training whose steps all run in this process; nothing is left of it."""
    key = f"once-{at_us}-{os.getpid()}"
    at = Folder(directory.place(settings, pipeline, key))
    try:
        yield key, at
    finally:
        directory.fresh(at)
