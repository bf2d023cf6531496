"""Files below an Iceberg table that no snapshot references.

They come from expired snapshots, compacted partitions and failed commits.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table

from contracts.errors import DatasetError


def remove(table: Table, before_us: int) -> tuple[int, int]:
    """Delete unreferenced files last written before `before_us` (µs UTC); returns (files, bytes).

    1. List the files.
    2. Read the newest metadata: a commit in between only adds references.
    3. Delete the old files without a reference.

    Raises DatasetError, and deletes nothing, when a file that a snapshot needs is missing: then
    paths cannot be compared reliably.
    """
    present = dict(_files(Path(_local(table.location()))))
    table.refresh()
    needed = _needed(table)
    _require_present(table, needed - present.keys())
    referenced = needed | _metadata(table)
    orphans = {
        path: stat
        for path, stat in present.items()
        if _owner(path) not in referenced and stat.st_mtime_ns < before_us * 1000
    }
    for path in orphans:
        Path(path).unlink(missing_ok=True)
    return len(orphans), sum(stat.st_size for stat in orphans.values())


def _require_present(table: Table, missing: set[str]) -> None:
    if missing:
        raise DatasetError(
            f"{'.'.join(table.name())} lacks {len(missing)} files, such as {min(missing)}",
            "nothing was deleted; restore the files, or `tick lake rollback` to a snapshot"
            " without them",
        )


def is_local(table: Table) -> bool:
    """Whether the table is stored in a folder of this machine."""
    return table.location().startswith(("file:", "/"))


def _files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                yield str(path), path.stat()
        except FileNotFoundError:  # the live job deletes its own files concurrently
            continue


def _local(uri: str) -> str:
    """The URI as a path: Flink writes file:/x, PyIceberg file:///x."""
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
