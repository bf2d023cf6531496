"""Saved states of the live job (checkpoints and savepoints): find the newest, delete old ones.

A lineage is everything that one job id saved: `checkpoints/<job id>/chk-<n>` and
`savepoints/savepoint-<first 6 digits of the job id>-<random>`. Each resumed job starts a new
lineage. Flink never deletes the lineage that a job was restored from (claim mode NO_CLAIM), so
`prune` does.
"""

import re
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import structlog

from contracts.config import paths
from contracts.config.groups.flink import FlinkSettings
from contracts.config.home import HomeSettings
from contracts.errors import JobError
from feature_store.flink import rest as flink_rest
from streaming.job import intent

# The job resumes from the newest lineage; the second is the fallback if that one is unusable.
LINEAGES_KEPT = 2
DIGITS = 6  # leading digits of the job id, which the name of a savepoint contains
CHECKPOINTS = re.compile(r"([0-9a-f]{6})[0-9a-f]{26}")
SAVEPOINT = re.compile(r"savepoint-([0-9a-f]{6})-[0-9a-f]{12}")

log = structlog.get_logger("streaming")


@dataclass(frozen=True, slots=True)
class Folder:
    """All checkpoints of one job, or one savepoint; `saved_ns` is 0 without a complete state."""

    path: Path
    lineage: str
    saved_ns: int


def newest_state(settings: HomeSettings) -> Path | None:
    """The newest complete state (with a `_metadata` file) of the job that was started last.

    If that job has saved none: the state that it was started from, if it is still there, else the
    newest of all. File times alone would mislead after a clock step or a copy.
    """
    complete, started = _complete(settings), intent.read(settings)
    if started is None:
        return next(iter(complete), None)
    own = (path for path in complete if _is_of(path, started.job_id))
    restored = (path for path in complete if _contains(path, started.restored))
    return next(chain(own, restored, complete), None)


def newest_checkpoint_of(settings: HomeSettings, job_id: str) -> Path | None:
    """The newest complete checkpoint of one job."""
    return next((path for path in _complete(settings) if path.parent.name == job_id), None)


def newest_state_us(settings: HomeSettings) -> int | None:
    """When `newest_state` was saved, µs UTC."""
    state = newest_state(settings)
    return _saved_ns(state / "_metadata") // 1000 if state else None


def older_states(settings: HomeSettings, state: Path) -> list[Path]:
    """Complete checkpoints and savepoints that are older than `state`, newest first."""
    complete = _complete(settings)
    return [other for other, saved_ns in complete.items() if saved_ns < complete.get(state, 0)]


def prune(settings: FlinkSettings, restored: str | None) -> None:
    """Delete superseded states; `restored` is the state that the running job was started from.

    Errors are only logged: leftover folders must not make the start of the job fail.
    """
    try:
        for path in _superseded_now(settings, restored):
            _delete(path)
            log.info("deleted an old state of the live job", folder=str(path))
    except (JobError, OSError) as error:
        log.warning("old states of the live job stay on disk", error=str(error))


def superseded(folders: Collection[Folder], in_use: Collection[str]) -> list[Path]:
    """Folders that belong neither to `in_use` nor to the newest LINEAGES_KEPT complete lineages."""
    complete = sorted((f for f in folders if f.saved_ns), key=lambda f: f.saved_ns, reverse=True)
    lineages = list(dict.fromkeys(folder.lineage for folder in complete))
    retained = {*lineages[:LINEAGES_KEPT], *in_use}
    return [folder.path for folder in folders if folder.lineage not in retained]


def _superseded_now(settings: FlinkSettings, restored: str | None) -> list[Path]:
    """Superseded folders of ended jobs; a running job does not count as one of the newest lineages.

    The folders are listed before the jobs: a job is registered before it has a folder.
    """
    folders = list(_folders(settings))
    live = _live_lineages(settings)
    ended = [folder for folder in folders if folder.lineage not in live]
    in_use = [folder.lineage for folder in ended if _contains(folder.path, restored)]
    return superseded(ended, in_use)


def _live_lineages(settings: FlinkSettings) -> set[str]:
    jobs = flink_rest.jobs(settings)
    return {job["jid"][:DIGITS] for job in jobs if job["state"] not in flink_rest.ENDED}


def _is_of(state: Path, job_id: str) -> bool:
    """Whether a job saved this state: a checkpoint in its folder or a savepoint with its digits."""
    savepoint = SAVEPOINT.fullmatch(state.name)
    return state.parent.name == job_id or bool(savepoint and savepoint[1] == job_id[:DIGITS])


def _contains(folder: Path, state: str | None) -> bool:
    """Whether the state with this URL is the folder or inside it."""
    if state is None:
        return False
    return Path(state.removeprefix("file://")).resolve().is_relative_to(folder.resolve())


def _delete(path: Path) -> None:
    """Delete `_metadata` first: what a kill may leave behind must not pass for a complete state."""
    for metadata in [*path.glob("_metadata"), *path.glob("chk-*/_metadata")]:
        metadata.unlink()
    shutil.rmtree(path)


def _complete(settings: HomeSettings) -> dict[Path, int]:
    """When each complete state was saved, ns UTC, newest first."""
    checkpoints, savepoints = paths.checkpoints(settings), paths.savepoints(settings)
    files = [*checkpoints.glob("*/chk-*/_metadata"), *savepoints.glob("*/_metadata")]
    saved_ns = {file.parent: ns for file in files if (ns := _saved_ns(file))}
    return dict(sorted(saved_ns.items(), key=lambda item: item[1], reverse=True))


def _folders(settings: HomeSettings) -> Iterator[Folder]:
    """Folders named by Flink; a copy under any other name is ignored, hence never deleted."""
    for path, lineage in _named_by_flink(paths.checkpoints(settings), CHECKPOINTS):
        saved_ns = max(map(_saved_ns, path.glob("chk-*/_metadata")), default=0)
        yield Folder(path, lineage, saved_ns)
    for path, lineage in _named_by_flink(paths.savepoints(settings), SAVEPOINT):
        yield Folder(path, lineage, _saved_ns(path / "_metadata"))


def _named_by_flink(parent: Path, name: re.Pattern[str]) -> Iterator[tuple[Path, str]]:
    """Folders in `parent` with such a name, and the lineage in it."""
    matches = ((path, name.fullmatch(path.name)) for path in parent.glob("*"))
    return ((path, match[1]) for path, match in matches if match)


def _saved_ns(metadata: Path) -> int:
    """When a state was completed, ns UTC; 0 if it is incomplete or Flink has just deleted it."""
    try:
        return metadata.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
