"""Export of a trained image classifier to a model folder (ONNX and manifest).

Input are pixels from 0 to 255, output is a probability per label. PyTorch exports ONNX itself. For
Keras, no maintained exporter works with the pinned versions, but the network is a plain chain of
layers: `keras_to_onnx` builds it from the weights.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.export.seal import golden_indices, seal_model
from models.runtime import MODEL_FILE, ExportedModel, Manifest, file_sha256

OPSET, IR_VERSION = 15, 8  # as of the other ONNX models of the project
GOLDEN_ROWS = 8
POOL_SIZE = [2, 2]
KERNEL_DIMENSIONS = 4
Floats32 = NDArray[np.float32]


def keras_to_onnx(weights: Sequence[Floats32], shape: tuple[int, int, int]) -> bytes:
    """ONNX model of a Keras classifier for images of `shape` (height, width, channels).

    The layers are: pixels / 255; for each kernel of four dimensions Conv2D (valid padding), ReLU
    and MaxPool 2 × 2; Flatten; for each kernel of two dimensions Dense and ReLU; softmax after the
    last one.

    `weights` are kernel and bias of each layer in Keras' order; kernels are (height, width, in,
    out) or (in, out).
    """
    layers = list(zip(weights[::2], weights[1::2], strict=True))
    nodes = [
        helper.make_node("Div", ["images", "scale"], ["h"]),
        helper.make_node("Transpose", ["h"], ["h0"], perm=[0, 3, 1, 2]),
    ]
    tensors = [numpy_helper.from_array(np.float32(255), "scale")]
    output = "h0"
    for number, (kernel, bias) in enumerate(layers):
        is_convolution = kernel.ndim == KERNEL_DIMENSIONS
        if not is_convolution and layers[number - 1][0].ndim == KERNEL_DIMENSIONS:
            # Keras flattens with the channels last, ONNX convolutions have them first.
            nodes += [
                helper.make_node("Transpose", [output], ["nhwc"], perm=[0, 2, 3, 1]),
                helper.make_node("Flatten", ["nhwc"], ["flat"]),
            ]
            output = "flat"
        onnx_kernel = kernel.transpose(3, 2, 0, 1) if is_convolution else kernel
        tensors += [
            numpy_helper.from_array(np.ascontiguousarray(onnx_kernel), f"w{number}"),
            numpy_helper.from_array(bias, f"b{number}"),
        ]
        is_last = number == len(layers) - 1
        nodes += _layer_nodes(number, output, is_convolution=is_convolution, is_last=is_last)
        output = nodes[-1].output[0]
    return _serialize_model(nodes, tensors, shape, output, label_count=len(layers[-1][1]))


def _layer_nodes(
    number: int, source: str, *, is_convolution: bool, is_last: bool
) -> list[onnx.NodeProto]:
    linear = f"linear{number}"
    active = f"active{number}"
    operator = "Conv" if is_convolution else "Gemm"
    nodes = [helper.make_node(operator, [source, f"w{number}", f"b{number}"], [linear])]
    if is_last:
        return [*nodes, helper.make_node("Softmax", [linear], ["probabilities"], axis=-1)]
    nodes.append(helper.make_node("Relu", [linear], [active]))
    if is_convolution:
        pooled = f"out{number}"
        nodes.append(
            helper.make_node(
                "MaxPool", [active], [pooled], kernel_shape=POOL_SIZE, strides=POOL_SIZE
            )
        )
    return nodes


def _serialize_model(
    nodes: Sequence[onnx.NodeProto],
    tensors: Sequence[onnx.TensorProto],
    shape: tuple[int, int, int],
    output: str,
    label_count: int,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [None, *shape])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, label_count])],
        tensors,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def export_network(
    content: bytes,
    folder: Path,
    images: NDArray[np.uint8],
    probabilities: Floats32,
    *,
    labels: tuple[str, ...],
    trained_on: str,
) -> ExportedModel:
    """Write the ONNX model `content` and its manifest into `folder`, and compare its outputs.

    `probabilities` (rows × labels) are the original's outputs for `images` (rows × shape). Raises
    RegistryError if one differs by more than PROBABILITY_DIFFERENCE_MAX.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_bytes(content)
    golden = golden_indices(len(images), GOLDEN_ROWS)
    manifest = Manifest(
        sha256=file_sha256(folder / MODEL_FILE),
        features=(),
        trained_on=trained_on,
        trained_to_us=0,
        horizon_s=0,
        golden_rows=tuple(images[golden].tolist()),
        golden_forecasts=tuple(probabilities[golden].astype(float).tolist()),
        shape=tuple(images.shape[1:]),
        labels=labels,
    )
    return seal_model(
        folder,
        manifest,
        images,
        probabilities,
        subject="converted network",
        hint="the exporter does not support this network",
    )
