"""Files below an Iceberg table that no snapshot refers to: of expired snapshots, of compacted
partitions, of commits that failed.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table

from contracts.errors import DatasetError


def remove(table: Table, before_us: int) -> tuple[int, int]:
    """Delete what nothing refers to and was last written before `before_us` (µs UTC); returns
    (files, bytes).

    1. list the files  2. read the newest metadata: a commit in between only adds references  3.
       delete the rest, old ones only. Raises DatasetError, and deletes nothing, when a file that a
       snapshot needs is missing: then names are not what they seem.
    """
    present = dict(_files(Path(_local(table.location()))))
    table.refresh()
    needed = _needed(table)
    if missing := needed - present.keys():
        raise DatasetError(
            f"{'.'.join(table.name())} lacks {len(missing)} files, such as {min(missing)}",
            "nothing was deleted",
        )
    kept = needed | _metadata(table)
    orphans = {
        path: stat
        for path, stat in present.items()
        if _owner(path) not in kept and stat.st_mtime_ns < before_us * 1000
    }
    for path in orphans:
        Path(path).unlink(missing_ok=True)
    return len(orphans), sum(stat.st_size for stat in orphans.values())


def is_local(table: Table) -> bool:
    """Whether the table lies in a folder of this machine."""
    return table.location().startswith(("file:", "/"))


def _files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                yield str(path), path.stat()
        except FileNotFoundError:  # the live job tidies up its own files meanwhile
            continue


def _local(uri: str) -> str:
    """A path: Flink writes file:/x, PyIceberg file:///x."""
    return "/" + uri.removeprefix("file:").lstrip("/")


def _owner(path: str) -> str:
    """The file that a checksum `.name.crc`, as Hadoop writes them, belongs to; any other file
    belongs to itself.
    """
    folder, _, name = path.rpartition("/")
    return f"{folder}/{name[1:-4]}" if name.startswith(".") and name.endswith(".crc") else path


def _needed(table: Table) -> set[str]:
    """Manifest lists, manifests and data or delete files of every snapshot."""
    lists: set[str] = set()
    manifests: dict[str, ManifestFile] = {}
    for snapshot in table.snapshots():
        lists.add(_local(snapshot.manifest_list))
        manifests |= {
            _local(manifest.manifest_path): manifest for manifest in snapshot.manifests(table.io)
        }
    entries = (
        entry
        for manifest in manifests.values()
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
    )
    return lists | manifests.keys() | {_local(entry.data_file.file_path) for entry in entries}


def _metadata(table: Table) -> set[str]:
    """The table's metadata file, those that Iceberg still lists as earlier ones, and statistics."""
    held = table.metadata
    statistics = [entry.statistics_path for entry in (*held.statistics, *held.partition_statistics)]
    return {
        _local(uri)
        for uri in (
            table.metadata_location,
            *(entry.metadata_file for entry in held.metadata_log),
            *statistics,
        )
    }
