"""HTTP as fast as a server answers: a client's requests again and again over a kept connection,
every latency noted.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from urllib.parse import SplitResult, urlsplit

import psutil

from bench.figures import BenchError

PATIENCE_S = 30.0


@dataclass
class Load:
    """Latencies in ms, statuses by number, CPU seconds of the server's processes meanwhile, seconds
    by the clock.
    """

    ms: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    cpu_s: float = 0.0
    wall_s: float = 0.0

    @property
    def per_core(self) -> float:
        """Requests per second of the server's CPU."""
        return len(self.ms) / self.cpu_s


def request(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    """One POST as bytes."""
    parts = urlsplit(url)
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return (
        "\r\n".join(
            [*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        ).encode()
        + body
    )


def run(
    url: str,
    messages: Sequence[bytes],
    clients: int,
    requests: int,
    server: psutil.Process,
    until: Callable[[], bool] | None = None,
) -> Load:
    """Ask `requests` times (or until `until()`) from `clients` connections, each waiting for its
    answer. Raises BenchError.

    Each client begins with another one of `messages` and goes through them all.
    """
    load, left = Load(), [requests]
    before_s, began_s = _cpu_s(server), time.monotonic()
    try:
        asyncio.run(_all(urlsplit(url), messages, clients, load, left, until))
    except (OSError, asyncio.IncompleteReadError) as error:
        raise BenchError(f"the server broke off: {error}", "see its log") from error
    load.wall_s, load.cpu_s = time.monotonic() - began_s, _cpu_s(server) - before_s
    return load


async def _all(
    parts: SplitResult,
    messages: Sequence[bytes],
    clients: int,
    load: Load,
    left: list[int],
    until: Callable[[], bool] | None,
) -> None:
    host, port = parts.hostname or "", parts.port or 80
    await asyncio.gather(
        *(
            _client(host, port, islice(cycle(messages), at, None), load, left, until)
            for at in range(clients)
        )
    )


async def _client(
    host: str,
    port: int,
    messages: Iterator[bytes],
    load: Load,
    left: list[int],
    until: Callable[[], bool] | None,
) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        while left[0] > 0 and not (until and until()):
            left[0] -= 1
            began = time.perf_counter()
            writer.write(next(messages))
            async with asyncio.timeout(PATIENCE_S):
                status = await _answer(reader)
            load.ms.append((time.perf_counter() - began) * 1e3)
            load.statuses[status] = load.statuses.get(status, 0) + 1
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), None
    )
    if length is None:
        raise BenchError("the server answers without a length", "it cannot be measured so")
    await reader.readexactly(int(length.partition(b":")[2]))
    return int(head.split(b" ", 2)[1])


def _cpu_s(server: psutil.Process) -> float:
    """User and system time of a process and all of its children."""
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))
