"""ResNet50 in PyTorch, with random weights, since torchvision may be missing.

Source: He et al., Deep Residual Learning for Image Recognition, 2015, table 1; as in torchvision, the 3x3 convolution
of a block has the stride.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["resnet50"]

_STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))
_EXPANSION = 4


class Block(nn.Module):  # type: ignore[misc]  # torch may be missing, and is Any to mypy
    """A bottleneck block."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = width * _EXPANSION
        self.residual = nn.Sequential(
            *_convolution(channels, width, 1),
            nn.ReLU(inplace=True),
            *_convolution(width, width, 3, stride),
            nn.ReLU(inplace=True),
            *_convolution(width, out, 1),
        )
        changed = stride != 1 or channels != out
        self.shortcut = nn.Sequential(*_convolution(channels, out, 1, stride)) if changed else nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the features of the next block."""
        return torch.relu(self.residual(images) + self.shortcut(images))


def resnet50(classes: int = 1000) -> nn.Module:
    """Return the network, which takes `[N, 3, H, W]`."""
    layers: list[nn.Module] = [*_convolution(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, (blocks, width) in enumerate(_STAGES):
        for block in range(blocks):
            layers.append(Block(channels, width, 2 if stage and not block else 1))
            channels = width * _EXPANSION
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def _convolution(channels: int, filters: int, size: int, stride: int = 1) -> list[Any]:
    return [nn.Conv2d(channels, filters, size, stride, size // 2, bias=False), nn.BatchNorm2d(filters)]
