"""Requests that come together: one question to the store for all of them, and each gets its own
answer or reason.
"""

import asyncio

from serving.core.micro_batch import MicroBatcher


class Told:
    """Answers with the key in capitals, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.moments: list[int] = []

    async def __call__(self, keys, at_us):
        self.asked.append(list(keys))
        self.moments.append(at_us)
        await asyncio.sleep(0.01)
        if "bad" in keys:
            raise KeyError("bad")
        return {key: key.upper() for key in keys}


def test_what_comes_together_is_asked_once_and_answered_in_order():
    async def story():
        told = Told()
        batcher = MicroBatcher(told, 100)
        found = await asyncio.gather(
            batcher.get_answers(["b", "a", "b"], 5),
            batcher.get_answers(["c", "a"], 9),
            batcher.get_answers(["a"], 5),
        )
        assert (
            found == [["B", "A", "B"], ["C", "A"], ["A"]]
            and told.asked == [["b", "a", "c"]]
            and told.moments == [9]
        )
        assert await batcher.get_answers(["a"], 5) == ["A"] and told.asked[1:] == [["a"]], (
            "nothing is kept for later"
        )

    asyncio.run(story())


def test_a_question_that_comes_during_a_batch_gets_the_next_one():
    async def story():
        told = Told()
        batcher = MicroBatcher(told, 100)
        first = asyncio.create_task(batcher.get_answers(["a"], 5))
        await asyncio.sleep(0.005)
        assert await batcher.get_answers(["a"], 5) == ["A"] == await first
        assert told.asked == [["a"], ["a"]]

    asyncio.run(story())


def test_a_full_batch_begins_another():
    async def story():
        told = Told()
        batcher = MicroBatcher(told, 2)
        found = await asyncio.gather(*(batcher.get_answers([key], 5) for key in "abcde"))
        assert found == [[key.upper()] for key in "abcde"] and told.asked == [
            ["a", "b"],
            ["c", "d"],
            ["e"],
        ]
        assert await batcher.get_answers(["x", "y", "z"], 5) == ["X", "Y", "Z"], (
            "one request is never cut"
        )

    asyncio.run(story())


def test_a_caller_that_leaves_takes_nobody_along_and_a_failure_is_told_to_all():
    async def story():
        batcher = MicroBatcher(Told(), 100)
        leaving, staying = (asyncio.create_task(batcher.get_answers([key], 5)) for key in "ab")
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying == ["B"] and leaving.cancelled()
        found = await asyncio.gather(
            batcher.get_answers(["a"], 5), batcher.get_answers(["bad"], 5), return_exceptions=True
        )
        assert [type(each) for each in found] == [KeyError, KeyError]
        assert await batcher.get_answers(["a"], 5) == ["A"]

    asyncio.run(story())
