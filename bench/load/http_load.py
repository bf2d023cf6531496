"""HTTP load: clients send requests back to back over keep-alive connections, latencies recorded."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from urllib.parse import SplitResult, urlsplit

import psutil

from bench.cost.process import tree_cpu_s
from bench.errors import BenchError

RESPONSE_TIMEOUT_S = 30.0


@dataclass
class Load:
    """Latencies in ms, counts by status, CPU seconds of the server's processes, wall seconds."""

    ms: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    cpu_s: float = 0.0
    wall_s: float = 0.0

    @property
    def per_core(self) -> float:
        """Requests per second of the server's CPU."""
        return len(self.ms) / self.cpu_s


def request(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    """One raw POST request."""
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


def send_requests(
    url: str,
    messages: Sequence[bytes],
    clients: int,
    requests: int,
    server: psutil.Process,
    until: Callable[[], bool] | None = None,
) -> Load:
    """Send `requests` requests (or until `until()`) over `clients` connections, closed loop.

    Each client cycles through `messages` from a different one on. Raises BenchError if the server
    closes a connection, does not respond, or has died.
    """
    load, left = Load(), [requests]
    before_s, began_s = tree_cpu_s(server), time.monotonic()
    try:
        asyncio.run(_run_clients(urlsplit(url), messages, clients, load, left, until))
    except TimeoutError as error:
        raise BenchError(
            f"the server did not respond within {RESPONSE_TIMEOUT_S:g} s",
            "see the log of the server",
        ) from error
    except (OSError, asyncio.IncompleteReadError) as error:
        raise BenchError(
            f"the server closed a connection: {error}", "see the log of the server"
        ) from error
    load.wall_s = time.monotonic() - began_s
    load.cpu_s = tree_cpu_s(server) - before_s
    return load


async def _run_clients(
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
            _run_client(host, port, islice(cycle(messages), first, None), load, left, until)
            for first in range(clients)
        )
    )


async def _run_client(
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
            async with asyncio.timeout(RESPONSE_TIMEOUT_S):
                status = await _read_response(reader)
            load.ms.append((time.perf_counter() - began) * 1e3)
            load.statuses[status] = load.statuses.get(status, 0) + 1
    finally:
        writer.close()


async def _read_response(reader: asyncio.StreamReader) -> int:
    """Read one response completely; returns its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), None
    )
    if length is None:
        raise BenchError(
            "the response has no Content-Length", "this client cannot measure chunked responses"
        )
    await reader.readexactly(int(length.partition(b":")[2]))
    return int(head.split(b" ", 2)[1])
