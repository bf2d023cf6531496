"""Networks for CIFAR-10: a small one with the structure of the mission's, and ResNet-9.

ResNet-9 follows D. Page, "How to Train Your ResNet" (2018).
"""

from typing import Any

import torch
from torch import Tensor, nn

WIDTH = 16
LOGIT_SCALE = 0.125
# Mean and standard deviation per channel of CIFAR-10's training images, scaled to 0 to 1.
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def build_network(profile: str, outputs: int) -> nn.Module:
    """Network of a profile: normalised images (rows × 3 × 32 × 32) to (rows × outputs) logits."""
    return build_simple(outputs) if profile == "simple" else ResNet9(outputs)


def build_simple(outputs: int) -> nn.Module:
    """Conv32 - Pool - Conv64 - Pool - Flatten - Dense64 - Dense10."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 6 * 6, 64),
        nn.ReLU(),
        nn.Linear(64, outputs),
    )


def _convolution(channels: int, outputs: int, *, pool: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]
    if pool:
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class ResNet9(nn.Module):  # type: ignore[misc]
    """Four stages, two of them with a residual connection over two convolutions."""

    def __init__(self, outputs: int, width: int = WIDTH) -> None:
        super().__init__()
        w = width
        self.head = nn.Sequential(_convolution(3, w), _convolution(w, 2 * w, pool=True))
        self.first = nn.Sequential(_convolution(2 * w, 2 * w), _convolution(2 * w, 2 * w))
        self.middle = nn.Sequential(
            _convolution(2 * w, 4 * w, pool=True), _convolution(4 * w, 8 * w, pool=True)
        )
        self.second = nn.Sequential(_convolution(8 * w, 8 * w), _convolution(8 * w, 8 * w))
        self.tail = nn.Sequential(nn.MaxPool2d(4), nn.Flatten(), nn.Linear(8 * w, outputs))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (rows × outputs) of images (rows × 3 × 32 × 32)."""
        h = self.head(images)
        h = h + self.first(h)
        h = self.middle(h)
        h = h + self.second(h)
        logits: Tensor = self.tail(h) * LOGIT_SCALE
        return logits


class ServedNetwork(nn.Module):  # type: ignore[misc]
    """The network as it is exported: from pixels (0 to 255, channels last) to probabilities."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", 255 * torch.tensor(DEVIATION).view(1, 3, 1, 1))

    def normalise(self, images: Any) -> Any:
        """Pixels (rows × 32 × 32 × 3) to channels first with mean 0 and deviation 1."""
        return (images.permute(0, 3, 1, 2) - self.mean) / self.deviation

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities (rows × labels) of pixels (rows × 32 × 32 × 3)."""
        probabilities: Tensor = self.network(self.normalise(images)).softmax(dim=1)
        return probabilities
