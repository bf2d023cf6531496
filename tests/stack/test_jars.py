"""Jars: pinned by SHA-256, downloaded once, repaired when damaged. The last tests download one
small jar.
"""

import gc
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.config import paths
from contracts.errors import ServiceError
from stack import jars
from stack.jars import Jar, download_jars, is_intact, locked, sha256_of

# The Maven client leaves its connections to the garbage collector.
leaves_sockets = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)

SMALL = next(jar for jar in locked("kafka") if jar.coordinate.startswith("net.sf.jopt-simple"))


def test_the_lock_pins_every_root_once():
    for role, roots in jars.ROOTS.items():
        pinned = [jar.coordinate for jar in locked(role)]
        assert {root.removesuffix("!") for root in roots} <= set(pinned)
        assert len(set(pinned)) == len(pinned)
    everything = [jar for role in jars.ROOTS for jar in locked(role)]
    assert all(
        re.fullmatch(r"[0-9a-f]{64}", jar.sha256) and jar.size_bytes > 0 for jar in everything
    )
    assert len({jar.file for jar in everything}) == len({jar.sha256 for jar in everything})


def test_the_lock_reads_as_one_line_a_jar_and_names_no_server():
    text = jars.LOCK_FILE.read_text()
    assert (
        text.count("\n") == sum(len(locked(role)) for role in jars.ROOTS) + 2 * len(jars.ROOTS) + 2
    )
    assert "://" not in text


def test_the_version_of_a_role_is_that_of_its_first_root():
    assert jars.version_of("kafka") == "4.3.1"


def test_missing_damaged_and_half_jars_are_noticed(tmp_path):
    file = tmp_path / "a-1.jar"
    file.write_bytes(b"whole")
    jar = Jar("g:a:1", sha256_of(file), 5)
    assert is_intact(tmp_path, jar)
    file.write_bytes(b"whole"[:3])
    assert not is_intact(tmp_path, jar)
    file.write_bytes(b"whoIe")
    assert not is_intact(tmp_path, jar)
    file.unlink()
    assert not is_intact(tmp_path, jar)


def test_the_cache_is_below_home_unless_it_is_named(make_settings, tmp_path):
    assert paths.jars(make_settings(cache=None)) == tmp_path / "tick" / "jars"
    assert paths.jars(make_settings(cache=tmp_path / "shared")) == tmp_path / "shared"


def test_an_empty_cache_lacks_everything(make_settings, tmp_path):
    settings = make_settings(cache=tmp_path / "none")
    assert len(jars.find_missing(settings)) == sum(len(locked(role)) for role in ("kafka", "flink"))


def test_an_object_store_needs_its_jar_too(make_settings, tmp_path):
    settings = make_settings(cache=tmp_path / "none", warehouse_uri="s3://lake/tick")
    assert {jar.coordinate for jar in locked("s3")} < {
        jar.coordinate for jar in jars.find_missing(settings)
    }
    assert set(locked("s3")) < set(jars.flink_jars(settings))


@pytest.fixture(autouse=True)
def collect_sockets() -> Iterator[None]:
    """Close them inside the test that opened them."""
    yield
    gc.collect()


@pytest.fixture
def only_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock with one small jar."""
    lock = tmp_path / "lock.json"
    entry = {"coordinate": SMALL.coordinate, "sha256": SMALL.sha256, "size_bytes": SMALL.size_bytes}
    lock.write_text(json.dumps({"kafka": [entry], "flink": []}))
    monkeypatch.setattr(jars, "locked", lambda role: locked(role, lock))
    return lock


@pytest.mark.integration
@leaves_sockets
def test_a_damaged_jar_is_fetched_again_and_others_stay(only_small, make_settings, tmp_path):
    settings = make_settings(cache=tmp_path / "cache")
    reports = []
    jars.ensure_downloaded(settings, lambda *report: reports.append(report))
    file = tmp_path / "cache" / SMALL.file
    assert sha256_of(file) == SMALL.sha256
    assert reports[-1] == ("fetch jars", SMALL.size_bytes, SMALL.size_bytes)
    assert all(0 < done <= total for _, done, total in reports)

    written_ns = file.stat().st_mtime_ns
    jars.ensure_downloaded(settings)
    assert file.stat().st_mtime_ns == written_ns

    file.write_bytes(file.read_bytes()[:1000])
    (tmp_path / "cache" / "mine.txt").write_text("kept")
    jars.ensure_downloaded(settings)
    assert sha256_of(file) == SMALL.sha256
    assert sorted(found.name for found in (tmp_path / "cache").iterdir()) == [
        SMALL.file,
        "mine.txt",
    ]


@pytest.mark.integration
@leaves_sockets
def test_another_file_than_the_pinned_one_is_refused(tmp_path):
    with pytest.raises(ServiceError, match="is not the pinned file"):
        download_jars((Jar(SMALL.coordinate, "0" * 64, SMALL.size_bytes),), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
@leaves_sockets
def test_a_jar_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(
        ServiceError, match="cannot download net.sf.jopt-simple:jopt-simple:0.0"
    ) as caught:
        download_jars((Jar("net.sf.jopt-simple:jopt-simple:0.0", "0" * 64, 1),), tmp_path)
    assert "tick up" in caught.value.hint


@pytest.mark.integration
@leaves_sockets
def test_the_lock_can_be_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(jars, "ROOTS", {"kafka": (SMALL.coordinate,), "flink": (SMALL.coordinate,)})
    lock = tmp_path / "new.json"
    assert jars.relock(lock=lock) == 2
    assert locked("kafka", lock) == locked("flink", lock) == (SMALL,)
