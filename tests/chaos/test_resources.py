"""The slope of a series, and when it is flat."""

import random
import subprocess
import sys

import pytest

from contracts.config import paths
from stack.process.pids import ProcessRecord
from tests.chaos.resources import Resources, slope


def test_a_straight_line_has_its_slope_and_no_error():
    found = slope("files", "", [0, 10, 20, 30], [5, 6, 7, 8])
    assert found.per_hour == pytest.approx(360) and found.error == pytest.approx(0, abs=1e-6)
    assert (found.last, found.samples, found.flat) == (8, 4, False)


def test_a_constant_is_flat():
    assert slope("files", "", [0, 10, 20], [5, 5, 5]).flat


def test_noise_is_flat_and_growth_above_it_is_not():
    rng = random.Random(3)
    times = [10.0 * n for n in range(180)]
    noise = [rng.gauss(100, 5) for _ in times]
    assert slope("memory", "MiB", times, noise).flat
    growing = [v + 0.02 * t for v, t in zip(noise, times, strict=True)]
    found = slope("memory", "MiB", times, growing)
    assert not found.flat and abs(found.per_hour - 72) < 3 * found.error


def test_too_few_samples_have_no_slope():
    assert slope("files", "", [0, 10], [5, 6]) is None


@pytest.fixture
def sleeper():
    """A process in a separate session, as a service is."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command, start_new_session=True) as process:
        yield process.pid
        process.kill()


def test_files_metadata_and_the_memory_of_services_are_sampled(free_settings, sleeper):
    metadata = free_settings.root / "warehouse" / "silver" / "metadata"
    metadata.mkdir(parents=True)
    (metadata / "v1.metadata.json").write_bytes(bytes(2**20))
    (free_settings.root / "other").write_bytes(bytes(2**20))
    ProcessRecord.from_pid(sleeper).write(paths.run(free_settings) / "writer.json")
    sampled = Resources(free_settings)
    sampled.sample(1.0)
    last = {name: series.values[-1] for name, series in sampled.series.items()}
    assert last["files"] == 3 and last["Iceberg metadata"] == 1
    assert 2 <= last["bytes on disk"] < 2.01
    assert last["memory of writer"] > 0 and sampled.slopes() == []
