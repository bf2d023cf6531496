"""Micro-batching: one call for concurrent requests, and each gets its own answer or exception."""

import asyncio

from serving.core.micro_batch import MicroBatcher


class RecordingAnswers:
    """Answers a key with its capitals, and records the calls. The key `bad` raises KeyError."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.times_us: list[int] = []

    async def __call__(self, keys, at_us):
        self.batches.append(list(keys))
        self.times_us.append(at_us)
        await asyncio.sleep(0.01)
        if "bad" in keys:
            raise KeyError("bad")
        return {key: key.upper() for key in keys}


def test_concurrent_requests_share_a_batch_and_keep_their_order():
    async def story():
        answer_keys = RecordingAnswers()
        batcher = MicroBatcher(answer_keys, 100)
        answers = await asyncio.gather(
            batcher.get_answers(["b", "a", "b"], 5),
            batcher.get_answers(["c", "a"], 9),
            batcher.get_answers(["a"], 5),
        )
        assert answers == [["B", "A", "B"], ["C", "A"], ["A"]]
        assert answer_keys.batches == [["b", "a", "c"]]
        assert answer_keys.times_us == [9]

    asyncio.run(story())


def test_answers_are_not_cached():
    async def story():
        answer_keys = RecordingAnswers()
        batcher = MicroBatcher(answer_keys, 100)
        for _ in range(2):
            assert await batcher.get_answers(["a"], 5) == ["A"]
        assert answer_keys.batches == [["a"], ["a"]]

    asyncio.run(story())


def test_a_request_during_a_call_joins_the_next_batch():
    async def story():
        answer_keys = RecordingAnswers()
        batcher = MicroBatcher(answer_keys, 100)
        first = asyncio.create_task(batcher.get_answers(["a"], 5))
        await asyncio.sleep(0.005)
        assert await batcher.get_answers(["a"], 5) == ["A"] == await first
        assert answer_keys.batches == [["a"], ["a"]]

    asyncio.run(story())


def test_a_full_batch_starts_another_one():
    async def story():
        answer_keys = RecordingAnswers()
        batcher = MicroBatcher(answer_keys, 2)
        answers = await asyncio.gather(*(batcher.get_answers([key], 5) for key in "abcde"))
        assert answers == [[key.upper()] for key in "abcde"]
        assert answer_keys.batches == [["a", "b"], ["c", "d"], ["e"]]

    asyncio.run(story())


def test_a_request_is_never_split():
    async def story():
        answer_keys = RecordingAnswers()
        batcher = MicroBatcher(answer_keys, 2)
        assert await batcher.get_answers(["x", "y", "z"], 5) == ["X", "Y", "Z"]
        assert answer_keys.batches == [["x", "y", "z"]]

    asyncio.run(story())


def test_a_cancelled_request_does_not_cancel_its_batch():
    async def story():
        batcher = MicroBatcher(RecordingAnswers(), 100)
        cancelled, other = (
            asyncio.create_task(batcher.get_answers([key], 5)) for key in ("a", "b")
        )
        await asyncio.sleep(0)
        cancelled.cancel()
        assert await other == ["B"]
        assert cancelled.cancelled()

    asyncio.run(story())


def test_an_exception_is_raised_for_every_request_of_its_batch_only():
    async def story():
        batcher = MicroBatcher(RecordingAnswers(), 100)
        results = await asyncio.gather(
            batcher.get_answers(["a"], 5), batcher.get_answers(["bad"], 5), return_exceptions=True
        )
        assert [type(result) for result in results] == [KeyError, KeyError]
        assert await batcher.get_answers(["a"], 5) == ["A"]

    asyncio.run(story())
