"""Files as streams of blocks in bounded memory: plain, gzip, zstandard, zip members, Parquet."""

import glob
import gzip
import io
import zipfile
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from contracts.errors import FeedError

T = TypeVar("T")
BLOCK_BYTES = 2 << 20
HEAD_BYTES = 1 << 16
LINE_BYTES_MAX = 4 << 20  # a longer "line" is split here and rejected as a row
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
        return tuple(cell.strip().strip('"').lower() for cell in self._first_line.split(","))

    @property
    def shown(self) -> str:
        """The beginning as text for an error message."""
        if self.columns:
            return f"Parquet with columns {', '.join(sorted(self.columns))}"
        return ascii(self._first_line[:120])

    @property
    def _first_line(self) -> str:
        return self.lines[0] if self.lines else ""


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
            with _open_zstd(self.path) as stream:
                yield stream
        else:
            with self.path.open("rb") as file:
                yield file

    def head(self) -> Head:
        """The beginning of the file. Raises FeedError if it cannot be opened."""
        try:
            return self._parquet_head() if self.is_parquet else self._text_head()
        except (*DAMAGED, ValueError, RuntimeError) as error:  # RuntimeError: an encrypted member
            raise FeedError(
                f"{self.path} cannot be read: {error}", "download it again; it may be incomplete"
            ) from error

    def _parquet_head(self) -> Head:
        import pyarrow.parquet as pq

        return Head(columns=frozenset(pq.ParquetFile(self.path).schema_arrow.names))

    def _text_head(self) -> Head:
        with self.open() as stream:
            text = stream.read(HEAD_BYTES).decode("utf-8-sig", "replace")
        return Head(lines=tuple(line.rstrip("\r") for line in text.split("\n")[:50]))

    def blocks(self) -> Iterator[bytes]:
        """Blocks of whole lines. Raises one of DAMAGED after the last readable block of a broken
        archive.
        """
        rest = b""
        with self.open() as stream:
            while block := stream.read(BLOCK_BYTES):
                block = rest + block
                end = _whole_lines_end(block)
                rest = block[end:]
                if end:
                    yield block[:end]
        if rest:
            yield rest

    def end_blocks(self) -> Iterator[bytes]:
        """The first and the last block; compressed files are decompressed as a stream."""
        if self.is_plain and self.path.stat().st_size > 3 * BLOCK_BYTES:
            yield next(self.blocks())
            yield self._last_block()
        else:
            yield from first_and_last(self._readable_blocks())

    def _last_block(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(-BLOCK_BYTES, io.SEEK_END)
            return file.read().partition(b"\n")[2]

    def _readable_blocks(self) -> Iterator[bytes]:
        """Blocks up to a damage, which is reported when the file is read."""
        with suppress(*DAMAGED):
            yield from self.blocks()


def _open_zstd(path: Path) -> BinaryIO:
    import pyarrow as pa

    return cast(BinaryIO, pa.input_stream(str(path), compression="zstd"))


def first_and_last(items: Iterable[T]) -> Iterator[T]:
    """The first and the last item; only one if they are the same, none if there is none."""
    remaining = iter(items)
    yield from islice(remaining, 1)
    yield from deque(remaining, maxlen=1)


def _whole_lines_end(block: bytes) -> int:
    """Where the last whole line of a block ends; its end if a single line is too long."""
    if len(block) > LINE_BYTES_MAX and b"\n" not in block:
        return len(block)
    return block.rfind(b"\n") + 1


def expand(paths: Sequence[str | Path]) -> list[Source]:
    """Sources of all files and globs in the given order, one per member of a zip.

    Raises FeedError if a pattern matches nothing.
    """
    files = chain.from_iterable(_find_files(str(path)) for path in paths)
    return list(chain.from_iterable(map(_members, files)))


def _find_files(pattern: str) -> list[Path]:
    """The file with this name, or else those that match it as a glob, by name."""
    if Path(pattern).is_file():
        return [Path(pattern)]
    matches = map(Path, sorted(glob.glob(pattern, recursive=True)))  # noqa: PTH207 - may be absolute
    files = [path for path in matches if path.is_file()]
    if not files:
        raise FeedError(
            f"no file matches {pattern}",
            "give a file, several files or a quoted glob such as 'data/*.csv.gz'",
        )
    return files


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
