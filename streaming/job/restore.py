"""Which state to resume from when the newest state of the live job is unusable."""

from pathlib import Path

from contracts import live_job
from contracts.config.settings import Settings
from contracts.errors import JobError
from feature_store.flink.program import FinishedReaderError, Submitter
from streaming.job import states

OLDER_STATES_MAX = 20  # a job keeps three checkpoints, and there are a few savepoints
FRESH = "start without state, from the committed offsets: `tick job submit --fresh`"


def explain(settings: Settings, error: FinishedReaderError, refused: Path) -> JobError:
    """The same error with the commands that start the job again as its hint. Raises JobError."""
    usable = newest_usable_state(settings, refused)
    if usable is None:
        return JobError(error.message, FRESH)
    older = f"continue from an older state: `tick job resume --state {usable}`"
    return JobError(error.message, f"{older}, or {FRESH}")


def newest_usable_state(settings: Settings, refused: Path) -> Path | None:
    """The newest state before `refused` in which every reader that must run was running.

    Raises JobError if a state cannot be read.
    """
    with Submitter(settings) as child:
        for state in states.older_states(settings, refused)[:OLDER_STATES_MAX]:
            if set(child.finished_readers(f"file://{state}")) <= set(live_job.ENDING_READERS):
                return state
    return None
