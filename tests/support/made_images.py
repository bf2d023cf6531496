"""Small hand-made image sets and networks: images that show their label, a chain that reads it."""

import json

import numpy as np

from contracts.config.settings import Settings
from models.export.image_network import keras_to_onnx
from training.vision import directory
from training.vision.images import Images
from training.vision.specs import VisionSpec


def digits(rows: int = 60, seed: int = 1, tested: int = 60) -> Images:
    """Dark 28 × 28 images with half of one row bright: which row and half encodes the label."""
    rng = np.random.default_rng(seed)

    def part(rows: int) -> tuple[np.ndarray, np.ndarray]:
        y = rng.integers(0, 10, rows).astype(np.uint8)
        x = rng.integers(0, 40, (rows, 28, 28, 1)).astype(np.uint8)
        for image, label in zip(x, y, strict=True):
            image[bright(int(label))] = 250
        return x, y

    return Images(*part(rows), *part(tested))


def bright(label: int) -> tuple[int, slice]:
    """The row and the half of it that are bright."""
    return 4 * (label // 2) + 3, slice(14 * (label % 2), 14 * (label % 2) + 14)


def chain(seed: int = 2) -> list[np.ndarray]:
    """Weights of a Conv, Conv, Dense, Dense network on 28 × 28 × 1, drawn at random."""
    rng = np.random.default_rng(seed)
    shapes = [(3, 3, 1, 4), (4,), (3, 3, 4, 5), (5,), (5 * 5 * 5, 8), (8,), (8, 10), (10,)]
    return [(rng.normal(size=shape) / 3).astype(np.float32) for shape in shapes]


def answers(weights: list[np.ndarray], images: np.ndarray) -> np.ndarray:
    """The output of the chain, computed by loops over pixels: obviously right, and slow."""
    h = images.astype(np.float64) / 255
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        if kernel.ndim == 4:
            h = _pooled(np.maximum(_convolved(h, kernel) + bias, 0))
        else:
            h = h.reshape(len(h), -1) @ kernel + bias
            h = h if len(bias) == 10 else np.maximum(h, 0)
    e = np.exp(h - h.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _convolved(h: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    side = h.shape[1] - 2
    out = np.zeros((len(h), side, side, kernel.shape[3]))
    for down in range(3):
        for right in range(3):
            out += h[:, down : down + side, right : right + side] @ kernel[down, right]
    return out


def _pooled(h: np.ndarray) -> np.ndarray:
    side = h.shape[1] // 2
    return h[:, : 2 * side, : 2 * side].reshape(len(h), side, 2, side, 2, -1).max(axis=(2, 4))


def trained(settings: Settings, spec: VisionSpec, key: str, images: Images) -> None:
    """Write to the run directory what a training process writes.

    A network that reads the bright row, its answers, its history and facts.
    """
    at = directory.vision_directory(settings, spec, key)
    weights = reader()
    (at.path / "network.onnx").write_bytes(keras_to_onnx(weights, (28, 28, 1)))
    with (at.path / "answers.npz").open("wb") as out:
        np.savez(out, answers=answers(weights, images.test_x[:512]).astype(np.float32))
    line = {"epoch": 1.0, "loss": 0.5, "accuracy": 0.9, "val_loss": 0.4, "val_accuracy": 0.9}
    (at.path / "history.json").write_text(json.dumps([line]))
    (at.path / "facts.json").write_text(json.dumps({"best_epoch": 1, "parameters": 10}))


def reader() -> list[np.ndarray]:
    """Weights that read the label: it follows from the brightness of each pooled row."""
    first = np.zeros((3, 3, 1, 1), np.float32)
    first[1, 1] = 1
    second = np.zeros((3, 3, 1, 1), np.float32)
    second[1, 1] = 1
    rows = np.zeros((5, 5, 1, 25), np.float32)
    for place in range(25):
        rows[place // 5, place % 5, 0, place] = 1
    last = np.zeros((25, 10), np.float32)
    for label in range(10):
        image = np.zeros((1, 28, 28, 1))
        image[(0, *bright(label))] = 1
        seen = _pooled(_convolved(_pooled(_convolved(image, first)), second)).reshape(25)
        last[:, label] = 40 * seen / max(1, seen.sum())
    zero = [np.zeros(n, np.float32) for n in (1, 1, 25, 10)]
    return [first, zero[0], second, zero[1], rows.reshape(25, 25), zero[2], last, zero[3]]
