"""What a run uses, sampled every ten seconds, and how fast each of it grows."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path

import psutil

from contracts.config import paths
from contracts.config.settings import Settings
from contracts.errors import JobError
from stack.process.pids import ProcessRecord
from streaming.job import job

INTERVAL_S = 10.0
MIB = 2**20
HOUR_S = 3600.0
NOISE = 2.0  # standard errors: a smaller slope is flat
SAMPLES_MIN = 3


@dataclass(frozen=True, slots=True)
class Slope:
    """Growth per hour by least squares, with its standard error, and the last value."""

    name: str
    unit: str
    last: float
    per_hour: float
    error: float
    samples: int

    @property
    def flat(self) -> bool:
        """Whether the growth cannot be told from noise."""
        return abs(self.per_hour) <= NOISE * self.error


def slope(name: str, unit: str, times_s: Sequence[float], values: Sequence[float]) -> Slope | None:
    """The growth of a series; None of fewer than three samples."""
    count = len(values)
    if count < SAMPLES_MIN:
        return None
    mean_t, mean_v = sum(times_s) / count, sum(values) / count
    spread = sum((t - mean_t) ** 2 for t in times_s)
    pairs = list(zip(times_s, values, strict=True))
    rate = sum((t - mean_t) * (v - mean_v) for t, v in pairs) / spread
    rest = sum((v - mean_v - rate * (t - mean_t)) ** 2 for t, v in pairs)
    error = sqrt(rest / (count - 2) / spread)
    return Slope(name, unit, values[-1], rate * HOUR_S, error * HOUR_S, count)


@dataclass
class Series:
    """Samples of one quantity."""

    unit: str
    times_s: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


class Resources(threading.Thread):
    """Samples memory of each service, files and bytes of the home and of Iceberg's metadata, and
    the duration of the last checkpoint, with which the commits end.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="resources", daemon=True)
        self.series: dict[str, Series] = {}
        self._settings, self._ended = settings, threading.Event()

    def run(self) -> None:
        """The thread."""
        while not self._ended.wait(INTERVAL_S):
            self.sample(time.monotonic())

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self.join()

    def sample(self, now_s: float) -> None:
        """Take one sample of each."""
        for name, unit, value in self._measure():
            series = self.series.setdefault(name, Series(unit))
            series.times_s.append(now_s)
            series.values.append(value)

    def slopes(self) -> list[Slope]:
        """The growth of each, of those with enough samples."""
        found = (slope(name, s.unit, s.times_s, s.values) for name, s in self.series.items())
        return [one for one in found if one is not None]

    def _measure(self) -> Iterator[tuple[str, str, float]]:
        for file in sorted(paths.run(self._settings).glob("[!.]*.json")):
            if memory := _memory(file):
                yield f"memory of {file.stem}", "MiB", memory / MIB
        files, size, metadata = _disk(self._settings.root)
        yield "files", "", files
        yield "bytes on disk", "MiB", size / MIB
        yield "Iceberg metadata", "MiB", metadata / MIB
        with suppress(JobError):
            duration_ms = job.status(self._settings).get("checkpoint_ms")
            if duration_ms is not None:
                yield "last checkpoint and commit", "s", duration_ms / 1000


def _memory(pid_file: Path) -> int:
    """Bytes in memory of all processes of a service; 0 if it does not run."""
    record = ProcessRecord.from_file(pid_file)
    total = 0
    for process in record.members() if record else ():
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def _disk(home: Path) -> tuple[int, int, int]:
    """Files, their bytes, and those of Iceberg's metadata."""
    files = size = metadata = 0
    for folder, _, names in os.walk(home):
        for name in names:
            with suppress(FileNotFoundError):
                length = (Path(folder) / name).lstat().st_size
                files, size = files + 1, size + length
                metadata += length if Path(folder).name == "metadata" else 0
    return files, size, metadata
