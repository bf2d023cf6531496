"""An HTTP server on loopback for the duration of a block."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """Serve requests with `handler` on a free port, which is yielded, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    # It looks for the end every 20 ms; by default every 500.
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
