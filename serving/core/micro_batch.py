"""Micro-batching: concurrent requests share one read of the store and one call of the model.

There is no batching delay: a batch takes the requests that are ready when the event loop gets to
it. A single request is answered at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
AnswerKeys = Callable[[Sequence[K], int], Awaitable[Mapping[K, V]]]


@dataclass(eq=False)
class _Batch(Generic[K, V]):
    """The keys collected so far, the newest `at_us` of their requests, and the answering task."""

    keys: dict[K, None] = field(default_factory=dict)
    at_us: int = 0
    answers: "asyncio.Task[Mapping[K, V]] | None" = None


class MicroBatcher(Generic[K, V]):
    """Calls `answer_keys(keys, at_us)` once per batch. A batch has at most `keys_max` keys, or one
    larger request. An exception of the call is raised for every request of the batch.
    """

    def __init__(self, answer_keys: AnswerKeys[K, V], keys_max: int) -> None:
        self._answer_keys = answer_keys
        self._keys_max = keys_max
        self._open_batch: _Batch[K, V] | None = None

    async def get_answers(self, keys: Sequence[K], at_us: int) -> list[V]:
        """One answer per key, in order, as of `at_us` or later. A cancelled caller does not cancel
        the batch.
        """
        batch = self._open_batch
        if batch is None or len(batch.keys) + len(keys) > self._keys_max:
            batch = self._open_batch = _Batch()
            batch.answers = asyncio.create_task(self._answer_batch(batch))
        batch.keys.update(dict.fromkeys(keys))
        batch.at_us = max(batch.at_us, at_us)
        assert batch.answers is not None
        answers = await asyncio.shield(batch.answers)
        return [answers[key] for key in keys]

    async def _answer_batch(self, batch: _Batch[K, V]) -> Mapping[K, V]:
        await asyncio.sleep(0)  # requests that are ready in this turn of the loop join the batch
        if self._open_batch is batch:
            self._open_batch = None
        return await self._answer_keys(list(batch.keys), batch.at_us)
