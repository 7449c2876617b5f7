"""The gallery of plug-ins: what is expected of each file, its config, and its training in plain torch."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.engine import Trained, batches_of, data_of
from normbench.config import parse_config
from normbench.engine.state import initial_model
from normbench.models import MODELS
from normbench.nn.layers import ACTIVATIONS, Noisy, noise
from normbench.norms import NORMS
from normbench.optimizers import OPTIMIZERS
from normbench.planning.plan import make_plan
from normbench.planning.runs import RunSpec
from normbench.plugins import load_plugins
from normbench.seeding import generator

FOLDER = Path(__file__).parents[1] / "fidelity" / "gallery"
MARK = "# refused here"
STEPS, EVERY = 12, 4
RATES = (0.1, 0.03)
BATCH = 32


@dataclass(frozen=True)
class Piece:
    """A plug-in of the gallery.

    Attributes:
        path: its file.
        kind: what it is an example of: the first words of its docstring.
        exact: the executor that the plan chooses, or an empty text.
        refused: a piece of the sentence that refuses it, or an empty text.
        options: other lines of its docstring, by name.
    """

    path: Path
    kind: str
    exact: str
    refused: str
    options: dict[str, str]

    @property
    def line(self) -> int:
        """Return the line that the sentence must name: the only one with the mark."""
        lines = self.path.read_text(encoding="utf-8").splitlines()
        (line,) = (number for number, text in enumerate(lines, 1) if MARK in text)
        return line

    def registered(self) -> str:
        """Load the file and return the kind of what it registers: `norm`, `model`, ..."""
        load_plugins([self.path])
        registries = {"norm": NORMS, "model": MODELS, "activation": ACTIVATIONS, "optimizer": OPTIMIZERS}
        (kind,) = (kind for kind, entries in registries.items() if self.path.stem in entries)
        return kind

    def config(self, kind: str, dtype: str = "float32", **parts: object) -> str:
        """Return a config with two rates and two seeds that uses the plug-in.

        Args:
            kind: what it registers.
            dtype: of the training.
            parts: more sections.
        """
        name, options = self.path.stem, self.options
        model: dict[str, object] = {"name": options.get("net", "mlp"), "depth": 1, "width": 8}
        if kind == "model":
            model = {"name": name}
        if kind in ("norm", "activation"):
            model[kind] = name
        if "position" in options:
            model["norm_position"] = options["position"]
        if "dropout" in options:
            model["dropout"] = {"rate": float(options["dropout"]), "placement": "after_activation"}
        optimizer = {"name": name if kind == "optimizer" else "sgd"}
        if "decay" in options:
            optimizer["weight_decay"] = float(options["decay"])
        return yaml.safe_dump(
            {
                "name": "gallery",
                "seeds": 2,
                "data": {"name": "digits", "train_size": 320, "test_size": 40, "batch_size": BATCH},
                "model": model,
                "optimizer": optimizer,
                "train": {"steps": STEPS, "eval_every": EVERY, "dtype": dtype},
                "sweep": {"optimizer.lr": list(RATES), **parts},
            }
        )

    def runs(self, kind: str) -> list[RunSpec]:
        """Return its runs, in float64."""
        return list(make_plan(parse_config(self.config(kind, "float64")), device="cpu").runs)


def _piece(path: Path) -> Piece:
    head = path.read_text(encoding="utf-8").split('"""')[1]
    fields = dict(re.findall(r"^(\w+): (.*)$", head.split("\n", 1)[1], re.M))
    exact, refused = fields.pop("exact", ""), fields.pop("refused", "")
    assert bool(exact) != bool(refused), path
    return Piece(path, head.split(":")[0], exact, refused, fields)


PIECES = {path.stem: _piece(path) for path in sorted(FOLDER.glob("*.py"))}
EXACT = [name for name, piece in PIECES.items() if piece.exact]
REFUSED = [name for name, piece in PIECES.items() if piece.refused]


# The rules of the optimizers, as torch code of one run: (parameter, gradient, memory, rate) -> None.


def _sgd(param: Tensor, grad: Tensor, memory: dict[str, Tensor], lr: float) -> None:
    param -= lr * grad


def _lars(param: Tensor, grad: Tensor, memory: dict[str, Tensor], lr: float) -> None:
    weight, slope = param.square().sum().sqrt(), grad.square().sum().sqrt()
    param -= lr * (weight + 1e-3) / (slope + 1e-9) * grad


def _lion(param: Tensor, grad: Tensor, memory: dict[str, Tensor], lr: float) -> None:
    average = memory["average"] = 0.9 * memory.get("average", torch.zeros_like(grad)) + 0.1 * grad
    param -= 0.01 * lr * torch.sign(average)


def _muon(param: Tensor, grad: Tensor, memory: dict[str, Tensor], lr: float) -> None:
    x = memory["momentum"] = 0.9 * memory.get("momentum", torch.zeros_like(grad)) + grad
    if param.dim() == 2:
        x = x / (torch.linalg.norm(x) + 1e-7)
        for _ in range(5):
            x = 1.5 * x - 0.5 * (x @ x.T) @ x
    param -= lr * x


RULES: dict[str, Callable[[Tensor, Tensor, dict[str, Tensor], float], None]] = {
    "sgd": _sgd,
    "optimizer_lars": _lars,
    "optimizer_lars_stacked": _lars,
    "optimizer_lion": _lion,
    "optimizer_muon": _muon,
}


def train_plainly(run: RunSpec) -> tuple[list[float], list[float], dict[str, Tensor]]:
    """Train one run in plain torch; return the losses of each evaluation and the final tensors."""
    dataset = data_of(run)
    batch = batches_of(run, dataset)
    net = initial_model(run, dataset.input_shape, dataset.classes, batch(0)[0])
    rule, lr = RULES[run.settings.optimizer.name], run.settings.optimizer.lr
    memories: dict[str, dict[str, Tensor]] = {name: {} for name, _ in net.named_parameters()}
    numbers: dict[str, Tensor] = {}
    step = 0

    def drawn(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        rng = generator(run.seed, "noise", step, module.place)
        numbers[module.place] = torch.rand(inputs[0].shape, generator=rng).to(inputs[0].dtype)

    for module in net.modules():
        if isinstance(module, Noisy):
            module.register_forward_pre_hook(drawn)

    def test_loss() -> float:
        with torch.no_grad():
            return F.cross_entropy(net.eval()(dataset.test.x), dataset.test.y).item()

    losses: list[float] = []  # since the last evaluation
    train, test = [], [test_loss()]
    for step in range(run.settings.train.steps):
        images, labels = batch(step)
        net.zero_grad()
        with noise(numbers):
            loss = F.cross_entropy(net.train()(images), labels)
        loss.backward()
        with torch.no_grad():
            for name, param in net.named_parameters():
                if param.requires_grad:
                    rule(param, param.grad, memories[name], lr)
        losses.append(loss.item())
        if len(losses) == run.settings.train.eval_every:
            train.append(statistics.fmean(losses))
            test.append(test_loss())
            losses.clear()
    tensors = (*net.named_parameters(), *net.named_buffers())
    return train, test, {name: tensor.detach() for name, tensor in tensors}


def difference(runs: list[RunSpec], executor: str, plain: dict[str, tuple]) -> float:
    """Return the largest difference, relative above 1, between a stack in the engine and plain torch."""
    trained = Trained(runs, executor)
    worst = 0.0

    def compare(ours: Tensor, theirs: Tensor) -> None:
        nonlocal worst
        assert ours.shape == theirs.shape
        if ours.numel():
            gap = (ours.double() - theirs.double()).abs() / theirs.double().abs().clamp(min=1)
            worst = max(worst, math.inf if gap.isnan().any() else gap.max().item())

    for run in runs:
        train, test, tensors = plain[run.run_id]
        rows = trained.rows[run.run_id]
        compare(torch.tensor([row.train_loss for row in rows[1:]]), torch.tensor(train))
        compare(torch.tensor([row.test_loss for row in rows]), torch.tensor(test))
        final = trained.tensors[run.run_id]
        assert final.keys() == set(tensors)
        for key, value in tensors.items():
            compare(final[key], value)
    return worst
