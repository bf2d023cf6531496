"""Read-back check of the object store: a file that an engine wrote must come back byte for byte.

By default AWS SDKs send a checksum as a trailer, in chunks. A store that does not support this
keeps the chunk framing as content (SeaweedFS before 4.02), and Flink's first commit then makes a
table unreadable. `tick init` runs this check before it creates the tables.
"""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable

from pyiceberg.io import FileIO, load_file_io

from contracts.config import paths
from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.config.settings import Settings
from contracts.errors import DatasetError
from feature_store.flink.program import PLANNER_JVM
from lakehouse import catalog_options
from lakehouse.tables import Lakehouse

CONTENT = bytes(range(256)) * 16
SHOWN_BYTES = 24
# JVM start (5 s; up to a minute on a loaded machine) plus the retries of the S3 client.
FLINK_TIMEOUT_S = 300.0
HINT = (
    "set AWS_REQUEST_CHECKSUM_CALCULATION=when_required for Flink and every other client, "
    "or use a store that supports checksum trailers (SeaweedFS 4.02 or newer)"
)


def is_used(settings: LakehouseSettings) -> bool:
    """Whether the warehouse is in an S3 store that these settings name."""
    return (settings.warehouse_uri or "").startswith("s3://")


def verify(settings: Settings) -> None:
    """Write one file with PyIceberg and one with Flink's S3 client, read both back, delete them.

    FLINK_HOME must exist. Raises DatasetError when a file cannot be written or comes back changed.
    """
    files = load_file_io(dict(Lakehouse(settings).catalog.properties), settings.warehouse_uri)
    writers: dict[str, Callable[[str], None]] = {
        "PyIceberg": lambda location: _write_with_pyiceberg(files, location),
        "Flink": lambda location: _write_with_flink(settings, location),
    }
    for writer, write in writers.items():
        location = f"{str(settings.warehouse_uri).rstrip('/')}/.read-back/{uuid.uuid4().hex}"
        content = _read_back(files, location, write, settings)
        if content != CONTENT:
            raise DatasetError(
                f"the object store changed the file that {writer} wrote: {len(content)} bytes"
                f" instead of {len(CONTENT)}, beginning with {content[:SHOWN_BYTES]!r}",
                HINT,
            )


def _read_back(
    files: FileIO, location: str, write: Callable[[str], None], settings: Settings
) -> bytes:
    try:
        write(location)
        with files.new_input(location).open() as stream:
            content = stream.read()
        files.delete(location)
    except (OSError, subprocess.SubprocessError) as error:
        reason = catalog_options.mask_secrets(settings, str(error))
        hint = "check TICK_S3_ENDPOINT, TICK_S3_ACCESS_KEY and TICK_S3_SECRET_KEY"
        raise DatasetError(f"cannot write and read {location}: {reason}", hint) from error
    return content


def _write_with_pyiceberg(files: FileIO, location: str) -> None:
    with files.new_output(location).create(overwrite=True) as stream:
        stream.write(CONTENT)


def _write_with_flink(settings: LakehouseSettings, location: str) -> None:
    """Write in a JVM with Flink's class path and environment. Secrets are passed on its stdin."""
    options = catalog_options.reveal(catalog_options.render(settings).flink)
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "feature_store.flink.object_store"],
        input=json.dumps({"options": options, "location": location}),
        capture_output=True,
        text=True,
        timeout=FLINK_TIMEOUT_S,
        env={"JVM_ARGS": PLANNER_JVM} | os.environ | paths.flink_env(settings),
        check=False,
    )
    if child.returncode:
        lines = child.stderr.strip().splitlines() or [f"exit code {child.returncode}"]
        raise OSError(f"Flink's S3 client failed: {lines[-1]}")


def _write_in_jvm(options: dict[str, str], location: str) -> None:
    from pyflink.java_gateway import get_gateway

    jvm = get_gateway().jvm
    files = jvm.org.apache.iceberg.aws.s3.S3FileIO()
    files.initialize(jvm.java.util.HashMap(options))
    stream = files.newOutputFile(location).createOrOverwrite()
    stream.write(CONTENT)
    stream.close()
    files.close()


if __name__ == "__main__":
    _write_in_jvm(**json.load(sys.stdin))
