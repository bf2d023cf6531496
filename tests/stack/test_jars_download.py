"""Downloads from a Maven repository on loopback: verified, resumed, explained when they fail."""

import gc
import hashlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from contracts.errors import ServiceError
from stack import jars
from stack.jars import Jar, download_jars
from tests.support.loopback import serving

# The Maven client leaves its connections to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)
CONTENT = {name: f"the jar {name}".encode() * 100 for name in ("one", "two")}


def pinned(name: str) -> Jar:
    content = CONTENT[name]
    return Jar(f"org.example:{name}:1.0", hashlib.sha256(content).hexdigest(), len(content))


class Repository:
    """Its files by name, what was requested, and the names whose download is cut off."""

    def __init__(self) -> None:
        self.files = {f"{name}-1.0.jar": content for name, content in CONTENT.items()}
        self.requests: list[str] = []
        self.cut: set[str] = set()


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Iterator[Repository]:
    """A running repository, which is the only one in the user's Maven settings."""
    state = Repository()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            content = state.files.get(name)
            if content is None:
                self.send_error(404)
                return
            state.requests.append(name)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:100] if name in state.cut else content)

        def log_message(self, *_: object) -> None:
            """Do not log."""

    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    with serving(Handler) as port:
        config = tmp_path / "user" / ".config" / "jgo.conf"
        config.parent.mkdir(parents=True)
        config.write_text(f"[repositories]\nlocal = http://127.0.0.1:{port}\n")
        yield state
        gc.collect()


def test_a_jar_is_stored_under_its_name_and_counted_in_bytes(repository, tmp_path):
    reports = []
    download_jars((pinned("one"), pinned("two")), tmp_path / "cache", lambda *r: reports.append(r))
    assert {file.name: file.read_bytes() for file in (tmp_path / "cache").iterdir()} == (
        repository.files
    )
    total = sum(map(len, CONTENT.values()))
    assert reports[-1] == ("fetch jars", total, total)
    assert [done for _, done, _ in reports] == sorted(done for _, done, _ in reports)


def test_a_changed_jar_is_refused_and_the_others_stay(repository, tmp_path):
    repository.files["two-1.0.jar"] = CONTENT["two"].upper()
    with pytest.raises(ServiceError, match=r"org\.example:two:1\.0 is not the pinned") as caught:
        download_jars((pinned("one"), pinned("two")), tmp_path)
    assert "proxy or mirror" in caught.value.hint
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_file()) == ["one-1.0.jar"]


def test_a_download_that_is_cut_off_leaves_no_part_of_the_jar(repository, tmp_path):
    repository.cut = {"one-1.0.jar"}
    with pytest.raises(ServiceError, match=r"cannot download org\.example:one:1\.0") as caught:
        download_jars((pinned("one"),), tmp_path / "cache")
    assert "downloads only what is missing" in caught.value.hint
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_next_run_downloads_only_what_is_missing(
    repository, tmp_path, make_settings, monkeypatch
):
    settings = make_settings(cache=tmp_path / "cache")
    entries = {"kafka": (pinned("one"),), "flink": (pinned("two"),)}
    monkeypatch.setattr(jars, "locked", lambda role: entries[role])
    repository.cut = {"two-1.0.jar"}
    with pytest.raises(ServiceError, match="two"):
        jars.ensure_downloaded(settings)
    repository.cut.clear()
    repository.requests.clear()
    jars.ensure_downloaded(settings)
    assert repository.requests == ["two-1.0.jar"]
    assert jars.find_missing(settings) == ()
    jars.ensure_downloaded(settings)
    assert repository.requests == ["two-1.0.jar"]


def test_without_a_network_the_jar_and_the_command_are_named(repository, tmp_path):
    config = tmp_path / "user" / ".config" / "jgo.conf"
    config.write_text("[repositories]\nlocal = http://127.0.0.1:9\n")  # nothing listens there
    with pytest.raises(ServiceError, match=r"cannot download org\.example:one") as caught:
        download_jars((pinned("one"),), tmp_path / "cache")
    assert "`tick up`" in caught.value.hint


def test_a_jar_that_the_repository_does_not_have_is_named(repository, tmp_path):
    del repository.files["one-1.0.jar"]
    with pytest.raises(ServiceError, match=r"cannot download org\.example:one"):
        download_jars((pinned("one"),), tmp_path / "cache")


def test_a_lock_is_written_as_it_is_read(repository, tmp_path, monkeypatch):
    monkeypatch.setattr(
        jars, "ROOTS", {"flink": ("org.example:two:1.0", "org.example:one:1.0"), "s3": ()}
    )
    lock = tmp_path / "lock.json"
    reports = []
    assert jars.relock(lambda *report: reports.append(report), lock) == 2
    assert jars.locked("flink", lock) == (pinned("one"), pinned("two"))
    assert jars.locked("s3", lock) == ()
    assert reports == [("lock flink", 1, 2), ("lock flink", 2, 2)]
