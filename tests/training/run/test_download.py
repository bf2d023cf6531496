"""A download against a real HTTP server on a free port: whole, resumed, broken off, altered,
refused, and without any network.
"""

import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from training.run import download
from training.run.download import DownloadError, download_file

CONTENT = bytes(range(256)) * 20_000  # five pieces
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT; how, and what it was asked for, is in its attributes."""

    ranges, break_after, length = True, None, True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_port}/file.zip"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.path != "/file.zip":
            self.send_error(404)
            return
        first = (
            int(wanted.removeprefix("bytes=").removesuffix("-"))
            if wanted and self.server.ranges
            else 0
        )
        if first >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[first:]
        self.send_response(206 if first else 200)
        if self.server.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.break_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def get(url, target, sha256=SHA256, bytes_max=1 << 30, steps=None):
    return download_file(
        url,
        target,
        sha256,
        5,
        bytes_max,
        lambda *step: steps.append(step) if steps is not None else None,
    )


def test_a_file_comes_whole_with_progress_and_is_not_fetched_twice(server, tmp_path):
    target, steps = tmp_path / "deep" / "file.zip", []
    assert get(server.url, target, steps=steps) == target
    assert target.read_bytes() == CONTENT
    assert steps[-1] == ("download", len(CONTENT), len(CONTENT))
    get(server.url, target)
    assert len(server.asked) == 1
    target.write_bytes(b"altered")
    assert get(server.url, target).read_bytes() == CONTENT
    assert [file.name for file in target.parent.iterdir()] == ["file.zip"]


def test_what_a_kill_left_is_continued(server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(CONTENT[:3_000_001])
    assert get(server.url, tmp_path / "file.zip").read_bytes() == CONTENT
    assert server.asked == ["bytes=3000001-"]


def test_a_connection_that_breaks_keeps_its_bytes_and_the_next_try_goes_on(server, tmp_path):
    server.break_after = 2_000_000
    with pytest.raises(DownloadError, match="cannot be fetched") as broken:
        get(server.url, tmp_path / "file.zip")
    assert "2,000,000 bytes are saved" in broken.value.hint
    assert not (tmp_path / "file.zip").exists()
    server.break_after = None
    assert get(server.url, tmp_path / "file.zip").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=2000000-"]


def test_a_server_without_ranges_begins_again(server, tmp_path):
    server.ranges = server.length = False
    (tmp_path / "file.zip.part").write_bytes(b"something else")
    assert get(server.url, tmp_path / "file.zip").read_bytes() == CONTENT


def test_a_kill_just_before_the_end_needs_no_byte_more(server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(CONTENT)
    assert get(server.url, tmp_path / "file.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("start", [b"", b"another file", CONTENT + b"more"])
def test_another_digest_is_refused_and_nothing_of_it_stays(server, tmp_path, start):
    wrong = SHA256 if start else "0" * 64
    if start:
        (tmp_path / "file.zip.part").write_bytes(start)
    with pytest.raises(DownloadError, match=f"not {wrong}"):
        get(server.url, tmp_path / "file.zip", wrong)
    assert list(tmp_path.iterdir()) == []
    assert get(server.url, tmp_path / "file.zip").read_bytes() == CONTENT


def test_no_network_a_refusal_and_too_long_a_file_are_said(server, tmp_path):
    with pytest.raises(DownloadError, match="404 Not Found"):
        get(server.url.replace("file", "none"), tmp_path / "file.zip")
    with pytest.raises(DownloadError, match="longer than 1,000,000 bytes"):
        get(server.url, tmp_path / "file.zip", bytes_max=1_000_000)
    with socket.socket() as deaf:  # bound, and listening to no one
        deaf.bind(("127.0.0.1", 0))
        with pytest.raises(DownloadError, match="cannot be fetched: .*refused") as away:
            get(f"http://127.0.0.1:{deaf.getsockname()[1]}/file.zip", tmp_path / "file.zip")
    assert "--data" in away.value.hint


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://example.org/x", "nothing"])
def test_only_the_web_is_fetched(url, tmp_path):
    with pytest.raises(DownloadError, match="not a web address"):
        get(url, tmp_path / "x")


def test_pieces_are_smaller_than_the_file():
    assert len(CONTENT) > 3 * download.CHUNK_BYTES
