"""One read for all processes of a host: which process computes, which ones wait, which entry is
valid.
"""

import asyncio
import signal
import subprocess
import sys

import pytest

from serving.state.shared_cache import get_or_compute

OTHER_PROCESS = """
import asyncio, sys
from pathlib import Path
from serving.state.shared_cache import get_or_compute

async def compute():
    print("computing", flush=True)
    await asyncio.sleep(float(sys.argv[2]))
    return b"value of the other process"

asyncio.run(get_or_compute(Path(sys.argv[1]), "key", 60, 60, compute))
"""


class Registry:
    """Counts its calls, and returns when `is_open` is set."""

    def __init__(self):
        self.calls = 0
        self.is_open = asyncio.Event()

    async def __call__(self):
        self.calls += 1
        await self.is_open.wait()
        return f"value {self.calls}".encode()


def open_registry():
    registry = Registry()
    registry.is_open.set()
    return registry


@pytest.fixture
def file(tmp_path):
    return tmp_path / "models" / "registry.json"


@pytest.fixture
def start_other(file):
    """Starts another process that computes for `seconds`; returns when it holds the lock."""
    processes = []

    def start(seconds):
        command = [sys.executable, "-c", OTHER_PROCESS, str(file), str(seconds)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "computing\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_concurrent_calls_get_one_value(file):
    async def story():
        registry = Registry()
        tasks = [
            asyncio.create_task(get_or_compute(file, "key", 60, 60, registry)) for _ in range(5)
        ]
        await asyncio.sleep(0.3)  # one of them computes, the others wait for the lock
        registry.is_open.set()
        return registry.calls, {cached.value for cached in await asyncio.gather(*tasks)}

    assert asyncio.run(story()) == (1, {b"value 1"})


@pytest.mark.parametrize(
    ("key", "age_s_max", "calls"), [("key", 60, 1), ("another", 60, 2), ("key", 0, 2)]
)
def test_an_entry_is_valid_for_its_key_and_its_age(file, key, age_s_max, calls):
    async def story():
        registry = open_registry()
        await get_or_compute(file, "key", 60, 60, registry)
        cached = await get_or_compute(file, key, age_s_max, 60, registry)
        return registry.calls, cached.value, cached.age_s > 0

    assert asyncio.run(story()) == (calls, f"value {calls}".encode(), calls == 1)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"nonsense",
        b'{"key":"key","written_s":"x","value":"y"}',
        b'{"key":"key","written_s":0}',
        b'{"key":"key","written_s":1e18,"value":"y"}',
    ],
)
def test_an_unreadable_entry_or_one_from_the_future_is_computed_again(file, text):
    file.parent.mkdir()
    file.write_bytes(text)
    cached = asyncio.run(get_or_compute(file, "key", 1e12, 60, open_registry()))
    assert cached.value == b"value 1"


def test_the_value_of_another_process_is_used(file, start_other):
    registry = Registry()
    start_other(1)
    cached = asyncio.run(get_or_compute(file, "key", 60, 60, registry))
    assert (cached.value, registry.calls) == (b"value of the other process", 0)


def test_a_killed_process_releases_the_lock(file, start_other):
    async def story():
        registry = open_registry()
        waiting = asyncio.create_task(get_or_compute(file, "key", 60, 60, registry))
        await asyncio.sleep(0.3)
        assert registry.calls == 0
        process.send_signal(signal.SIGKILL)
        return (await waiting).value

    process = start_other(600)
    assert asyncio.run(story()) == b"value 1"


def test_waiting_for_another_process_times_out(file, start_other):
    start_other(600)
    with pytest.raises(TimeoutError):
        asyncio.run(get_or_compute(file, "key", 60, 0.2, Registry()))
