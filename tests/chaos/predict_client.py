"""Requests to /predict during a run, and what was wrong with the answers.

`python -m tests.chaos.predict_client FILE CLIENTS PAUSE_S SYMBOL…` sends until SIGTERM. Each answer
is a line of FILE; address and key are those of the settings.
"""

import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import TextIO

import orjson

from bench.load.http_load import request
from bench.report.figures import quantile
from contracts.config.settings import settings
from stack import secrets

TIMEOUT_S = 30.0
REFUSED, CUT = 0, -1  # in place of a status: no connection; a connection that ended in an answer
RETRY_S = 0.1
REFUSAL_MS_MAX = 250.0
ANSWERS = (200, 503)


@dataclass(frozen=True, slots=True)
class Answer:
    """One request: seconds of the monotonic clock at its end, ms, status, and what is wrong."""

    at_s: float
    ms: float
    status: int
    problem: str = ""

    def line(self) -> str:
        """For `read`."""
        return f"{self.at_s:.3f},{self.ms:.2f},{self.status},{self.problem}\n"


@dataclass
class Summary:
    """Answers of an interval; `p99_ms` is of those with a prediction, None without any."""

    statuses: dict[int, int] = field(default_factory=dict)
    problems: dict[str, int] = field(default_factory=dict)
    p50_ms: float | None = None
    p99_ms: float | None = None
    slow_refusals: int = 0


def check(status: int, headers: Mapping[str, str], body: bytes, fresh_s: float) -> str:
    """What is wrong with an answer, empty if nothing is: an undocumented status, a refusal without
    Retry-After, old features that are not marked as stale.
    """
    if status not in ANSWERS:
        return f"status {status}"
    if status == 503:
        return "" if "retry-after" in headers else "no Retry-After"
    results = orjson.loads(body)["results"]
    old = (one for one in results if one["status"] == "ok" and one["age_s"] > fresh_s)
    return "" if all(one["stale"] for one in old) else "unmarked stale features"


def read(file: Path) -> list[Answer]:
    """The answers in a file so far; a line that is being written is left out."""
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return [_parse(line) for line in lines if line.endswith("\n")]


def _parse(line: str) -> Answer:
    at_s, ms, status, problem = line.rstrip("\n").split(",", 3)
    return Answer(float(at_s), float(ms), int(status), problem)


def summarise(answers: Iterable[Answer], times_s: Sequence[tuple[float, float]]) -> Summary:
    """The answers within these intervals of the monotonic clock, each once."""
    inside = [one for one in answers if any(a <= one.at_s <= b for a, b in times_s)]
    good = [one.ms for one in inside if one.status == 200]
    return Summary(
        dict(Counter(one.status for one in inside)),
        dict(Counter(one.problem for one in inside if one.problem)),
        quantile(good, 0.5) if good else None,
        quantile(good, 0.99) if good else None,
        sum(one.status == 503 and one.ms > REFUSAL_MS_MAX for one in inside),
    )


class Client:
    """One connection that is opened again after every failure."""

    def __init__(self, host: str, port: int, fresh_s: float, out: TextIO) -> None:
        self._address, self._fresh_s, self._out = (host, port), fresh_s, out

    async def run(self, messages: Iterator[bytes], pause_s: float) -> None:
        """Send until it is stopped, back to back or with a pause between two requests."""
        while True:
            try:
                reader, writer = await asyncio.open_connection(*self._address)
            except OSError:
                self._write(time.monotonic(), REFUSED, "")
                await asyncio.sleep(RETRY_S)
                continue
            try:
                await self._converse(reader, writer, messages, pause_s)
            finally:
                writer.close()

    async def _converse(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        messages: Iterator[bytes],
        pause_s: float,
    ) -> None:
        while True:
            began_s = time.monotonic()
            try:
                writer.write(next(messages))
                async with asyncio.timeout(TIMEOUT_S):
                    status, headers, body = await _read(reader)
            except TimeoutError:
                return self._write(began_s, CUT, f"no answer in {TIMEOUT_S:.0f} s")
            except (OSError, asyncio.IncompleteReadError):
                return self._write(began_s, CUT, "")
            self._write(began_s, status, check(status, headers, body, self._fresh_s))
            if headers.get("connection") == "close":
                return None
            await asyncio.sleep(pause_s)

    def _write(self, began_s: float, status: int, problem: str) -> None:
        now_s = time.monotonic()
        self._out.write(Answer(now_s, (now_s - began_s) * 1e3, status, problem).line())


async def _read(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(head[0].split(" ")[1]), headers, body


async def send(file: Path, clients: int, pause_s: float, symbols: Sequence[str]) -> None:
    """Send until SIGTERM."""
    own = settings()
    headers = {"X-API-Key": secrets.api_key(own)}
    url = f"{own.api_url}/predict"
    messages = cycle([request(url, orjson.dumps({"symbols": [name]}), headers) for name in symbols])
    with file.open("a", buffering=1) as out:
        work = [
            asyncio.create_task(
                Client(own.host, own.api_port, own.fresh_s, out).run(messages, pause_s)
            )
            for _ in range(clients)
        ]
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGTERM, lambda: [task.cancel() for task in work]
        )
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*work)


if __name__ == "__main__":
    asyncio.run(send(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))
