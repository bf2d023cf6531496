"""Orphan files: only files that no snapshot needs are deleted, however their paths are written."""

from pathlib import Path

import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from pyarrow.fs import FSSpecHandler, PyFileSystem
from pyiceberg.io.pyarrow import PyArrowFileIO

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from feature_store.backfill import staging
from lakehouse.maintenance import orphan_files
from lakehouse.schemas import SILVER
from lakehouse.tables import Lakehouse
from tests.support import parity_tables

LATER_US = 4_000_000_000_000_000


@pytest.fixture
def table(tmp_path):
    """Silver after two commits."""
    settings = Settings(home=tmp_path)
    Lakehouse(settings).create()
    for seed in (1, 2):
        Lakehouse(settings).append_ticks(parity_tables.ticks(seed=seed, count=10))
    return Lakehouse(settings).table(SILVER)


def folder(table) -> Path:
    return Path(table.location().removeprefix("file://"))


def test_a_table_without_orphans_keeps_every_file(table):
    before = set(folder(table).rglob("*"))
    assert orphan_files.remove(table, LATER_US) == (0, 0)
    assert set(folder(table).rglob("*")) == before


def test_orphans_are_counted_with_their_bytes(table):
    for name, size in (("data/a.parquet", 10), ("metadata/b.avro", 7)):
        (folder(table) / name).write_bytes(bytes(size))
    assert orphan_files.remove(table, LATER_US) == (2, 17)
    assert orphan_files.remove(table, LATER_US) == (0, 0)


def test_a_file_as_old_as_the_bound_stays(table):
    orphan = folder(table) / "data" / "a.parquet"
    orphan.touch()
    written_us = orphan.stat().st_mtime_ns // 1000
    assert orphan_files.remove(table, written_us) == (0, 0)
    assert orphan_files.remove(table, written_us + 1) == (1, 0)


def test_a_missing_file_is_named_with_what_to_do(table):
    (needed, *_) = sorted((folder(table) / "data").rglob("*.parquet"))
    needed.unlink()
    orphan = folder(table) / "data" / "a.parquet"
    orphan.touch()
    with pytest.raises(DatasetError, match=rf"silver.tick_data lacks 1 files.*{needed.name}") as e:
        orphan_files.remove(table, LATER_US)
    assert "tick lake rollback" in e.value.hint
    assert orphan.exists()


def test_a_dry_run_counts_and_deletes_nothing(table):
    orphan = folder(table) / "data" / "a.parquet"
    orphan.write_bytes(bytes(3))
    assert orphan_files.remove(table, LATER_US, dry=True) == (1, 3)
    assert orphan.exists()


@pytest.fixture
def bucket_table(tmp_path, monkeypatch):
    """Silver after two commits in a bucket: a folder behind the interface of an object store, which
    has no folders to create.
    """
    folder = DirFileSystem(str(tmp_path), LocalFileSystem(auto_mkdir=True))
    bucket = PyFileSystem(FSSpecHandler(folder))
    monkeypatch.setattr(PyArrowFileIO, "_initialize_fs", lambda _io, _scheme, _netloc=None: bucket)
    (tmp_path / "lake").mkdir()
    settings = Settings(home=tmp_path / "home", warehouse_uri="s3://lake/warehouse")
    Lakehouse(settings).create()
    for seed in (1, 2):
        Lakehouse(settings).append_ticks(parity_tables.ticks(seed=seed, count=10))
    return Lakehouse(settings).table(SILVER)


def test_orphans_in_a_bucket_are_deleted_and_what_is_needed_stays(bucket_table, tmp_path):
    stored = tmp_path / "lake" / "warehouse" / "silver" / "tick_data"
    before = set(stored.rglob("*"))
    orphan = stored / "data" / "a.parquet"
    orphan.write_bytes(bytes(10))
    assert orphan_files.remove(bucket_table, LATER_US) == (1, 10)
    assert set(stored.rglob("*")) == before
    assert bucket_table.scan().to_arrow().num_rows == 44


def test_what_dropped_staging_tables_left_behind_is_deleted(table):
    lake = Lakehouse(Settings(home=folder(table).parents[3]))
    dropped, used = staging.stage(lake, "dropped"), staging.stage(lake, "used")
    staging.drop(lake, dropped)
    staged = lake.settings.warehouse / "staging"
    assert {path.name for path in staged.glob("*")} == {"dropped", "used"}
    assert orphan_files.remove_dropped(lake, "staging", 0) == (0, 0)
    assert orphan_files.remove_dropped(lake, "staging", LATER_US, dry=True)[0] == 1
    assert orphan_files.remove_dropped(lake, "staging", LATER_US)[0] == 1
    assert not list((staged / "dropped").rglob("*.json"))
    assert lake.table(used).schema()


def test_a_lakehouse_without_staging_tables_has_nothing_to_delete(table):
    lake = Lakehouse(Settings(home=folder(table).parents[3]))
    assert orphan_files.remove_dropped(lake, "staging", LATER_US) == (0, 0)


@pytest.mark.parametrize("uri", ["/a/b", "file:/a/b", "file:///a/b"])
def test_one_file_has_one_path_however_its_uri_is_written(uri):
    assert orphan_files._local(uri) == "/a/b"


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("/t/.a.parquet.crc", "/t/a.parquet"),
        ("/t/a.parquet", "/t/a.parquet"),
        ("/t/a.crc", "/t/a.crc"),
        ("/t/.hidden", "/t/.hidden"),
    ],
)
def test_a_checksum_belongs_to_the_file_of_its_name(path, owner):
    assert orphan_files._owner(path) == owner
