"""The Java side of the platform: jars pinned by version and SHA-256 in jars.lock.json, fetched with
the Maven client jgo.

A jar is downloaded into a private folder, verified, then renamed into place: the cache never holds
half a jar, processes may fill one cache together, and an interrupted download goes on with the jars
still missing.
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
from contracts.config.settings import Settings
from contracts.errors import ServiceError
from contracts.progress import Progress, silent

LOCK_FILE = Path(__file__).with_name("jars.lock.json")

# What we ask for; the lock lists what that needs. kafka-tools is not in Kafka's own POM, and
# without log4j-slf4j-impl it logs nothing.
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
    "s3": (
        "org.apache.iceberg:iceberg-aws-bundle:1.11.0",
    ),  # only where the tables lie in an object store
}
# Shaded jars: what their POMs list besides is on Flink's class path already, in other versions.
TRANSITIVE = frozenset({"kafka"})
PARALLEL_DOWNLOADS = 4
DOWNLOAD_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned file: Maven coordinate `group:artifact:version`, SHA-256 (hex) and length in
    bytes.
    """

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


def roles(settings: Settings) -> tuple[str, ...]:
    """The roles that these settings need."""
    return tuple(role for role in ROOTS if role != "s3" or settings.in_object_store)


def of_flink(settings: Settings) -> tuple[Jar, ...]:
    """What stands on Flink's class path besides its own jars."""
    return tuple(jar for role in roles(settings) if role != "kafka" for jar in locked(role))


def version_of(role: str) -> str:
    """Version of the first root of a role, such as `4.3.1` for `kafka`."""
    return ROOTS[role][0].rsplit(":", 1)[1]


def sha256_of(file: Path) -> str:
    """Hex digest of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def intact(cache: Path, jar: Jar) -> bool:
    """Whether the cache holds exactly this jar."""
    file = cache / jar.file
    return (
        file.is_file() and file.stat().st_size == jar.size_bytes and sha256_of(file) == jar.sha256
    )


def missing(settings: Settings) -> tuple[Jar, ...]:
    """Pinned jars that the cache does not hold, or holds damaged."""
    cache = paths.jars(settings)
    return tuple(jar for role in roles(settings) for jar in locked(role) if not intact(cache, jar))


def ensure(settings: Settings, progress: Progress = silent) -> None:
    """Fill the cache: downloads what is missing or damaged, verifies it, and reports bytes.

    Raises ServiceError when a jar cannot be fetched or is not the pinned one; jars that did arrive
    stay.
    """
    wanted = missing(settings)
    if wanted:
        fetch(wanted, paths.jars(settings), progress)


def fetch(wanted: tuple[Jar, ...], cache: Path, progress: Progress = silent) -> None:
    """Download these jars into the cache; see `ensure`."""
    cache.mkdir(parents=True, exist_ok=True)
    total, done = sum(jar.size_bytes for jar in wanted), [0]

    def received(count: int) -> None:
        done[0] += count
        progress("fetch jars", min(done[0], total), total)

    with (
        tempfile.TemporaryDirectory(prefix=".partial-", dir=cache) as partial,
        ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool,
    ):
        context = _maven(Path(partial), received)
        for future in [pool.submit(_fetch_one, context, jar, cache) for jar in wanted]:
            future.result()
    progress("fetch jars", total, total)


def _fetch_one(context: Any, jar: Jar, cache: Path) -> None:
    try:
        file = context.resolver.download(context.create_dependency(jar.coordinate).artifact)
    except (
        RuntimeError,
        OSError,
    ) as error:  # jgo raises RuntimeError for 404, requests' errors are OSErrors
        raise ServiceError(
            f"cannot download {jar.coordinate}: {error}",
            "check the network, then run `tick up` again: it goes on here",
        ) from error
    if sha256_of(file) != jar.sha256:
        raise ServiceError(
            f"{jar.coordinate} is not the pinned file (SHA-256 differs)",
            "a proxy or mirror changed it; try again or another network",
        )
    file.replace(cache / jar.file)


def _maven(folder: Path, received: Callable[[int], None]) -> Any:
    """An ordinary Maven client that downloads into `folder`; repositories as the user's jgo
    settings name them.
    """
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext, PythonResolver

    @contextmanager
    def bar(_name: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield received

    callback: Callable[[str, int], AbstractContextManager[Callable[[int], None]]] = bar
    repositories = GlobalSettings.load().repositories or None
    return MavenContext(
        PythonResolver(progress_callback=callback),
        folder,
        remote_repos=repositories,
        timeout=DOWNLOAD_TIMEOUT_S,
    )


def relock(progress: Progress = silent, lock: Path = LOCK_FILE) -> int:
    """Resolve ROOTS again, download every jar once, write the lock; returns the number of jars. For
    maintainers.
    """
    folder = Path(tempfile.mkdtemp(prefix="relock-"))
    try:
        context = _maven(folder, lambda _count: None)
        found = {role: _resolve(context, role, progress) for role in ROOTS}
    finally:
        shutil.rmtree(folder)
    body = ",\n".join(
        f' "{role}": [\n' + ",\n".join(f"  {json.dumps(entry)}" for entry in found[role]) + "\n ]"
        for role in found
    )
    lock.write_text("{\n" + body + "\n}\n")
    return sum(len(entries) for entries in found.values())


def _resolve(context: Any, role: str, progress: Progress) -> list[dict[str, str | int]]:
    roots = [context.create_dependency(coordinate) for coordinate in ROOTS[role]]
    needed = (
        [dependency.artifact for dependency in sum(context.resolver.resolve(roots), [])]
        if role in TRANSITIVE
        else [r.artifact for r in roots]
    )
    entries: list[dict[str, str | int]] = []
    for number, artifact in enumerate(sorted(needed, key=str), 1):
        file = artifact.resolve()
        coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
        entries.append(
            {"coordinate": coordinate, "sha256": sha256_of(file), "size_bytes": file.stat().st_size}
        )
        progress(f"lock {role}", number, len(needed))
    return entries
