"""Small stacks on the embedded digits, and the same nets in plain torch to compare with."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.plain_norms import plain_gain, plain_norm, plain_wrap
from normbench.config import parse_config
from normbench.data import Dataset, batch_order, draw, load
from normbench.engine.events import Evaluation, RunEnd
from normbench.engine.loop import StackTrainer
from normbench.engine.state import initial_model
from normbench.models import MODELS
from normbench.nn.layers import ACTIVATIONS, Scaled
from normbench.norms import NORMS
from normbench.planning.plan import Plan, make_plan
from normbench.planning.runs import RunSpec
from normbench.planning.stacks import stack_key
from normbench.seeding import generator

MLP = {"name": "mlp", "depth": 2, "width": 16}
CNN = {"name": "cnn", "depth": 2, "width": 8}


def takes(model: dict) -> list[str]:
    """Return the normalizations that do not refuse this net."""

    def made(name: str) -> Any:
        return MODELS[model["name"]].model_validate({**model, "norm": norm_of(name)})

    return [name for name in NORMS if made(name).refuses((1, 8, 8), 20) is None]


def norm_of(name: str, groups: int = 2) -> dict:
    """Return the config section of a normalization, with options that suit small nets and batches.

    Groups of few features make training chaotic, and so do covariances of almost as many features as there
    are images: a difference in rounding then grows from step to step.
    """
    wanted = {"groups": groups, "group_size": 4}
    return {"name": name, **{key: wanted[key] for key in wanted.keys() & NORMS[name].model_fields.keys()}}


def plan_of(
    seeds: Any = 1,
    data: dict | None = None,
    model: dict | None = None,
    optimizer: dict | None = None,
    train: dict | None = None,
    sweep: dict | None = None,
    executor: str = "auto",
) -> Plan:
    """Return the plan of a small config; each argument changes the defaults of its section."""
    config = {
        "name": "test",
        "seeds": seeds,
        "data": {"name": "digits", "train_size": 300, "test_size": 40, "batch_size": 20, **(data or {})},
        "model": model if model and model.get("name", "mlp") != "mlp" else {**MLP, **(model or {})},
        "optimizer": {"name": "sgd", "lr": 0.1, **(optimizer or {})},
        "train": {"steps": 100, "eval_every": 1, **(train or {})},
    }
    if sweep:
        config["sweep"] = sweep
    return make_plan(parse_config(yaml.safe_dump(config)), device="cpu", executor=executor)


def runs_of(**parts: Any) -> list[RunSpec]:
    """Return the runs of a plan, which must form one stack."""
    (stack,) = plan_of(**parts).stacks
    return list(stack.runs)


def data_of(run: RunSpec) -> Dataset:
    return load(run.settings.data, dtype=getattr(torch, run.settings.train.dtype))


def trainer(runs: list[RunSpec], executor: str = "vectorized", **options: Any) -> StackTrainer:
    return StackTrainer(runs, data_of(runs[0]), executor, stack_key(runs[0].settings), **options)


class Trained:
    """A stack trained to its end, with the rows, the end and the final tensors of each run."""

    def __init__(self, runs: list[RunSpec], executor: str = "vectorized", **options: Any) -> None:
        stack = trainer(runs, executor, **options)
        self.rows: dict[str, list[Evaluation]] = {run.run_id: [] for run in runs}
        self.ends: dict[str, RunEnd] = {}
        self.tensors: dict[str, dict[str, Tensor]] = {}
        for event in stack.events():
            if isinstance(event, Evaluation):
                self.rows[event.run_id].append(event)
                continue
            assert event.run_id not in self.ends
            self.ends[event.run_id] = event
            if event.status == "finished" and not self.tensors:
                named = {**stack.state.params, **stack.state.buffers}
                for lane, run in enumerate(stack.state.lanes):
                    own = {key: value[lane].clone() for key, value in named.items()}
                    self.tensors[runs[run].run_id] = own
        assert set(self.ends) == set(self.rows)

    def same_bits(self, other: Trained, run_id: str) -> bool:
        mine, its = self.tensors.get(run_id, {}), other.tensors.get(run_id, {})
        same = mine.keys() == its.keys() and all(torch.equal(mine[key], its[key]) for key in mine)
        return same and repr(self.rows[run_id]) == repr(other.rows[run_id])


# Plain nets of torch.nn modules, under the names that normbench's nets use.


class PlainDropout(nn.Module):
    """Draws its mask from the run's seed, the step and its place, as `normbench.seeding` defines it."""

    def __init__(self, rate: float, place: str, alpha: bool, clock: dict[str, int]) -> None:
        super().__init__()
        self.rate, self.place, self.alpha, self.clock = rate, place, alpha, clock

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        rng = generator(self.clock["seed"], "noise", self.clock["step"], self.place)
        keep = (torch.rand(x.shape, generator=rng) >= self.rate).to(x.dtype)
        if not self.alpha:
            return x * keep / (1 - self.rate)
        low, q = -1.0507009873554805 * 1.6732632423543772, 1 - self.rate
        a = (q + low**2 * q * (1 - q)) ** -0.5
        return a * (x * keep + low * (1 - keep)) - a * (1 - q) * low


class PlainNet(nn.Module):
    def __init__(self, run: RunSpec, dataset: Dataset, clock: dict[str, int]) -> None:
        super().__init__()
        options = run.settings.model
        norm, images = options.norm.name, options.name == "cnn"
        dropout = options.dropout
        self.images, self.average = images, images and options.head == "average"

        def drop(placement: str, where: str) -> list[nn.Module]:
            if dropout.placement != placement:
                return []
            return [PlainDropout(dropout.rate, where, norm == "selu", clock)]

        self.before = nn.Sequential(*drop("input", "before.0"))
        self.late = nn.Sequential(*drop("classifier", "late.0"))
        self.hidden = nn.Sequential()
        channels, *size = dataset.input_shape
        inputs = channels if images else channels * size[0] * size[1]
        outputs, bias = options.width, not options.norm.subtracts_mean
        bias = bias or dropout.placement == "before_norm"
        for index in range(options.depth):
            at = f"hidden.{len(self.hidden)}.dropout_"
            layer = nn.Conv2d(inputs, outputs, 3, padding=1) if images else nn.Linear(inputs, outputs)
            if not bias:
                layer.register_parameter("bias", None)
            norm_layer = plain_norm(norm, outputs, images, options.norm)
            parts = [("layer", plain_wrap(norm, layer))]
            parts += [("d1", d) for d in drop("before_norm", at + "before_norm")]
            parts += [] if norm_layer is None else [("norm", norm_layer)]
            parts += [("d2", d) for d in drop("after_norm", at + "after_norm")]
            activation = getattr(nn, type(ACTIVATIONS[options.activation]()).__name__)()
            gain = plain_gain(norm, activation)
            parts.append(("activation", activation if gain == 1 else Scaled(activation, gain)))
            parts += [("d3", d) for d in drop("after_activation", at + "after_activation")]
            self.hidden.append(nn.Sequential(OrderedDict(parts)))
            inputs = outputs
            if images and index in (1, 3, 5):
                self.hidden.append(nn.MaxPool2d(2))
                size, outputs = [side // 2 for side in size], outputs * 2
        if images and not self.average:
            inputs *= size[0] * size[1]
        self.classifier = plain_wrap(norm, nn.Linear(inputs, dataset.classes), classifier=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.hidden(self.before(x if self.images else x.flatten(1)))
        return self.classifier(self.late(x.mean((2, 3)) if self.average else x.flatten(1)))

    def tensors(self) -> dict[str, Tensor]:
        """Return parameters and buffers under the names of normbench."""
        names = {"parametrizations.weight.original0": "gain", "parametrizations.weight.original1": "weight"}
        found = {}
        for key, value in (*self.named_parameters(), *self.named_buffers()):
            if key.endswith("num_batches_tracked"):
                continue
            for theirs, ours in names.items():
                if key.endswith(theirs):
                    key = key.replace(theirs, ours)
                    value = value.flatten() if ours == "gain" else value
            found[key] = value
        return found


def cropped(x: Tensor, pad: int, seed: int, step: int, flip: bool) -> Tensor:
    """Return the images of a step, each padded, cropped and mirrored by itself."""
    from normbench.data import Augment

    draws = draw(Augment(pad=pad, flip=flip), seed, step, len(x))
    height, width = x.shape[2:]
    images = []
    for image, top, left, mirrored in zip(x, draws.top, draws.left, draws.flip, strict=True):
        crop = F.pad(image, (pad, pad, pad, pad))[:, top : top + height, left : left + width]
        images.append(crop.flip(-1) if mirrored else crop)
    return torch.stack(images)


def batches_of(run: RunSpec, dataset: Dataset) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Return a function that gives the batch of a step, counted from 0, from the run's seed."""
    settings, x, y = run.settings, dataset.train.x, dataset.train.y
    size, per_epoch = settings.data.batch_size, len(x) // settings.data.batch_size

    def batch(step: int) -> tuple[Tensor, Tensor]:
        epoch, place = divmod(step, per_epoch)
        index = batch_order(run.seed, epoch, len(x))[place * size : (place + 1) * size]
        augment = settings.data.augment
        images = x[index]
        if augment.active:
            images = cropped(images, augment.pad, run.seed, step, augment.flip)
        return images, y[index]

    return batch


def train_plainly(run: RunSpec) -> tuple[list[float], list[float], dict[str, Tensor]]:
    """Train one run with torch.nn and torch.optim.

    Return the training loss of each step, the test loss of each evaluation, and the final tensors.
    """
    dataset, settings, clock = data_of(run), run.settings, {"seed": run.seed, "step": 0}
    batch = batches_of(run, dataset)
    net = PlainNet(run, dataset, clock).to(dataset.train.x.dtype)
    start = initial_model(run, dataset.input_shape, dataset.classes, batch(0)[0])
    ours = {**dict(start.named_parameters()), **dict(start.named_buffers())}
    with torch.no_grad():
        own = net.tensors()
        for key, value in own.items():
            value.copy_(ours[key])
        assert {key for key in ours if not key.endswith(".rate")} == set(own)
    options = settings.optimizer
    optimizer = torch.optim.SGD(
        net.parameters(), lr=options.lr, momentum=options.momentum, weight_decay=options.weight_decay
    )
    train, test = [], []
    for step in range(settings.train.steps):
        clock["step"] = step
        images, labels = batch(step)
        optimizer.zero_grad()
        loss = F.cross_entropy(net.train()(images), labels)
        loss.backward()
        optimizer.step()
        train.append(loss.item())
        if (step + 1) % settings.train.eval_every:
            continue
        with torch.no_grad():
            test.append(F.cross_entropy(net.eval()(dataset.test.x), dataset.test.y).item())
    return train, test, {key: value.detach() for key, value in net.tensors().items()}
