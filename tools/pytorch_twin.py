"""The metric stage's step in plain PyTorch, for tools/benchmark.py to compare with."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional


class Convolution(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride=1):
        super().__init__()
        weight = torch.empty(outputs, inputs, kernel, kernel)
        bound = (inputs * kernel * kernel) ** -0.5
        nn.init.uniform_(weight, -bound, bound)
        self.weight = nn.Parameter(weight.to(memory_format=torch.channels_last))
        self.stride, self.padding = stride, (kernel - stride) // 2

    def forward(self, images):
        norm = self.weight.flatten(1).norm(dim=1)[:, None, None, None]
        weight = self.weight / (norm + 1e-8)
        return functional.conv2d(
            images, weight, stride=self.stride, padding=self.padding
        )


class Activation(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.slope = nn.Parameter(torch.full([channels, 1, 1], 0.25))
        self.threshold = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, images):
        centred = images - self.threshold
        slope = self.slope.clamp(0, 1)
        return (
            functional.relu(centred)
            - slope * functional.relu(-centred)
            + self.threshold
        )


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.first = Convolution(inputs, outputs, 4, 2)
        self.inner = Activation(outputs)
        self.second = Convolution(outputs, outputs, 3)
        self.project = Convolution(inputs, outputs, 1)
        self.residual_weight = nn.Parameter(torch.zeros(outputs, 1, 1))
        self.shortcut_weight = nn.Parameter(torch.ones(outputs, 1, 1))
        self.outer = Activation(outputs)

    def forward(self, images):
        residual = self.second(self.inner(self.first(images)))
        shortcut = self.project(functional.avg_pool2d(images, 2))
        r, s = self.residual_weight, self.shortcut_weight
        norm = torch.sqrt(r * r + s * s) + 1e-8
        return self.outer(residual * (r / norm) + shortcut * (s / norm))


def train_steps(
    size: int, batch: int, features: Sequence[int], steps: int
) -> Callable[[], None]:
    """Make a function that takes steps, from RGB pictures in memory.

    Args:
        size: side of the pictures in pixels.
        batch: pictures per step.
        features: of Table 1's S, per level.
        steps: taken by each call.
    """
    torch.manual_seed(0)
    widths = [3, *features]
    trunk = nn.Sequential(*map(Block, widths[:-1], widths[1:]), nn.Flatten())
    dims, artists, t = 512, 4, 0.995
    flat = features[-1] * (size >> len(features)) ** 2
    head = nn.Parameter(torch.empty(flat, dims).uniform_(-(flat**-0.5), flat**-0.5))
    gain, bias = nn.Parameter(torch.ones(dims)), nn.Parameter(torch.zeros(dims))
    styles = nn.Parameter(torch.randn(artists, dims))
    log_scales = nn.Parameter(torch.zeros(dims))
    weights = t ** torch.arange(dims)
    weights = weights / weights.sum()
    optimizer = torch.optim.Adam(
        [*trunk.parameters(), head, gain, bias, styles, log_scales], 1e-4
    )
    pictures = torch.randint(0, 256, [batch, size, size, 3], dtype=torch.uint8)
    to_xyz = torch.tensor(
        [
            [0.412453, 0.357580, 0.180423],
            [0.212671, 0.715160, 0.072169],
            [0.019334, 0.119193, 0.950227],
        ]
    )
    white = torch.tensor([0.95047, 1.0, 1.08883])

    def to_lab():
        rgb = pictures / 255
        linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
        xyz = linear @ to_xyz.T / white
        f = torch.where(xyz > 0.008856, xyz ** (1 / 3), 7.787 * xyz + 16 / 116)
        x, y, z = f.unbind(dim=-1)
        lab = torch.stack(
            [(116 * y - 66) / 50, 500 * (x - y) / 110, 200 * (y - z) / 110], dim=1
        )
        return lab.to(memory_format=torch.channels_last)  # its faster layout

    same = functional.one_hot(torch.arange(batch) % artists, artists).float()

    def run():
        for _ in range(steps):
            codes = trunk(to_lab()) @ (head / (head.norm(dim=0) + 1e-8)) * gain + bias
            squares = (codes[:, None] - styles[None]).square()
            distances = log_scales.exp().square() * squares.cumsum(dim=-1)
            attraction = (weights * distances).sum(dim=-1)
            repulsion = (weights * torch.exp(-distances)).sum(dim=-1)
            loss = (same * attraction + (1 - same) * repulsion).sum() / batch
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run
