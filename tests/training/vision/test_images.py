"""The usual public files, made here in small, are read alike; what is damaged or no such set is
said and not trained on.
"""

import gzip
import io
import tarfile

import numpy as np
import polars as pl
import pytest
from PIL import Image

from contracts.errors import DatasetError
from tests.support.made_images import digits
from training.vision import images
from training.vision.images import Images
from training.vision.specs import CIFAR10, MNIST

COLOURS = np.random.default_rng(3).integers(0, 256, (60, 32, 32, 3)).astype(np.uint8)
LABELS = np.arange(60).astype(np.uint8) % 10


def keras_file(path, made: Images, **changed):
    arrays = {
        "x_train": made.train_x[..., 0],
        "y_train": made.train_y,
        "x_test": made.test_x[..., 0],
        "y_test": made.test_y,
    }
    np.savez(path, **arrays | changed)
    return path


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def batches(names=("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin")) -> dict[str, bytes]:
    records = np.concatenate(
        [LABELS[:, None], COLOURS.transpose(0, 3, 1, 2).reshape(60, -1)], axis=1
    ).tobytes()
    return dict.fromkeys(names, records)


def packed(path, parts: dict[str, bytes]):
    with tarfile.open(path, "w:gz") as out:
        for name, content in parts.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    return path


def test_keras_file_and_idx_files_hold_the_same(tmp_path):
    made = digits()
    one = images.read_images(MNIST, keras_file(tmp_path / "mnist.npz", made))
    for prefix, array in zip(
        images.IDX,
        (made.train_x[..., 0], made.train_y, made.test_x[..., 0], made.test_y),
        strict=True,
    ):
        plain = prefix.startswith("t10k")
        (tmp_path / f"{prefix}-idx{array.ndim}-ubyte{'' if plain else '.gz'}").write_bytes(
            idx(array) if plain else gzip.compress(idx(array))
        )
    other = images.read_images(MNIST, tmp_path)
    assert one.sha256() == other.sha256() == made.sha256()
    assert one.train_x.shape == (60, 28, 28, 1) and not one.lossy


def test_binary_batches_packed_or_not_are_the_images(tmp_path):
    tar = images.read_images(CIFAR10, packed(tmp_path / "cifar-10-binary.tar.gz", batches()))
    (tmp_path / "folder").mkdir()
    for name, content in batches().items():
        (tmp_path / "folder" / name).write_bytes(content)
    assert images.read_images(CIFAR10, tmp_path / "folder").sha256() == tar.sha256()
    assert (tar.train_x == np.concatenate([COLOURS, COLOURS])).all() and (
        tar.test_x == COLOURS
    ).all()
    assert (tar.test_y == LABELS).all()


def test_jpegs_in_parquet_are_marked_as_lossy(tmp_path):
    def jpeg(image: np.ndarray) -> bytes:
        out = io.BytesIO()
        Image.fromarray(image).save(out, "JPEG", quality=95)
        return out.getvalue()

    smooth = np.repeat(np.repeat(COLOURS[:, :4, :4], 8, axis=1), 8, axis=2)
    for part in ("train", "test"):
        pl.DataFrame({"label": LABELS, "jpeg": [jpeg(image) for image in smooth]}).write_parquet(
            tmp_path / f"{part}.parquet"
        )
    made = images.read_images(CIFAR10, tmp_path)
    assert made.lossy and (made.train_y == LABELS).all()
    assert np.abs(made.test_x.astype(int) - smooth).mean() < 8


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        (
            {"x_train": np.zeros((60, 27, 28), np.uint8)},
            "training images .* of the shape \\(27, 28, 1\\)",
        ),
        ({"x_test": np.zeros((60, 28, 28), np.float32)}, "test images .* are float32"),
        ({"y_train": np.zeros(59, np.uint8)}, "60 training images and 59 labels"),
        ({"y_test": np.full(60, 10, np.uint8)}, "test labels .* run from 10 to 10"),
        ({"y_test": np.full(60, -1)}, "test labels .* run from -1 to -1"),
        ({"y_train": np.zeros(60)}, "training labels"),
        (
            {"x_train": np.zeros((2, 28, 28), np.uint8), "y_train": np.zeros(2, np.uint8)},
            "2 training images",
        ),
        ({"x_train": np.array([{}], dtype=object)}, "cannot be read"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, changed, complaint):
    with pytest.raises(DatasetError, match=complaint):
        images.read_images(MNIST, keras_file(tmp_path / "mnist.npz", digits(), **changed))


def test_a_damaged_file_is_said_wherever_it_is_cut(tmp_path):
    whole = keras_file(tmp_path / "mnist.npz", digits()).read_bytes()
    for size in (0, 3, 100, len(whole) // 2, len(whole) - 30):
        (tmp_path / "cut.npz").write_bytes(whole[:size])
        with pytest.raises(DatasetError, match="cannot be read"):
            images.read_images(MNIST, tmp_path / "cut.npz")


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"data_batch_1": b"pickled"},
        batches(("data_batch_1.bin",)),
        {**batches(), "test_batch.bin": b"123"},
    ],
)
def test_archives_without_the_binary_batches_are_refused(tmp_path, parts):
    with pytest.raises(DatasetError, match="cannot be read"):
        images.read_images(CIFAR10, packed(tmp_path / "x.tar.gz", parts))


def test_pictures_of_any_size_become_images(tmp_path):
    Image.fromarray(COLOURS[0]).save(tmp_path / "as-it-is.png")
    Image.new("RGB", (64, 96), (10, 20, 30)).save(tmp_path / "larger.jpg")
    made = images.load_pictures([tmp_path / "as-it-is.png", tmp_path / "larger.jpg"], (32, 32, 3))
    assert (made[0] == COLOURS[0]).all() and np.abs(made[1].astype(int) - (10, 20, 30)).max() <= 2
    assert images.load_pictures([tmp_path / "larger.jpg"], (28, 28, 1)).shape == (1, 28, 28, 1)
    (tmp_path / "text.png").write_text("no picture")
    for file in ("none.png", "text.png", "."):
        with pytest.raises(DatasetError, match="not a picture that can be read"):
            images.load_pictures([tmp_path / file], (28, 28, 1))


def test_nothing_there_and_an_empty_folder(tmp_path):
    with pytest.raises(DatasetError, match="there is no"):
        images.read_images(MNIST, tmp_path / "none")
    with pytest.raises(DatasetError, match="neither train-images"):
        images.read_images(MNIST, tmp_path)
