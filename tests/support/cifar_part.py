"""A small part of the real CIFAR-10, in its original format."""

from pathlib import Path

import numpy as np

from tests.support.real_data import real
from training.vision import images
from training.vision.specs import CIFAR10


def cifar_batches(target: Path, train_every: int, test_every: int) -> Path:
    """Every n-th image of the real set, as binary batches in folder `target`.

    Decoding all JPEGs takes too long.
    """
    images_ = images.read_images(CIFAR10, real("cifar10/train.parquet").parent)
    target.mkdir()
    for name, x, y in (
        ("data_batch_1.bin", images_.train_x[::train_every], images_.train_y[::train_every]),
        ("test_batch.bin", images_.test_x[::test_every], images_.test_y[::test_every]),
    ):
        rows = np.concatenate([y[:, None], x.transpose(0, 3, 1, 2).reshape(len(x), -1)], axis=1)
        (target / name).write_bytes(rows.astype(np.uint8).tobytes())
    return target
