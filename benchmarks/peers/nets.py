"""The nets of the work as torch users write them."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from work import Work

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}


def build(work: Work) -> nn.Module:
    return mlp(work) if work.model == "mlp" else cnn(work)


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
