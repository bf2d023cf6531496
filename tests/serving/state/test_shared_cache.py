"""One question for all processes of a host: who asks, who waits, whose answer counts."""

import asyncio
import signal
import subprocess
import sys

import pytest

from serving.state.shared_answer import shared

HOLDER = """
import asyncio, sys
from pathlib import Path
from serving.state.shared_answer import shared

async def ask():
    print("asking", flush=True)
    await asyncio.sleep(float(sys.argv[2]))
    return b"answer of the other process"

asyncio.run(shared(Path(sys.argv[1]), "q", 60, 60, ask))
"""


class Registry:
    """Counts its questions; answers when it is `open`."""

    def __init__(self):
        self.asked, self.open = 0, asyncio.Event()

    async def __call__(self):
        self.asked += 1
        await self.open.wait()
        return f"answer {self.asked}".encode()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "models" / "registry.json"


@pytest.fixture
def other(file):
    """Another process that asks, for as long as a test says."""
    processes = []

    def start(seconds):
        command = [sys.executable, "-c", HOLDER, str(file), str(seconds)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert processes[-1].stdout.readline() == "asking\n"
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_those_who_ask_together_get_one_answer(file):
    async def story():
        registry = Registry()
        asking = [asyncio.create_task(shared(file, "q", 60, 60, registry)) for _ in range(5)]
        await asyncio.sleep(0.3)  # all of them wait by now, one in `ask`
        registry.open.set()
        return registry.asked, {answer.text for answer in await asyncio.gather(*asking)}

    assert asyncio.run(story()) == (1, {b"answer 1"})


@pytest.mark.parametrize(
    ("question", "age_s_max", "asked"), [("q", 60, 1), ("another", 60, 2), ("q", 0, 2)]
)
def test_an_answer_counts_for_its_question_and_its_time(file, question, age_s_max, asked):
    async def story():
        registry = Registry()
        registry.open.set()
        await shared(file, "q", 60, 60, registry)
        answer = await shared(file, question, age_s_max, 60, registry)
        return registry.asked, answer.text, answer.age_s > 0

    assert asyncio.run(story()) == (asked, f"answer {asked}".encode(), asked == 1)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"nonsense",
        b'{"question":"q","at_s":"x","answer":"y"}',
        b'{"question":"q","at_s":1e18,"answer":"y"}',
    ],
)
def test_a_note_that_cannot_be_read_or_is_of_the_future_is_none(file, text):
    async def story():
        registry = Registry()
        registry.open.set()
        return (await shared(file, "q", 1e12, 60, registry)).text

    file.parent.mkdir()
    file.write_bytes(text)
    assert asyncio.run(story()) == b"answer 1"


def test_one_process_asks_and_the_other_takes_its_answer(file, other):
    async def story():
        registry = Registry()
        return (await shared(file, "q", 60, 60, registry)).text, registry.asked

    other(1)
    assert asyncio.run(story()) == (b"answer of the other process", 0)


def test_one_that_is_killed_while_it_asks_leaves_the_turn_to_the_next(file, other):
    async def story():
        registry = Registry()
        registry.open.set()
        waiting = asyncio.create_task(shared(file, "q", 60, 60, registry))
        await asyncio.sleep(0.3)
        assert registry.asked == 0
        process.send_signal(signal.SIGKILL)
        return (await waiting).text

    process = other(600)
    assert asyncio.run(story()) == b"answer 1"


def test_waiting_for_another_process_has_an_end(file, other):
    other(600)
    with pytest.raises(TimeoutError):
        asyncio.run(shared(file, "q", 60, 0.2, Registry()))
