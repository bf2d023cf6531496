"""Micro-batching: requests that come together are answered together, by one read of the store and
one call of the model.

No one waits for others to come: a batch takes what has arrived when the event loop gets to it,
which for a lone request is at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
Answering = Callable[[Sequence[K], int], Awaitable[Mapping[K, V]]]


@dataclass(eq=False)
class _Batch(Generic[K, V]):
    """The keys so far, the newest moment any of them is asked for (µs), and the task that will
    answer.
    """

    keys: dict[K, None] = field(default_factory=dict)
    at_us: int = 0
    answers: "asyncio.Task[Mapping[K, V]] | None" = None


class MicroBatcher(Generic[K, V]):
    """Answers keys by `answer(keys, at_us)`, `keys_max` at once or one request's; what it raises,
    all in the batch get.
    """

    def __init__(self, answer: Answering[K, V], keys_max: int) -> None:
        self._answer, self._keys_max = answer, keys_max
        self._next: _Batch[K, V] | None = None

    async def ask(self, keys: Sequence[K], at_us: int) -> list[V]:
        """An answer per key, in their order, as of `at_us` or later. A caller that is cancelled
        leaves the others alone.
        """
        batch = self._next
        if batch is None or len(batch.keys) + len(keys) > self._keys_max:
            batch = self._next = _Batch()
            batch.answers = asyncio.create_task(self._run(batch))
        batch.keys.update(dict.fromkeys(keys))
        batch.at_us = max(batch.at_us, at_us)
        assert batch.answers is not None
        answers = await asyncio.shield(batch.answers)
        return [answers[key] for key in keys]

    async def _run(self, batch: _Batch[K, V]) -> Mapping[K, V]:
        await asyncio.sleep(0)  # whoever is ready in this turn of the loop comes along
        if self._next is batch:
            self._next = None
        return await self._answer(list(batch.keys), batch.at_us)
