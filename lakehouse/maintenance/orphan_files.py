"""Files below an Iceberg table that no snapshot references, in a local folder or a bucket.

They come from expired snapshots, compacted partitions, failed commits and dropped staging tables.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table

from contracts.errors import DatasetError
from lakehouse.schemas import GOLD
from lakehouse.tables import Lakehouse


class StoredFile(NamedTuple):
    """Size, and time of the last write in ns UTC."""

    size: int
    written_ns: int


def remove(table: Table, before_us: int, *, dry: bool = False) -> tuple[int, int]:
    """Delete unreferenced files last written before `before_us` (µs UTC); returns (files, bytes).

    1. List the files.
    2. Read the newest metadata: a commit in between only adds references.
    3. Delete the old files without a reference (`dry`: only count them).

    Raises DatasetError, and deletes nothing, when a file that a snapshot needs is missing: then
    paths cannot be compared reliably.
    """
    store, folder = _open_store(table, table.location())
    present = dict(_files(store, folder))
    table.refresh()
    needed = _needed(table)
    _require_present(table, needed - present.keys())
    referenced = needed | _metadata(table)
    orphans = {
        path: file
        for path, file in present.items()
        if _owner(path) not in referenced and file.written_ns < before_us * 1000
    }
    if not dry:
        _delete(store, orphans)
    return len(orphans), sum(file.size for file in orphans.values())


def remove_dropped(
    lake: Lakehouse, namespace: str, before_us: int, *, dry: bool = False
) -> tuple[int, int]:
    """Delete what dropped tables of `namespace` left behind, last written before `before_us` (µs
    UTC); returns (files, bytes).

    A namespace is a folder next to those of the other tables, a table a folder in it.
    """
    gold = lake.table(GOLD)
    store, warehouse = _open_store(gold, gold.location().rsplit("/", 2)[0])
    folder = f"{warehouse}/{namespace}"
    # List the files first: a table that is created in between has younger files.
    present = dict(_files(store, folder))
    used = tuple(f"{_local(location)}/" for location in _table_locations(lake, namespace))
    leftovers = {
        path: file
        for path, file in present.items()
        if not path.startswith(used) and file.written_ns < before_us * 1000
    }
    if not dry:
        _delete(store, leftovers)
    return len(leftovers), sum(file.size for file in leftovers.values())


def _table_locations(lake: Lakehouse, namespace: str) -> Iterator[str]:
    with suppress(NoSuchNamespaceError):
        for identifier in lake.catalog.list_tables(namespace):
            with suppress(NoSuchTableError):  # a backfill has just dropped it
                yield lake.catalog.load_table(identifier).location()


def _require_present(table: Table, missing: set[str]) -> None:
    if missing:
        raise DatasetError(
            f"{'.'.join(table.name())} lacks {len(missing)} files, such as {min(missing)}",
            "nothing was deleted; restore the files, or `tick lake rollback` to a snapshot"
            " without them",
        )


def _open_store(table: Table, location: str) -> tuple[FileSystem, str]:
    """The file system of a location, with the keys of the table's catalog, and the path in it."""
    assert isinstance(table.io, PyArrowFileIO)  # the default of every scheme that we configure
    scheme, netloc, _ = PyArrowFileIO.parse_location(location)
    return table.io.fs_by_scheme(scheme, netloc), _local(location)


def _files(store: FileSystem, folder: str) -> Iterator[tuple[str, StoredFile]]:
    """Every file below the folder. A local folder is walked in Python: the live job deletes some
    of its files at the same time, which fails a listing by PyArrow.
    """
    if store.type_name == "local":
        yield from _local_files(Path(folder))
    else:
        selector = FileSelector(folder, recursive=True, allow_not_found=True)
        infos: list[FileInfo] = store.get_file_info(selector)
        for info in infos:
            if info.type == FileType.File:
                yield info.path, StoredFile(info.size, info.mtime_ns)


def _local_files(folder: Path) -> Iterator[tuple[str, StoredFile]]:
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                stat = path.stat()
                yield str(path), StoredFile(stat.st_size, stat.st_mtime_ns)
        except FileNotFoundError:
            continue


def _delete(store: FileSystem, paths: Iterable[str]) -> None:
    for path in paths:
        try:
            store.delete_file(path)
        except FileNotFoundError:
            continue


def _local(uri: str) -> str:
    """The path in its file system: of a local file, Flink writes file:/x and PyIceberg file:///x;
    in a bucket it begins with the name of the bucket.
    """
    scheme, _, path = uri.partition("://")
    if path and scheme != "file":
        return path
    return "/" + uri.removeprefix("file:").lstrip("/")


def _owner(path: str) -> str:
    """The file that a Hadoop checksum `.name.crc` belongs to; any other file belongs to itself."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/{name[1:-4]}" if name.startswith(".") and name.endswith(".crc") else path


def _needed(table: Table) -> set[str]:
    """Manifest lists, manifests, data files and delete files of every snapshot."""
    snapshots = table.snapshots()
    lists = {_local(snapshot.manifest_list) for snapshot in snapshots}
    manifests = {
        _local(manifest.manifest_path): manifest
        for snapshot in snapshots
        for manifest in snapshot.manifests(table.io)
    }
    return lists.union(manifests, *(_content(table, one) for one in manifests.values()))


def _content(table: Table, manifest: ManifestFile) -> set[str]:
    """The data files or delete files that the manifest lists."""
    entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
    return {_local(entry.data_file.file_path) for entry in entries}


def _metadata(table: Table) -> set[str]:
    """The current metadata file, the earlier ones that Iceberg still lists, statistics files."""
    metadata = table.metadata
    earlier = [entry.metadata_file for entry in metadata.metadata_log]
    statistics = (*metadata.statistics, *metadata.partition_statistics)
    return set(
        map(
            _local,
            (table.metadata_location, *earlier, *(entry.statistics_path for entry in statistics)),
        )
    )
