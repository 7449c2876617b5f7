"""The nets of the work as torch users write them."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm
from work import Work

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}


def build(work: Work) -> nn.Module:
    return {"mlp": mlp, "cnn": cnn, "resnet": ResNet, "lstm": Rows}[work.model](work)


def mlp(work: Work) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    inputs = 784
    for _ in range(work.depth):
        dense = nn.Linear(inputs, work.width)
        layers.append(weight_norm(dense) if work.norm == "weightnorm" else dense)
        if work.norm == "batchnorm":
            layers.append(nn.BatchNorm1d(work.width))
        elif work.norm == "layernorm":
            layers.append(nn.LayerNorm(work.width))
        layers.append(ACTIVATIONS[work.activation]())
        if work.dropout:
            layers.append(nn.Dropout(work.dropout))
        inputs = work.width
    return nn.Sequential(*layers, nn.Linear(inputs, 10))


def cnn(work: Work) -> nn.Module:
    """Return pairs of 3x3 convolutions with a pooling after each, the channels doubled each time."""
    layers: list[nn.Module] = []
    inputs, outputs = 3, work.width
    for index in range(work.depth):
        layers.append(nn.Conv2d(inputs, outputs, 3, padding=1))
        if work.norm == "batchnorm":
            layers.append(nn.BatchNorm2d(outputs))
        layers.append(ACTIVATIONS[work.activation]())
        inputs = outputs
        if index % 2:
            layers.append(nn.MaxPool2d(2))
            outputs *= 2
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))


class Residual(nn.Module):
    """y = relu(x + f(x)), f two 3x3 convolutions with batch normalization; a shortcut without weights."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride, self.more = stride, outputs - inputs
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        if self.stride > 1:
            x = F.pad(x[..., :: self.stride, :: self.stride], (0, 0, 0, 0, self.more // 2, self.more // 2))
        return F.relu(x + y)


class ResNet(nn.Module):
    def __init__(self, work: Work) -> None:
        super().__init__()
        first = nn.Conv2d(3, work.width, 3, padding=1, bias=False)
        layers: list[nn.Module] = [first, nn.BatchNorm2d(work.width), nn.ReLU()]
        inputs = work.width
        for stage in range(3):
            for index in range((work.depth - 2) // 6):
                outputs = work.width * 2**stage
                layers.append(Residual(inputs, outputs, 2 if stage and not index else 1))
                inputs = outputs
        self.net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Rows(nn.Module):
    """nn.LSTM over the rows of an image."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.recurrent, self.classifier = nn.LSTM(28, work.width), nn.Linear(work.width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.recurrent(x.squeeze(1).transpose(0, 1))[0][-1])
