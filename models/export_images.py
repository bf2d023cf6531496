"""A trained image network → a model folder (ONNX and manifest): pixels from 0 to 255 in, a
probability per label out.

Torch writes ONNX itself. For Keras no kept-up exporter fits the pins, and the network is a plain
chain: it is built from its weights.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from contracts.errors import RegistryError
from models.runtime import (
    MODEL_FILE,
    PROBABILITY_DIFFERENCE_MAX,
    Exported,
    Manifest,
    file_sha256,
    load,
)

OPSET, IR_VERSION = 15, 8  # as of the other ONNX models here
GOLDEN_ROWS = 8
KERNEL = [2, 2]
Floats32 = NDArray[np.float32]


def keras_chain(weights: Sequence[Floats32], shape: tuple[int, int, int]) -> bytes:
    """ONNX of (pixels / 255 → Conv, ReLU, MaxPool 2 × 2) per kernel of four dimensions, then flat,
    Dense and ReLU, and at last softmax.

    `weights`: kernel and bias per layer in Keras' order, kernels (height, width, in, out) and (in,
    out); valid padding.
    """
    layers = list(zip(weights[::2], weights[1::2], strict=True))
    nodes = [
        helper.make_node("Div", ["images", "scale"], ["h"]),
        helper.make_node("Transpose", ["h"], ["h0"], perm=[0, 3, 1, 2]),
    ]
    tensors, at = [numpy_helper.from_array(np.float32(255), "scale")], "h0"
    for number, (kernel, bias) in enumerate(layers):
        last = number == len(layers) - 1
        if (
            kernel.ndim == 2 and layers[number - 1][0].ndim == 4
        ):  # Keras flattens with the channels last
            nodes += [
                helper.make_node("Transpose", [at], ["nhwc"], perm=[0, 2, 3, 1]),
                helper.make_node("Flatten", ["nhwc"], ["flat"]),
            ]
            at = "flat"
        laid = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel
        tensors += [
            numpy_helper.from_array(np.ascontiguousarray(laid), f"w{number}"),
            numpy_helper.from_array(bias, f"b{number}"),
        ]
        nodes += _layer(number, at, pooled=kernel.ndim == 4, last=last)
        at = nodes[-1].output[0]
    outputs = len(layers[-1][1])
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [None, *shape])],
        [helper.make_tensor_value_info(at, TensorProto.FLOAT, [None, outputs])],
        tensors,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _layer(number: int, at: str, *, pooled: bool, last: bool) -> list[onnx.NodeProto]:
    made, active, out = f"made{number}", f"active{number}", f"out{number}"
    first = helper.make_node("Conv" if pooled else "Gemm", [at, f"w{number}", f"b{number}"], [made])
    if last:
        return [first, helper.make_node("Softmax", [made], ["probabilities"], axis=-1)]
    relu = helper.make_node("Relu", [made], [active])
    return (
        [
            first,
            relu,
            helper.make_node("MaxPool", [active], [out], kernel_shape=KERNEL, strides=KERNEL),
        ]
        if pooled
        else [first, relu]
    )


def seal(
    content: bytes,
    folder: Path,
    images: NDArray[np.uint8],
    answers: Floats32,
    *,
    labels: tuple[str, ...],
    trained_on: str,
) -> Exported:
    """Write ONNX and manifest into `folder` and compare with the original's `answers` (rows ×
    labels) to `images` (rows × shape).

    Raises RegistryError when a probability differs by more than PROBABILITY_DIFFERENCE_MAX.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_bytes(content)
    golden = np.linspace(0, len(images) - 1, min(GOLDEN_ROWS, len(images)), dtype=int)
    manifest = Manifest(
        sha256=file_sha256(folder / MODEL_FILE),
        features=(),
        trained_on=trained_on,
        trained_to_us=0,
        horizon_s=0,
        golden_rows=tuple(images[golden].tolist()),
        golden_forecasts=tuple(answers[golden].astype(float).tolist()),
        shape=tuple(images.shape[1:]),
        labels=labels,
    )
    digest = manifest.write(folder)
    difference = float(np.abs(load(folder, digest).predict(images) - answers).max())
    if not difference <= PROBABILITY_DIFFERENCE_MAX:
        raise RegistryError(
            f"the converted network differs from the original by {difference:g}",
            "the exporter does not fit this network",
        )
    return Exported(folder, digest, difference)
