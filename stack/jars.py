"""Jars of Kafka and Flink, pinned by version and SHA-256 in jars.lock.json and downloaded with the
Maven client jgo.

A jar is downloaded into a private folder, verified, then renamed into place: the cache never
contains a partial jar, several processes may fill the same cache, and an interrupted download
resumes with the jars that are still missing.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.config import paths
from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.errors import ServiceError
from contracts.progress import Progress, silent

LOCK_FILE = Path(__file__).with_name("jars.lock.json")

# Direct dependencies; the lock file also lists their transitive ones. kafka-tools is not in Kafka's
# own POM, and without log4j-slf4j-impl Kafka logs nothing.
ROOTS = {
    "kafka": (
        "org.apache.kafka:kafka_2.13:4.3.1",
        "org.apache.kafka:kafka-tools:4.3.1",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4!",
    ),
    "flink": (
        "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2",
        "org.apache.iceberg:iceberg-flink-runtime-2.1:1.11.0",
        "org.apache.hadoop:hadoop-client-api:3.4.2",
        "org.apache.hadoop:hadoop-client-runtime:3.4.2",
        "org.xerial:sqlite-jdbc:3.50.3.0",
    ),
    # Only if the tables are stored in an object store.
    "s3": ("org.apache.iceberg:iceberg-aws-bundle:1.11.0",),
}
# Flink's and Iceberg's jars are shaded: the dependencies in their POMs are already on Flink's class
# path, in other versions, so only Kafka's are resolved transitively.
TRANSITIVE = frozenset({"kafka"})
PARALLEL_DOWNLOADS = 4
DOWNLOAD_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned file: Maven coordinate `group:artifact:version`, SHA-256 (hex), size in bytes."""

    coordinate: str
    sha256: str
    size_bytes: int

    @property
    def file(self) -> str:
        """File name in the cache."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def locked(role: str, lock: Path = LOCK_FILE) -> tuple[Jar, ...]:
    """The pinned jars of a role: `kafka`, `flink` or `s3`."""
    return tuple(Jar(**entry) for entry in json.loads(lock.read_text())[role])


def roles(settings: LakehouseSettings) -> tuple[str, ...]:
    """The roles that these settings require."""
    return tuple(role for role in ROOTS if role != "s3" or settings.in_object_store)


def flink_jars(settings: LakehouseSettings) -> tuple[Jar, ...]:
    """Jars that are added to the class path of the Flink distribution."""
    return tuple(jar for role in roles(settings) if role != "kafka" for jar in locked(role))


def version_of(role: str) -> str:
    """Version of the first root of a role, such as `4.3.1` for `kafka`."""
    return ROOTS[role][0].rsplit(":", 1)[1]


def sha256_of(file: Path) -> str:
    """Hex digest of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_intact(cache: Path, jar: Jar) -> bool:
    """Whether the cache contains exactly this jar."""
    file = cache / jar.file
    return (
        file.is_file() and file.stat().st_size == jar.size_bytes and sha256_of(file) == jar.sha256
    )


def find_missing(settings: LakehouseSettings) -> tuple[Jar, ...]:
    """Pinned jars that are missing from the cache or damaged."""
    cache = paths.jars(settings)
    return tuple(
        jar for role in roles(settings) for jar in locked(role) if not is_intact(cache, jar)
    )


def ensure_downloaded(settings: LakehouseSettings, progress: Progress = silent) -> None:
    """Download and verify the jars that are missing or damaged; progress is in bytes.

    Raises ServiceError when a jar cannot be downloaded or is not the pinned one; the jars that were
    downloaded stay.
    """
    missing_jars = find_missing(settings)
    if missing_jars:
        download_jars(missing_jars, paths.jars(settings), progress)


def download_jars(pinned: tuple[Jar, ...], cache: Path, progress: Progress = silent) -> None:
    """Download these jars into the cache; see `ensure_downloaded`."""
    cache.mkdir(parents=True, exist_ok=True)
    total = sum(jar.size_bytes for jar in pinned)
    received = 0

    def count_received(count: int) -> None:
        nonlocal received
        received += count
        progress("fetch jars", min(received, total), total)

    with (
        tempfile.TemporaryDirectory(prefix=".partial-", dir=cache) as partial,
        ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool,
    ):
        context = _maven_context(Path(partial), count_received)
        for future in [pool.submit(_download_jar, context, jar, cache) for jar in pinned]:
            future.result()
    progress("fetch jars", total, total)


def _download_jar(context: Any, jar: Jar, cache: Path) -> None:
    try:
        file = context.resolver.download(context.create_dependency(jar.coordinate).artifact)
    # jgo raises RuntimeError for 404; the errors of requests are OSErrors.
    except (RuntimeError, OSError) as error:
        raise ServiceError(
            f"cannot download {jar.coordinate}: {error}",
            "check the network, then run `tick up` again: it downloads only what is missing",
        ) from error
    if sha256_of(file) != jar.sha256:
        raise ServiceError(
            f"{jar.coordinate} is not the pinned file (SHA-256 differs)",
            "a proxy or mirror changed it: run `tick jars` again, or use another network",
        )
    file.replace(cache / jar.file)


def _maven_context(folder: Path, count_received: Callable[[int], None]) -> Any:
    """A Maven client that downloads into `folder`, from the repositories of the user's jgo
    settings.
    """
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext, PythonResolver

    @contextmanager
    def bar(_name: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield count_received

    callback: Callable[[str, int], AbstractContextManager[Callable[[int], None]]] = bar
    repositories = GlobalSettings.load().repositories or None
    return MavenContext(
        PythonResolver(progress_callback=callback),
        folder,
        remote_repos=repositories,
        timeout=DOWNLOAD_TIMEOUT_S,
    )


def relock(progress: Progress = silent, lock: Path = LOCK_FILE) -> int:
    """For maintainers: resolve ROOTS again, download every jar and write the lock file; returns
    the number of jars.
    """
    folder = Path(tempfile.mkdtemp(prefix="relock-"))
    try:
        context = _maven_context(folder, lambda _count: None)
        entries = {role: _resolve_role(context, role, progress) for role in ROOTS}
    finally:
        shutil.rmtree(folder)
    body = ",\n".join(
        f' "{role}": [\n' + ",\n".join(f"  {json.dumps(entry)}" for entry in entries[role]) + "\n ]"
        for role in entries
    )
    lock.write_text("{\n" + body + "\n}\n")
    return sum(map(len, entries.values()))


def _resolve_role(context: Any, role: str, progress: Progress) -> list[dict[str, str | int]]:
    artifacts = [dependency.artifact for dependency in _resolve_dependencies(context, role)]
    entries: list[dict[str, str | int]] = []
    for number, artifact in enumerate(sorted(artifacts, key=str), 1):
        file = artifact.resolve()
        coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
        entries.append(
            {"coordinate": coordinate, "sha256": sha256_of(file), "size_bytes": file.stat().st_size}
        )
        progress(f"lock {role}", number, len(artifacts))
    return entries


def _resolve_dependencies(context: Any, role: str) -> list[Any]:
    roots = [context.create_dependency(coordinate) for coordinate in ROOTS[role]]
    return sum(context.resolver.resolve(roots), []) if role in TRANSITIVE else roots
