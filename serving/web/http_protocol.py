"""uvicorn's HTTP protocol with limits on what arrives before a request is authenticated.

uvicorn with httptools bounds neither the headers nor the time in which they arrive. The parser
copies an incomplete header at every read, so one long header takes quadratic time.
"""

import asyncio
from typing import Any

import orjson
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from contracts.config.groups.serving import ServingSettings
from contracts.config.settings import settings

log = structlog.get_logger("serving")
_TITLES = {431: b"Request Header Fields Too Large", 408: b"Request Timeout"}


class HeadersTooLargeError(Exception):
    """The headers of a request exceed `header_bytes_max` or `headers_max`; the answer is 431."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """Answers 431 to headers over `header_bytes_max` or `headers_max`, and closes a connection
    whose headers do not arrive within `header_timeout_s`.

    The bytes are also counted between two events of the parser, which bounds an incomplete header,
    trailer or chunk.
    """

    def __init__(
        self, *arguments: Any, limits: ServingSettings | None = None, **fields: Any
    ) -> None:
        super().__init__(*arguments, **fields)
        self._limits = limits or settings()
        self._header_bytes = 0
        self._unparsed_bytes = 0
        self._is_too_large = False
        self._is_in_headers = True
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time in which the first headers must arrive."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._cancel_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse `data`, unless the limit is exceeded."""
        if self.transport.is_closing():
            return
        if self._is_in_headers and self._deadline is None:
            self._start_deadline()
        self._unparsed_bytes += len(data)
        super().data_received(data)
        if self._unparsed_bytes > self._limits.header_bytes_max:
            self._is_too_large = True
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Count the headers of the next request."""
        self._header_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Raises HeadersTooLargeError."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Raises HeadersTooLargeError."""
        self._count(len(name) + len(value))
        super().on_header(name, value)
        if len(self.headers) > self._limits.headers_max:
            self._refuse()

    def on_headers_complete(self) -> None:
        """The headers have arrived in time."""
        self._unparsed_bytes = 0
        self._is_in_headers = False
        self._cancel_deadline()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A body has a separate limit, `LimitBody`."""
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The next bytes are headers again."""
        self._unparsed_bytes = 0
        self._is_in_headers = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that cannot be parsed: 431 when its headers are too large."""
        if self.transport.is_closing():
            return
        if not self._is_too_large:
            super().send_400_response(msg)
            return
        limits = self._limits
        self._close_with(
            431,
            "headers_too_large",
            f"At most {limits.header_bytes_max} bytes in {limits.headers_max} headers are allowed.",
        )

    def _count(self, count: int) -> None:
        self._header_bytes += count
        if self._header_bytes > self._limits.header_bytes_max:
            self._refuse()

    def _refuse(self) -> None:
        self._is_too_large = True
        raise HeadersTooLargeError

    def _start_deadline(self) -> None:
        self._deadline = self.loop.call_later(self._limits.header_timeout_s, self._on_deadline)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_deadline(self) -> None:
        if not self.transport.is_closing():
            seconds = self._limits.header_timeout_s
            detail = f"The request headers did not arrive within {seconds:g} s."
            self._close_with(408, "header_timeout", detail)

    def _close_with(self, status: int, code: str, detail: str) -> None:
        """Close with a problem document, unless the response of a request is on its way."""
        log.warning("connection closed", code=code)
        if self.cycle is None or self.cycle.response_complete:
            fields = {"title": code.replace("_", " "), "status": status, "code": code}
            body = orjson.dumps({**fields, "detail": detail})
            head = b"HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\n" % (
                status,
                _TITLES[status],
            )
            head += b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
            self.transport.write(head + body)
        self.transport.close()
