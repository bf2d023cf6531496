"""The two networks for CIFAR-10: the mission's small structure, and ResNet-9 (after Page, How to
train your ResNet, 2018).
"""

from typing import Any

import torch
from torch import Tensor, nn

WIDTH = 16
LOGIT_SCALE = 0.125
# Mean and deviation of CIFAR-10's training images, per channel, of values from 0 to 1.
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def made(profile: str, outputs: int) -> nn.Module:
    """A network from normalised images (rows × 3 × 32 × 32) to logits."""
    return simple(outputs) if profile == "simple" else ResNet9(outputs)


def simple(outputs: int) -> nn.Module:
    """Conv32 – Pool – Conv64 – Pool – Flatten – Dense64 – Dense10."""
    convolutions = [
        nn.Conv2d(3, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]
    return nn.Sequential(
        *convolutions, nn.Flatten(), nn.Linear(64 * 6 * 6, 64), nn.ReLU(), nn.Linear(64, outputs)
    )


def _convolution(into: int, out: int, *, pooled: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(into, out, 3, padding=1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(),
    ]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pooled else []))


class ResNet9(nn.Module):  # type: ignore[misc]
    """Four stages, two of them with a residual pair."""

    def __init__(self, outputs: int, width: int = WIDTH) -> None:
        super().__init__()
        w = width
        self.head = nn.Sequential(_convolution(3, w), _convolution(w, 2 * w, pooled=True))
        self.first = nn.Sequential(_convolution(2 * w, 2 * w), _convolution(2 * w, 2 * w))
        self.middle = nn.Sequential(
            _convolution(2 * w, 4 * w, pooled=True), _convolution(4 * w, 8 * w, pooled=True)
        )
        self.second = nn.Sequential(_convolution(8 * w, 8 * w), _convolution(8 * w, 8 * w))
        self.tail = nn.Sequential(nn.MaxPool2d(4), nn.Flatten(), nn.Linear(8 * w, outputs))

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        h = self.head(images)
        h = h + self.first(h)
        h = self.middle(h)
        h = h + self.second(h)
        answer: Tensor = self.tail(h) * LOGIT_SCALE
        return answer


class Whole(nn.Module):  # type: ignore[misc]
    """The network as it is served: pixels from 0 to 255, channels last, in; probabilities out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", 255 * torch.tensor(DEVIATION).view(1, 3, 1, 1))

    def normal(self, images: Any) -> Any:
        """Channels first, mean 0, deviation 1."""
        return (images.permute(0, 3, 1, 2) - self.mean) / self.deviation

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities."""
        answer: Tensor = self.network(self.normal(images)).softmax(dim=1)
        return answer
