"""One answer for all API processes of a host: one asks and writes it to a file, the others read
it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import orjson

from contracts.files import locked, replacing

POLL_S = 0.1
Ask = Callable[[], Awaitable[bytes]]


class Shared(NamedTuple):
    """An answer, and how long ago it was given."""

    text: bytes
    age_s: float


async def shared(
    file: Path, question: str, age_s_max: float, wait_s_max: float, ask: Ask
) -> Shared:
    """The answer to `question` in `file` if younger than `age_s_max` s, else what `ask` returns.

    One process at a time asks; one that is killed leaves the turn to the next. Raises TimeoutError
    when others have been asking for `wait_s_max` s.
    """
    async with _turn(file.with_suffix(".lock"), wait_s_max):
        answer = _read(file, question, age_s_max)
        if answer is None:
            answer = Shared(await ask(), 0.0)
            _write(file, question, answer.text)
        return answer


@contextlib.asynccontextmanager
async def _turn(file: Path, wait_s_max: float) -> AsyncIterator[None]:
    with contextlib.ExitStack() as stack:
        async with asyncio.timeout(wait_s_max):
            while not _entered(stack, file):
                await asyncio.sleep(POLL_S)
        yield


def _entered(stack: contextlib.ExitStack, file: Path) -> bool:
    try:
        stack.enter_context(locked(file, wait=False))
    except BlockingIOError:
        return False
    return True


def _read(file: Path, question: str, age_s_max: float) -> Shared | None:
    try:
        note = orjson.loads(file.read_bytes())
        # All processes of a host share the monotonic clock; a restart of the host sets it back.
        age_s = time.monotonic() - note["at_s"]
        fits = note["question"] == question and 0 <= age_s < age_s_max
        return Shared(note["answer"].encode(), age_s) if fits else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(file: Path, question: str, answer: bytes) -> None:
    note = {"question": question, "at_s": time.monotonic(), "answer": answer.decode()}
    with replacing(file, durable=False) as partial:  # the event loop waits for no disk
        partial.write_bytes(orjson.dumps(note))
