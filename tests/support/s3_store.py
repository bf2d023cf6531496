"""A small S3 store on loopback with the defect of SeaweedFS before 4.02.

Signed chunks with a checksum trailer are stored as received, framing included.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

DECODED = ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]

    def do_PUT(self) -> None:
        body = self._body()
        framed = self.headers.get("x-amz-content-sha256") in DECODED
        self.objects[urlsplit(self.path).path] = _without_framing(body) if framed else body
        self._answer(200, headers={"ETag": '"part"'})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def do_POST(self) -> None:
        """Multipart upload of one part: the object was stored when the part arrived."""
        self._body()
        begins = "uploads" in parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        name = "InitiateMultipartUploadResult" if begins else "CompleteMultipartUploadResult"
        self._answer(200, f"<{name}><UploadId>1</UploadId><ETag>part</ETag></{name}>".encode())

    def do_GET(self) -> None:
        content = self.objects.get(urlsplit(self.path).path)
        if content is None:
            self._answer(404)
            return
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1 if last else None]
        span = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
        self._answer(206, part, {"Content-Range": span} if part else {})

    def do_HEAD(self) -> None:
        content = self.objects.get(urlsplit(self.path).path)
        self._answer(404 if content is None else 200, b"" if content is None else content)

    def do_DELETE(self) -> None:
        self.objects.pop(urlsplit(self.path).path, None)
        self._answer(204)

    def _answer(self, code: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if code != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Do not log."""


def _without_framing(body: bytes) -> bytes:
    """The content of `SIZE[;chunk-signature=…]\\r\\nCONTENT\\r\\n…0…`; trailers are left out."""
    content, at = b"", 0
    while True:
        line = body.index(b"\r\n", at)
        size = int(body[at:line].partition(b";")[0], 16)
        if size == 0:
            return content
        content += body[line + 2 : line + 2 + size]
        at = line + 2 + size + 2


@contextmanager
def store_without_trailers() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Its URL, and the stored objects by path."""
    objects: dict[str, bytes] = {}
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Handler", (_Handler,), {"objects": objects})
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", objects
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
