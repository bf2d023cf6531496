"""Image data sets from the usual public files: Keras' mnist.npz, idx files, CIFAR-10's binary
batches, Parquet with JPEGs.

A reader gives arrays or a clear DatasetError; nothing pickled is ever loaded, which is why
CIFAR-10's Python batches are refused.
"""

import gzip
import hashlib
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DatasetError
from training.vision.specs import Kind

Bytes = NDArray[np.uint8]
IDX = {
    "train-images": "x_train",
    "train-labels": "y_train",
    "t10k-images": "x_test",
    "t10k-labels": "y_test",
}
IDX_UINT8 = 8
CIFAR_RECORD = 1 + 32 * 32 * 3
CIFAR_BYTES_MAX = 1 << 28
ROWS_MIN = 50
BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error)


@dataclass(frozen=True)
class Images:
    """uint8 images (rows × height × width × channels) and their labels; `lossy`: they went through
    JPEG, unlike the original's.
    """

    train_x: Bytes
    train_y: Bytes
    test_x: Bytes
    test_y: Bytes
    lossy: bool = False

    def sha256(self) -> str:
        """Of every byte of the arrays."""
        digest = hashlib.sha256()
        for array in (self.train_x, self.train_y, self.test_x, self.test_y):
            digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def read(kind: Kind, path: Path) -> Images:
    """The data set in a file or folder. Raises DatasetError: nothing there, corrupt, of another
    shape, a label that is none.
    """
    if not path.exists():
        raise DatasetError(
            f"there is no {path}",
            "give the public file or its folder with --data; without it the file is fetched",
        )
    try:
        made = _reader(path)(path)
    except BROKEN as error:
        hint = "it is damaged or no such data set: fetch it again"
        raise DatasetError(
            f"{path} cannot be read as {kind.name}: {str(error)[:200] or type(error).__name__}",
            hint,
        ) from error
    return _checked(kind, made, path)


def pictures(files: Sequence[Path], shape: tuple[int, int, int]) -> Bytes:
    """Pictures of any size as images of `shape`, scaled to it. Raises DatasetError for a file that
    is none.
    """
    from PIL import Image

    made = []
    for file in files:
        try:
            with Image.open(file) as picture:
                made.append(
                    np.asarray(
                        picture.convert("RGB" if shape[2] == 3 else "L").resize(
                            (shape[1], shape[0])
                        )
                    ).reshape(shape)
                )
        except (*BROKEN, SyntaxError, Image.DecompressionBombError) as error:
            raise DatasetError(
                f"{file} is not a picture that can be read: {str(error)[:200]}",
                "give PNG or JPEG files",
            ) from error
    return np.stack(made)


def _reader(path: Path) -> Callable[[Path], Images]:
    if path.is_dir():
        return (
            _parquet
            if (path / "train.parquet").is_file()
            else _binary_folder
            if list(path.rglob("data_batch_*.bin"))
            else _idx
        )
    with path.open("rb") as content:
        start = content.read(4)
    return _npz if start == b"PK\x03\x04" else _binary_tar


def _npz(path: Path) -> Images:
    with path.open("rb") as content, np.load(content, allow_pickle=False) as arrays:
        return _keras(dict(arrays))


def _keras(arrays: dict[str, Any]) -> Images:
    return Images(arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"])


def _idx(folder: Path) -> Images:
    arrays: dict[str, Any] = {}
    for prefix, name in IDX.items():
        file = next(iter(sorted(folder.glob(f"{prefix}*idx*"))), None)
        if file is None:
            raise KeyError(f"it holds neither {prefix}-idx… nor train.parquet nor data_batch_*.bin")
        arrays[name] = _idx_array(
            gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        )
    return _keras(arrays)


def _idx_array(content: bytes) -> Bytes:
    """Magic number (0, 0, type, dimensions), a big-endian size per dimension, the bytes (LeCun,
    Cortes, Burges).
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != IDX_UINT8:
        raise ValueError("no idx file of bytes")
    shape = np.frombuffer(content, ">u4", content[3], 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)


def _binary_tar(path: Path) -> Images:
    parts: dict[str, bytes] = {}
    with tarfile.open(path) as packed:
        for member in packed:
            if member.name.endswith(".bin") and member.size <= CIFAR_BYTES_MAX:
                content = packed.extractfile(member)
                parts[Path(member.name).name] = content.read() if content else b""
    return _binary(parts)


def _binary_folder(folder: Path) -> Images:
    return _binary({file.name: file.read_bytes() for file in folder.rglob("*.bin")})


def _binary(parts: dict[str, bytes]) -> Images:
    train = sorted(name for name in parts if name.startswith("data_batch_"))
    if not train or "test_batch.bin" not in parts:
        raise ValueError(
            "no data_batch_*.bin and test_batch.bin in it (the pickled Python version is not read:"
            " take the binary one)"
        )
    (train_x, train_y), (test_x, test_y) = (
        _records(b"".join(parts[n] for n in names)) for names in (train, ["test_batch.bin"])
    )
    return Images(train_x, train_y, test_x, test_y)


def _records(content: bytes) -> tuple[Bytes, Bytes]:
    """A label, then 1,024 bytes each of red, green and blue, per image (Krizhevsky)."""
    rows = np.frombuffer(content, np.uint8).reshape(-1, CIFAR_RECORD)
    return (
        np.ascontiguousarray(rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)),
        rows[:, 0].copy(),
    )


def _parquet(folder: Path) -> Images:
    (train_x, train_y), (test_x, test_y) = (
        _jpegs(folder / f"{part}.parquet") for part in ("train", "test")
    )
    return Images(train_x, train_y, test_x, test_y, lossy=True)


def _jpegs(file: Path) -> tuple[Bytes, Bytes]:
    import pyarrow.parquet as pq
    from PIL import Image

    table: Any = pq.read_table(file, columns=["label", "jpeg"])
    made = [
        np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        for content in table["jpeg"].to_pylist()
    ]
    return np.stack(made), np.asarray(table["label"], dtype=np.uint8)


def _checked(kind: Kind, made: Images, path: Path) -> Images:
    """The same with a channel axis and byte labels; what does not fit the kind is said."""
    parts: list[Bytes] = []
    for name, x, y in (
        ("training", made.train_x, made.train_y),
        ("test", made.test_x, made.test_y),
    ):
        images = x[..., None] if x.ndim == 3 and kind.shape[2] == 1 else x
        if images.dtype != np.uint8 or images.shape[1:] != kind.shape:
            wanted = f"{kind.name} has bytes of the shape {kind.shape}"
            raise DatasetError(
                f"the {name} images of {path} are {images.dtype} of the shape {images.shape[1:]}",
                wanted,
            )
        if y.ndim != 1 or len(y) != len(images) or len(y) < ROWS_MIN:
            raise DatasetError(
                f"{path} has {len(images)} {name} images and {y.size} labels",
                f"one each, and {ROWS_MIN} at least",
            )
        if not np.issubdtype(y.dtype, np.integer) or not 0 <= int(y.min()) <= int(y.max()) < len(
            kind.labels
        ):
            raise DatasetError(
                f"the {name} labels of {path} run from {y.min()} to {y.max()}",
                f"they are 0 to {len(kind.labels) - 1}",
            )
        parts += [np.ascontiguousarray(images), y.astype(np.uint8)]
    return Images(parts[0], parts[1], parts[2], parts[3], lossy=made.lossy)
