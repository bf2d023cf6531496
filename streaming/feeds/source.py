"""Files as streams of blocks in bounded memory: plain, gzip, zstandard, zip members, Parquet."""

import glob
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from contracts.errors import FeedError

BLOCK_BYTES = 2 << 20
HEAD_BYTES = 1 << 16
LINE_BYTES_MAX = 4 << 20  # a longer "line" is cut here and rejected as a row
GZIP, ZSTD, ZIP, PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"PAR1"
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile, OSError)


@dataclass(frozen=True)
class Head:
    """The beginning of a file: its first lines, or its column names if it is Parquet."""

    lines: tuple[str, ...] = ()
    columns: frozenset[str] = frozenset()

    @property
    def header(self) -> tuple[str, ...]:
        """Lower-case fields of the first line."""
        return (
            tuple(cell.strip().strip('"').lower() for cell in self.lines[0].split(","))
            if self.lines
            else ()
        )

    @property
    def shown(self) -> str:
        """The beginning as text for an error message."""
        return (
            f"Parquet with columns {', '.join(sorted(self.columns))}"
            if self.columns
            else ascii(self.lines[0][:120] if self.lines else "")
        )


@dataclass(frozen=True)
class Source:
    """One file, or one member of a zip."""

    path: Path
    member: str = ""

    @property
    def name(self) -> str:
        """The file name, which contains symbol and day; inside a zip, the member's name."""
        return Path(self.member).name if self.member else self.path.name

    @property
    def stem(self) -> str:
        """The name without its extensions."""
        return self.name.split(".")[0]

    @property
    def magic(self) -> bytes:
        """The first four bytes on disk."""
        with self.path.open("rb") as file:
            return file.read(4)

    @property
    def is_parquet(self) -> bool:
        """Whether the content is Parquet."""
        return self.magic == PARQUET

    @property
    def is_plain(self) -> bool:
        """Whether the bytes on disk are the text itself."""
        return not self.member and not self.magic.startswith((GZIP, ZSTD))

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The decompressed bytes as a stream."""
        magic = self.magic
        if self.member:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as member:
                yield cast(BinaryIO, member)
        elif magic.startswith(GZIP):
            with gzip.open(self.path, "rb") as unpacked:
                yield cast(BinaryIO, unpacked)
        elif magic == ZSTD:
            import pyarrow as pa

            with pa.input_stream(str(self.path), compression="zstd") as stream:
                yield stream
        else:
            with self.path.open("rb") as file:
                yield file

    def head(self) -> Head:
        """The beginning of the file. Raises FeedError if it cannot be opened."""
        try:
            if self.is_parquet:
                import pyarrow.parquet as pq

                return Head(columns=frozenset(pq.ParquetFile(self.path).schema_arrow.names))
            with self.open() as stream:
                text = stream.read(HEAD_BYTES).decode("utf-8", "replace")
        except (*DAMAGED, ValueError) as error:
            raise FeedError(
                f"{self.path} cannot be read: {error}", "download it again; it may be incomplete"
            ) from error
        return Head(lines=tuple(line.rstrip("\r") for line in text.split("\n")[:50]))

    def blocks(self) -> Iterator[bytes]:
        """Blocks of whole lines. Raises one of DAMAGED after the last readable block of a broken
        archive.
        """
        rest = b""
        with self.open() as stream:
            while block := stream.read(BLOCK_BYTES):
                block = rest + block
                cut = block.rfind(b"\n") + 1
                if cut == 0 and len(block) > LINE_BYTES_MAX:
                    cut = len(block)
                rest = block[cut:]
                if cut:
                    yield block[:cut]
        if rest:
            yield rest

    def end_blocks(self) -> Iterator[bytes]:
        """The first and the last block; compressed files are decompressed as a stream."""
        first = last = b""
        if self.is_plain and self.path.stat().st_size > 3 * BLOCK_BYTES:
            yield next(self.blocks())
            with self.path.open("rb") as file:
                file.seek(-BLOCK_BYTES, io.SEEK_END)
                yield file.read().partition(b"\n")[2]
            return
        try:
            for block in self.blocks():
                first, last = first or block, block
        except DAMAGED:
            pass  # reported when the file is read; the readable part has end blocks as well
        yield from (first, last)


def expand(paths: Sequence[str | Path]) -> list[Source]:
    """Sources of all files and globs in the given order, one per member of a zip.

    Raises FeedError if a pattern matches nothing.
    """
    sources: list[Source] = []
    for pattern in map(str, paths):
        matches = [pattern]
        if not Path(pattern).is_file():
            matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - may be absolute
        files = [Path(name) for name in matches if Path(name).is_file()]
        if not files:
            raise FeedError(
                f"no file matches {pattern}",
                "give a file, several files or a quoted glob such as 'data/*.csv.gz'",
            )
        for file in files:
            sources += _members(file)
    return sources


def _members(file: Path) -> list[Source]:
    source = Source(file)
    if source.magic != ZIP:
        return [source]
    try:
        with zipfile.ZipFile(file) as archive:
            return [
                Source(file, name) for name in sorted(archive.namelist()) if not name.endswith("/")
            ]
    except zipfile.BadZipFile as error:
        raise FeedError(
            f"{file} is a damaged zip: {error}", "download it again; it may be incomplete"
        ) from error
