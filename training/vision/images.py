"""Readers of image data sets in their public formats.

Keras' mnist.npz, idx files, CIFAR-10's binary batches, and Parquet with JPEGs. Pickle is never
loaded, because it can execute code; hence CIFAR-10's Python batches are refused.
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
from training.vision.specs import ImageDataset

UInt8Array = NDArray[np.uint8]
IDX = {
    "train-images": "x_train",
    "train-labels": "y_train",
    "t10k-images": "x_test",
    "t10k-labels": "y_test",
}
IDX_UINT8 = 8
IDX_HEADER_BYTES = 4
CIFAR_RECORD_BYTES = 1 + 32 * 32 * 3
CIFAR_BYTES_MAX = 1 << 28
ROWS_MIN = 50
RGB_CHANNELS = 3
READ_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
)


@dataclass(frozen=True)
class Images:
    """uint8 images (rows × height × width × channels) and labels (rows,) of both parts.

    `lossy`: the images are JPEG copies of the originals.
    """

    train_x: UInt8Array
    train_y: UInt8Array
    test_x: UInt8Array
    test_y: UInt8Array
    lossy: bool = False

    def sha256(self) -> str:
        """SHA-256 of shapes and content of the arrays."""
        digest = hashlib.sha256()
        for array in (self.train_x, self.train_y, self.test_x, self.test_y):
            digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def read_images(dataset: ImageDataset, path: Path) -> Images:
    """Read the data set in a file or folder, in any of the known formats.

    Raises DatasetError if it does not exist, is corrupt, has another shape, or invalid labels.
    """
    if not path.exists():
        raise DatasetError(
            f"there is no {path}",
            "pass the public file or its folder with --data, or omit --data to download it",
        )
    try:
        images = _choose_reader(path)(path)
    except READ_ERRORS as error:
        reason = str(error)[:200] or type(error).__name__
        raise DatasetError(
            f"{path} cannot be read as {dataset.name}: {reason}",
            "it is damaged or another data set: download it again",
        ) from error
    return _validate(dataset, images, path)


def load_pictures(files: Sequence[Path], shape: tuple[int, int, int]) -> UInt8Array:
    """Load picture files, scaled to `shape` (height, width, channels), as (rows × shape).

    Raises DatasetError for a file that is not a picture.
    """
    from PIL import Image

    height, width, channels = shape
    mode = "RGB" if channels == RGB_CHANNELS else "L"
    pictures = []
    for file in files:
        try:
            with Image.open(file) as picture:
                scaled = picture.convert(mode).resize((width, height))
                pictures.append(np.asarray(scaled).reshape(shape))
        except (*READ_ERRORS, SyntaxError, Image.DecompressionBombError) as error:
            raise DatasetError(
                f"{file} is not a picture that can be read: {str(error)[:200]}",
                "pass PNG or JPEG files",
            ) from error
    return np.stack(pictures)


def _choose_reader(path: Path) -> Callable[[Path], Images]:
    if path.is_dir():
        if (path / "train.parquet").is_file():
            return _read_parquet
        return _read_batch_folder if list(path.rglob("data_batch_*.bin")) else _read_idx
    with path.open("rb") as content:
        magic = content.read(4)
    return _read_npz if magic == b"PK\x03\x04" else _read_batch_tar


def _read_npz(path: Path) -> Images:
    with path.open("rb") as content, np.load(content, allow_pickle=False) as arrays:
        return _from_keras_arrays(dict(arrays))


def _from_keras_arrays(arrays: dict[str, Any]) -> Images:
    return Images(arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"])


def _read_idx(folder: Path) -> Images:
    arrays: dict[str, Any] = {}
    for prefix, name in IDX.items():
        file = next(iter(sorted(folder.glob(f"{prefix}*idx*"))), None)
        if file is None:
            raise KeyError(
                f"it contains neither {prefix}-idx… nor train.parquet nor data_batch_*.bin"
            )
        content = file.read_bytes()
        arrays[name] = _parse_idx(gzip.decompress(content) if file.suffix == ".gz" else content)
    return _from_keras_arrays(arrays)


def _parse_idx(content: bytes) -> UInt8Array:
    """Parse the idx format of http://yann.lecun.com/exdb/mnist/ (LeCun, Cortes, Burges).

    0, 0, type, number of dimensions; a big-endian uint32 per dimension; the bytes.
    """
    if len(content) < IDX_HEADER_BYTES or content[:2] != b"\0\0" or content[2] != IDX_UINT8:
        raise ValueError("not an idx file of bytes")
    dimensions = content[3]
    shape = np.frombuffer(content, ">u4", dimensions, IDX_HEADER_BYTES)
    offset = IDX_HEADER_BYTES + 4 * dimensions
    return np.frombuffer(content, np.uint8, offset=offset).reshape(shape)


def _read_batch_tar(path: Path) -> Images:
    batches: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            if member.name.endswith(".bin") and member.size <= CIFAR_BYTES_MAX:
                content = archive.extractfile(member)
                batches[Path(member.name).name] = content.read() if content else b""
    return _parse_batches(batches)


def _read_batch_folder(folder: Path) -> Images:
    return _parse_batches({file.name: file.read_bytes() for file in folder.rglob("*.bin")})


def _parse_batches(batches: dict[str, bytes]) -> Images:
    train_names = sorted(name for name in batches if name.startswith("data_batch_"))
    if not train_names or "test_batch.bin" not in batches:
        raise ValueError(
            "it lacks data_batch_*.bin or test_batch.bin (the pickled Python version is not"
            " supported: use the binary one)"
        )
    train_x, train_y = _parse_records(b"".join(batches[name] for name in train_names))
    test_x, test_y = _parse_records(batches["test_batch.bin"])
    return Images(train_x, train_y, test_x, test_y)


def _parse_records(content: bytes) -> tuple[UInt8Array, UInt8Array]:
    """Parse the format of https://www.cs.toronto.edu/~kriz/cifar.html.

    Per image: a label, then 1,024 bytes each of red, green and blue.
    """
    records = np.frombuffer(content, np.uint8).reshape(-1, CIFAR_RECORD_BYTES)
    pixels = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pixels), records[:, 0].copy()


def _read_parquet(folder: Path) -> Images:
    train_x, train_y = _read_jpegs(folder / "train.parquet")
    test_x, test_y = _read_jpegs(folder / "test.parquet")
    return Images(train_x, train_y, test_x, test_y, lossy=True)


def _read_jpegs(file: Path) -> tuple[UInt8Array, UInt8Array]:
    import pyarrow.parquet as pq
    from PIL import Image

    table: Any = pq.read_table(file, columns=["label", "jpeg"])
    pictures = [
        np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        for content in table["jpeg"].to_pylist()
    ]
    return np.stack(pictures), np.asarray(table["label"], dtype=np.uint8)


def _validate(dataset: ImageDataset, images: Images, path: Path) -> Images:
    train_x, train_y = _validate_part(dataset, images.train_x, images.train_y, path, "training")
    test_x, test_y = _validate_part(dataset, images.test_x, images.test_y, path, "test")
    return Images(train_x, train_y, test_x, test_y, lossy=images.lossy)


def _validate_part(
    dataset: ImageDataset, x: NDArray[Any], y: NDArray[Any], path: Path, part: str
) -> tuple[UInt8Array, UInt8Array]:
    """Images with a channel axis, and labels as uint8. Raises DatasetError."""
    if x.ndim == len(dataset.shape) and dataset.shape[2] == 1:
        x = x[..., None]
    if x.dtype != np.uint8 or x.shape[1:] != dataset.shape:
        raise DatasetError(
            f"the {part} images of {path} are {x.dtype} of the shape {x.shape[1:]}",
            f"{dataset.name} has uint8 images of the shape {dataset.shape}",
        )
    if y.ndim != 1 or len(y) != len(x) or len(y) < ROWS_MIN:
        raise DatasetError(
            f"{path} has {len(x)} {part} images and {y.size} labels",
            f"a label per image is required, and at least {ROWS_MIN} images",
        )
    label_count = len(dataset.labels)
    is_integer = np.issubdtype(y.dtype, np.integer)
    if not is_integer or not 0 <= int(y.min()) <= int(y.max()) < label_count:
        raise DatasetError(
            f"the {part} labels of {path} run from {y.min()} to {y.max()}",
            f"labels are integers from 0 to {label_count - 1}",
        )
    return np.ascontiguousarray(x), y.astype(np.uint8)
