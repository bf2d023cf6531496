"""A file cache shared by the API processes of a host: one process computes a value, the others read
it.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import orjson

from contracts.files import hold_lock, replace_atomically

POLL_S = 0.1
Compute = Callable[[], Awaitable[bytes]]


class CachedValue(NamedTuple):
    """A value, and how long ago it was computed."""

    value: bytes
    age_s: float


async def get_or_compute(
    file: Path, key: str, age_s_max: float, wait_s_max: float, compute: Compute
) -> CachedValue:
    """The value of `key` in `file` if younger than `age_s_max`, else the result of `compute`.

    Only one process computes at a time; the lock of a killed process is released. Raises
    TimeoutError when other processes hold the lock for `wait_s_max` s.
    """
    async with _lock(file.with_suffix(".lock"), wait_s_max):
        cached = _read_cache(file, key, age_s_max)
        if cached is None:
            cached = CachedValue(await compute(), 0.0)
            _write_cache(file, key, cached.value)
        return cached


@contextlib.asynccontextmanager
async def _lock(file: Path, wait_s_max: float) -> AsyncIterator[None]:
    with contextlib.ExitStack() as stack:
        async with asyncio.timeout(wait_s_max):
            while not _try_lock(stack, file):
                await asyncio.sleep(POLL_S)
        yield


def _try_lock(stack: contextlib.ExitStack, file: Path) -> bool:
    try:
        stack.enter_context(hold_lock(file, wait=False))
    except BlockingIOError:
        return False
    return True


def _read_cache(file: Path, key: str, age_s_max: float) -> CachedValue | None:
    try:
        entry = orjson.loads(file.read_bytes())
        # All processes of a host share the monotonic clock. It starts again when the host does,
        # so an entry from before a restart can seem to be from the future.
        age_s = time.monotonic() - entry["written_s"]
        is_valid = entry["key"] == key and 0 <= age_s < age_s_max
        return CachedValue(entry["value"].encode(), age_s) if is_valid else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write_cache(file: Path, key: str, value: bytes) -> None:
    entry = {"key": key, "written_s": time.monotonic(), "value": value.decode()}
    # Not durable: an fsync would block the event loop, and a lost entry is computed again.
    with replace_atomically(file, durable=False) as partial:
        partial.write_bytes(orjson.dumps(entry))
