"""Headers before authentication: bounded in bytes, in number and in time, over real sockets."""

import asyncio
import tracemalloc

import pytest
import uvicorn
from starlette.responses import Response
from uvicorn.server import ServerState

from contracts.config.settings import Settings
from serving.web.http_protocol import BoundedHttpProtocol

LIMITS = Settings(header_bytes_max=2048, headers_max=10, header_timeout_s=0.2)
PIECE = b"x" * 65_536
HEAD = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"


async def app(scope, receive, send):
    while (message := await receive()).get("more_body"):
        pass
    await Response(b"%d" % len(message.get("body", b"")))(scope, receive, send)


def talk(story, limits=LIMITS):
    """Run `story(reader, writer)` against a server with `limits`."""

    async def run():
        config = uvicorn.Config(app, lifespan="off", log_level="critical", timeout_keep_alive=30)
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: BoundedHttpProtocol(config, state, {}, limits=limits), "127.0.0.1", 0
        )
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            try:
                return await story(reader, writer)
            finally:
                writer.close()
                server.close()

    return asyncio.run(run())


async def exchange(reader, writer, *pieces: bytes) -> bytes:
    """What the server answers until it closes the connection."""
    received = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        received = await reader.read()
    except ConnectionError:
        pass
    return received


def answer(*pieces: bytes, limits=LIMITS) -> bytes:
    return talk(lambda reader, writer: exchange(reader, writer, *pieces), limits)


def padded(length: int) -> bytes:
    """A complete request of one header with `length` bytes."""
    return HEAD + b"Connection: close\r\nA: " + b"x" * length + b"\r\n\r\n"


def test_headers_within_the_limits_are_answered():
    assert answer(padded(1900)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "request_",
    [
        padded(2100),
        padded(60_000),
        HEAD + b"".join(b"A%d: b\r\n" % at for at in range(10)) + b"\r\n",
        b"GET /" + b"x" * 3000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=["bytes", "many bytes", "count", "target"],
)
def test_complete_headers_beyond_a_limit_are_431(request_):
    text = answer(request_)
    assert text.startswith(b"HTTP/1.1 431 ")
    assert b'"code":"headers_too_large"' in text and b"xxx" not in text


@pytest.mark.parametrize(
    "begin",
    [
        HEAD + b"A: ",
        HEAD,
        b"GET /",
        HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: ",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;",
    ],
    ids=["value", "name", "target", "trailer", "chunk extension"],
)
def test_an_endless_header_ends_the_connection_with_little_memory(begin):
    """64 MiB are offered; uvicorn alone keeps all of it, and copies it at every read."""
    tracemalloc.start()
    try:
        answer(begin, *[PIECE] * 1024)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4_000_000


def test_a_flood_of_headers_ends_the_connection():
    flood = b"".join(b"A%d: b\r\n" % at for at in range(400_000))
    assert b"200" not in answer(HEAD, flood)[:20]


def test_headers_that_do_not_arrive_are_408():
    assert answer(HEAD).startswith(b"HTTP/1.1 408 ")
    assert answer().startswith(b"HTTP/1.1 408 ")


def test_headers_that_trickle_in_get_no_more_time():
    async def story(reader, writer):
        received = asyncio.create_task(reader.read(12))
        writer.write(HEAD + b"A: ")
        while not received.done():
            writer.write(b"x")
            await asyncio.sleep(0.02)
        return await received

    assert talk(story) == b"HTTP/1.1 408"


def test_a_slow_response_and_a_pause_between_requests_are_not_header_time():
    """The time-out of the headers is shorter than the pause."""

    async def story(reader, writer):
        statuses = []
        for _ in range(2):
            writer.write(HEAD + b"\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            statuses.append(head[:12])
            await reader.readexactly(1)
            await asyncio.sleep(2 * LIMITS.header_timeout_s)
        return statuses

    assert talk(story) == [b"HTTP/1.1 200"] * 2


def test_a_long_body_does_not_count_as_header():
    body = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 500000\r\n\r\n"
    assert answer(body, b"y" * 500_000).startswith(b"HTTP/1.1 200")
