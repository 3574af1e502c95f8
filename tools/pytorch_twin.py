"""The metric stage's step in plain PyTorch, for tools/benchmark.py to compare with."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

_DIMS, _ARTISTS, _T = 512, 4, 0.995
_EPSILON = 1e-8  # added to norms
_TO_XYZ = [
    [0.412453, 0.357580, 0.180423],
    [0.212671, 0.715160, 0.072169],
    [0.019334, 0.119193, 0.950227],
]
_WHITE = [0.95047, 1.0, 1.08883]


class Convolution(nn.Module):
    """A strictly weight-normalized convolution."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        weight = torch.empty(outputs, inputs, kernel, kernel)
        bound = (inputs * kernel * kernel) ** -0.5
        nn.init.uniform_(weight, -bound, bound)
        self.weight = nn.Parameter(weight.to(memory_format=torch.channels_last))
        self.stride, self.padding = stride, (kernel - stride) // 2

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        norm = self.weight.flatten(1).norm(dim=1)[:, None, None, None]
        weight = self.weight / (norm + _EPSILON)
        return functional.conv2d(
            images, weight, stride=self.stride, padding=self.padding
        )


class Activation(nn.Module):
    """TPReLU: a translated PReLU with a slope and a threshold per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.full([channels, 1, 1], 0.25))
        self.threshold = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        centered = images - self.threshold
        slope = self.slope.clamp(0, 1)
        return (
            functional.relu(centered)
            - slope * functional.relu(-centered)
            + self.threshold
        )


class Block(nn.Module):
    """The residual block of a level of S."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = Convolution(inputs, outputs, 4, 2)
        self.inner = Activation(outputs)
        self.second = Convolution(outputs, outputs, 3)
        self.project = Convolution(inputs, outputs, 1)
        self.residual_weight = nn.Parameter(torch.zeros(outputs, 1, 1))
        self.shortcut_weight = nn.Parameter(torch.ones(outputs, 1, 1))
        self.outer = Activation(outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        residual = self.second(self.inner(self.first(images)))
        shortcut = self.project(functional.avg_pool2d(images, 2))
        r, s = self.residual_weight, self.shortcut_weight
        norm = torch.sqrt(r * r + s * s) + _EPSILON
        return self.outer(residual * (r / norm) + shortcut * (s / norm))


class MetricModel(nn.Module):
    """S, of `features` per level, and the presumed styles; computes equation 2."""

    def __init__(self, size: int, features: Sequence[int]) -> None:
        super().__init__()
        channels = [3, *features]
        self.trunk = nn.Sequential(
            *map(Block, channels[:-1], channels[1:]), nn.Flatten()
        )
        inputs = features[-1] * (size >> len(features)) ** 2
        bound = inputs**-0.5
        self.head = nn.Parameter(torch.empty(inputs, _DIMS).uniform_(-bound, bound))
        self.gain = nn.Parameter(torch.ones(_DIMS))
        self.bias = nn.Parameter(torch.zeros(_DIMS))
        self.styles = nn.Parameter(torch.randn(_ARTISTS, _DIMS))
        self.log_scales = nn.Parameter(torch.zeros(_DIMS))
        weights = _T ** torch.arange(_DIMS)
        self.weights = weights / weights.sum()

    def forward(self, images: torch.Tensor, same: torch.Tensor) -> torch.Tensor:
        head = self.head / (self.head.norm(dim=0) + _EPSILON)
        codes = self.trunk(images) @ head * self.gain + self.bias
        squares = (codes[:, None] - self.styles[None]).square()
        distances = self.log_scales.exp().square() * squares.cumsum(dim=-1)
        attraction = (self.weights * distances).sum(dim=-1)
        repulsion = (self.weights * torch.exp(-distances)).sum(dim=-1)
        return (same * attraction + (1 - same) * repulsion).sum() / len(images)


def make_train_steps(
    size: int, batch: int, features: Sequence[int], steps: int
) -> Callable[[], None]:
    """Return a function that takes training steps on RGB pictures in memory."""
    torch.manual_seed(0)
    model = MetricModel(size, features)
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    pictures = torch.randint(0, 256, [batch, size, size, 3], dtype=torch.uint8)
    same = functional.one_hot(torch.arange(batch) % _ARTISTS, _ARTISTS).float()

    def run() -> None:
        for _ in range(steps):
            loss = model(_convert_to_lab(pictures), same)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def _convert_to_lab(pictures: torch.Tensor) -> torch.Tensor:
    """Convert uint8 RGB [.., 3] to scaled Lab [batch, 3, size, size]."""
    rgb = pictures / 255
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = linear @ torch.tensor(_TO_XYZ).T / torch.tensor(_WHITE)
    f = torch.where(xyz > 0.008856, xyz ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(dim=-1)
    lab = torch.stack(
        [(116 * y - 66) / 50, 500 * (x - y) / 110, 200 * (y - z) / 110], dim=1
    )
    return lab.to(memory_format=torch.channels_last)  # PyTorch's faster layout
