"""The base of the recurrent nets: images as sequences, layers, and the places of the normalization."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.errors import PlanError
from normbench.models.base import Model
from normbench.models.init import Init
from normbench.nn.layers import Linear, Noisy
from normbench.norms.sequence import Seen, SequenceLayer
from normbench.seeding import generator

Order = Literal["rows", "pixels", "permuted_pixels"]
Where = Literal["input", "between_layers", "full"]
RecurrentStart = Literal["as_input", "orthogonal", "identity"]


class Recurrent(Model):
    """Base of the recurrent nets: `depth` layers of `width` units; the classifier sees the last output.

    `recurrent_norm` places the normalization: `input` normalizes W_x x only; `between_layers` normalizes the
    outputs of a layer before the next one; `full` normalizes W_x x and W_h h separately and, in an LSTM, the
    cell state c before its tanh.
    """

    depth: int = Field(1, ge=1, le=100, description="number of recurrent layers")
    width: int = Field(100, ge=1, description="units per layer")
    sequence: Order = Field(
        "rows", description="inputs of a step: a row, a pixel, or a pixel in one fixed random order"
    )
    pooling: int = Field(1, ge=1, description="average pooling of the images; 2 turns 28x28 into 14x14")
    extra_test_steps: int = Field(
        0, ge=0, description="blank steps after the image at inference, not seen in training"
    )
    recurrent_norm: Where = Field("full", description="where the normalization is placed")
    statistics: Literal["per_step", "shared"] = Field(
        "per_step",
        description="running statistics: one set for each step of the sequence, or one for all steps",
    )
    norm_gain: float | None = Field(
        None, description="initial gain of the normalization (unset: 0.1 for batchnorm, otherwise 1)"
    )
    recurrent_init: RecurrentStart = Field(
        "as_input",
        description="W_h by `init`; orthogonal for each gate; or orthogonal, with identity for the candidate",
    )
    state_noise: float = Field(
        0.0, ge=0, description="standard deviation of uniform noise on the initial state, in training"
    )

    gates: ClassVar[int]

    def resolve(self) -> Model:
        """Return the options in effect; options without effect are reset.

        Initial weights that a normalization asks for are meant for feed-forward nets and do not apply.
        """
        resolved = super().resolve()
        fixed: dict[str, object] = {"norm_position": "before_activation", "init": self.init.resolve({})}
        layerless = self.layerless()
        if layerless:
            fixed.update(recurrent_norm="full", norm_gain=None)
        elif self.norm_gain is None:
            fixed["norm_gain"] = self.norm.recurrent_gain
        if layerless or not self.norm.subtracts_mean:
            fixed["statistics"] = "per_step"  # there are no running statistics
        return resolved.model_copy(update=fixed)

    def refuses(self, input_shape: tuple[int, ...], batch_size: int) -> str | None:
        """Refuse options that do not apply to recurrent nets."""
        if self.dropout.placement in ("before_norm", "after_norm"):
            return (
                f"dropout.placement '{self.dropout.placement}' does not exist in a recurrent net; "
                "one of: none, input, after_activation, classifier"
            )
        if any(side % self.pooling for side in input_shape[1:]):
            height, width = input_shape[1:]
            return f"pooling {self.pooling} does not divide images of {height}x{width}"
        if self.recurrent_norm == "between_layers" and self.depth < 2:
            return "recurrent_norm 'between_layers' needs at least 2 layers; raise model.depth"
        return super().refuses(input_shape, batch_size) or self.norm.refuses_sequences()

    def layerless(self) -> bool:
        """Return whether the normalization has no layer of its own."""
        return "model.norm_position" in self.norm.sets()

    def plain_cells(self) -> bool:
        """Return whether nothing inside a recurrent layer is normalized."""
        bare = self.layerless() or self.recurrent_norm == "between_layers"
        return bare and type(self.norm.wrap(Linear(1, 1))) is Linear

    def steps(self, input_shape: tuple[int, ...]) -> int:
        """Return the number of steps of a training sequence."""
        height, width = (side // self.pooling for side in input_shape[1:])
        return height if self.sequence == "rows" else height * width

    def features(self, input_shape: tuple[int, ...]) -> int:
        """Return the number of inputs of a step."""
        channels, _, width = input_shape
        return channels * (width // self.pooling if self.sequence == "rows" else 1)

    def normalizer(
        self, where: Where, features: int, steps: int, offset: bool = True
    ) -> SequenceLayer | None:
        """Return the layer that normalizes at this place, or None.

        Args:
            where: the place; `input` is also normalized with `recurrent_norm: full`.
            features: number of features.
            steps: length of a training sequence.
            offset: learn an offset beta.

        Raises:
            PlanError: the normalization refuses this many features.
        """
        if self.recurrent_norm != where and not (self.recurrent_norm == "full" and where == "input"):
            return None
        reason = self.norm.refuses_features(features, self.images)
        if reason:
            raise PlanError(reason)
        layer = self.norm.sequence_module(features, steps, self.statistics == "shared", offset)
        if layer is not None and self.norm_gain is not None:
            for part in layer.modules():
                gain = getattr(part, "weight", None)
                if isinstance(gain, nn.Parameter) and gain.dim() == 1:
                    nn.init.constant_(gain, self.norm_gain)
        return layer

    def cell(self, inputs: int, steps: int) -> Cell:
        """Return one recurrent layer; implemented by each architecture."""
        raise NotImplementedError

    def assemble(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the net for inputs (C, H, W)."""
        steps, hidden = self.steps(input_shape), nn.ModuleList()
        for index in range(self.depth):
            parts: dict[str, nn.Module] = {}
            inputs = self.features(input_shape)
            if index:
                inputs = self.width
                between = self.normalizer("between_layers", self.width, steps)
                parts = {} if between is None else {"norm": between}
            parts["cell"] = self.cell(inputs, steps)
            parts.update(self.drop("after_activation"))
            hidden.append(nn.Sequential(OrderedDict(parts)))
        return RecurrentNet(
            Sequences(self, steps),
            nn.Sequential(*self.drop("input").values()),
            nn.Sequential(*hidden),
            nn.Sequential(*self.drop("classifier").values()),
            self.norm.wrap_classifier(Linear(self.width, classes, bias=self.bias is not False)),
        )


class Sequences(nn.Module):
    """Turns images (B, C, H, W) into sequences (T, B, F); adds blank steps at inference."""

    def __init__(self, options: Recurrent, steps: int) -> None:
        super().__init__()
        self.pooling, self.rows = options.pooling, options.sequence == "rows"
        self.extra = options.extra_test_steps
        self.order: Tensor | None
        order = torch.randperm(steps, generator=generator(0, "permutation"), device="cpu")
        permuted = options.sequence == "permuted_pixels"
        self.register_buffer("order", order if permuted else None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sequences (T, B, F)."""
        if self.pooling > 1:
            x = F.avg_pool2d(x, self.pooling)
        x = x.permute(2, 0, 1, 3) if self.rows else x.flatten(2).permute(2, 0, 1)  # (T, B, C[, W])
        if self.order is not None:
            x = x.index_select(0, self.order)
        x = x.flatten(2)
        if self.extra and not self.training:
            x = torch.cat([x, x.new_zeros(self.extra, *x.shape[1:])])
        return x


class StateNoise(Noisy):
    """Adds uniform noise with mean 0 and standard deviation `rate` to the state h, in training."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the state (B, H) with noise."""
        if not self.training:
            return x
        return x + (self.uniform(x) - 0.5) * (math.sqrt(12) * self.rate).to(x.dtype)


class Cell(nn.Module):
    """One recurrent layer with the inputs z_t = N(W_x x_t) + N(W_h h_t-1) + b of the gates; N is optional.

    Attributes:
        recurs: marks the layers whose inputs change from step to step (see `initialize_from_batch`).
        fused: use torch's kernel for the whole sequence, if there is one and nothing is normalized.
    """

    recurs = True
    fused = True

    def __init__(self, options: Recurrent, inputs: int, steps: int) -> None:
        super().__init__()
        self.width, self.gates, self.recurrent_init = options.width, options.gates, options.recurrent_init
        units = options.gates * options.width
        self.input = options.norm.wrap(Linear(inputs, units, bias=False))
        self.recurrent = options.norm.wrap(Linear(options.width, units, bias=False))
        self.offset = None if options.bias is False else nn.Parameter(torch.zeros(units))
        self.input_norm = options.normalizer("input", units, steps, offset=False)
        self.recurrent_norm = options.normalizer("full", units, steps, offset=False)
        self.noise = StateNoise(options.state_noise) if options.state_noise else None
        self.plain = options.plain_cells()

    @torch.no_grad()
    def start(self, init: Init, rng: Callable[[str], torch.Generator]) -> None:
        """Draw the bias and, if it has a scheme of its own, W_h; its last block is that of the candidate."""
        if self.offset is not None:
            self.offset.copy_(init.bias(self.offset.shape, self.width, rng("offset")))
        if self.recurrent_init == "as_input":
            return
        weight = cast("Tensor", self.recurrent.weight)  # wrapped layers have one, too
        blocks = weight.unflatten(0, (self.gates, self.width))
        orthogonal = Init(scheme="orthogonal")
        for index, block in enumerate(blocks):
            block.copy_(orthogonal.weights(block.shape, rng(f"recurrent.{index}")))
        if self.recurrent_init == "identity":
            blocks[-1].copy_(torch.eye(self.width))

    def first(self, x: Tensor) -> Tensor:
        """Return the initial state (B, H) for a sequence x (T, B, F)."""
        state = x.new_zeros(x.shape[1], self.width)
        return state if self.noise is None else self.noise(state)

    def inputs(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return N(W_x x_t) + b, (B, gates H), for each step of x (T, B, F); one product serves all steps."""
        z = self.input(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        if self.input_norm is not None:
            z = self.input_norm(z)
        if self.offset is not None:
            z = z + self.offset
        return z.unbind(0)

    def recur(self, h: Tensor, step: int, seen: Seen) -> Tensor:
        """Return N(W_h h), (B, gates H), for h (B, H)."""
        z = self.recurrent(h)
        return z if self.recurrent_norm is None else self.recurrent_norm.at(z, step, seen)

    def remember(self, seen: Seen) -> None:
        """Update the running statistics of W_h h."""
        if self.recurrent_norm is not None:
            self.recurrent_norm.remember(seen)


class RecurrentNet(nn.Module):
    """Maps images (B, C, H, W) to logits (B, classes).

    Args:
        sequences: turns images into sequences.
        before: dropout of the inputs.
        hidden: the recurrent layers.
        late: dropout before the classifier.
        classifier: the last linear layer.
    """

    def __init__(
        self,
        sequences: Sequences,
        before: nn.Module,
        hidden: nn.Module,
        late: nn.Module,
        classifier: nn.Module,
    ) -> None:
        super().__init__()
        self.sequences, self.before, self.hidden = sequences, before, hidden
        self.late, self.classifier = late, classifier

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        outputs = self.hidden(self.before(self.sequences(x)))  # (T, B, H)
        return self.classifier(self.late(outputs[-1]))
