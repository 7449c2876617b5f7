"""The architectures. To add one, write its file in this folder, import it here and add it to `MODELS`."""

from __future__ import annotations

from normbench.models.allconv import AllConv
from normbench.models.base import Model
from normbench.models.cnn import CNN
from normbench.models.deep_linear import DeepLinear
from normbench.models.highway import Highway
from normbench.models.lstm import LSTM
from normbench.models.mlp import MLP
from normbench.models.resnet import ResNet
from normbench.models.rnn import RNN
from normbench.registry import Registry

MODELS: Registry[Model] = Registry("model", MLP, CNN, ResNet, Highway, DeepLinear, AllConv, LSTM, RNN)

__all__ = ["MODELS", "Model"]
