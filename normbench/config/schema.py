"""The file format as pydantic models; the options of data, models, optimizers come from registries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from normbench.data import DATASETS, DataOptions
from normbench.durations import seconds_of
from normbench.measures.claim import Claim
from normbench.models import MODELS, Model
from normbench.names import MAX_SEEDS
from normbench.optimizers import OPTIMIZERS, Optimizer
from normbench.probes import PROBES, Probe
from normbench.registry import Options
from normbench.stats.edge_search import PRECISION
from normbench.stats.evaluations import evaluation_steps
from normbench.stats.looks import LOOKS, MOST_SEEDS

if TYPE_CHECKING:
    import torch

SECTIONS = ("data", "model", "optimizer", "train")  # what a cell's settings consist of

PositiveInt = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0)]


class Spaced(Options):
    """Evaluation steps whose distances grow: `log` alone, or `first`, `until` and `then`."""

    log: int | None = Field(
        None, gt=0, le=10_000, description="how many evaluations, log-spaced from step 1 to the last"
    )
    first: PositiveInt | None = Field(None, description="steps between evaluations up to `until`")
    until: PositiveInt | None = Field(None, description="a multiple of `first`")
    then: PositiveInt | None = Field(None, description="steps between evaluations after `until`")

    late: ClassVar[frozenset[str]] = frozenset(("first", "until", "then"))

    @model_validator(mode="after")
    def _one_form(self) -> Spaced:
        given = [name for name, value in self if value is not None]
        if given not in (["log"], ["first", "until", "then"]):
            raise ValueError(
                f"found {', '.join(given) or 'nothing'}; allowed: log alone, or first, until and then"
            )
        if self.first and self.until and self.until % self.first:
            near = max(self.until - self.until % self.first, self.first)
            raise ValueError(
                f"found until: {self.until}, first: {self.first}; allowed: a multiple of first, "
                f"such as {near}"
            )
        return self

    @property
    def early(self) -> tuple[int, int, int] | None:
        """Return `first`, `until` and `then`, if they are given."""
        if self.first is None or self.until is None or self.then is None:
            return None
        return self.first, self.until, self.then


class Train(Options):
    """How long to train, and when to measure."""

    steps: int = Field(1000, gt=0, description="updates of the weights")
    eval_every: PositiveInt | list[PositiveInt] | Spaced = Field(
        100,
        description="steps between evaluations, or their list, or {log: how many}, or {first: 5, until: 200, "
        "then: 20}: every 5 steps up to 200, then every 20; the last step is one, too",
    )
    eval_size: int | None = Field(
        None, gt=0, description="test images of the evaluations in between; the last one takes all"
    )
    eval_batch_size: int | None = Field(
        None,
        gt=0,
        description="images in a batch at inference; the last batch of a part has what is left; unset: "
        "batches of equal size, of at most 256 images",
    )
    trains_below: float = Field(
        0.5,
        gt=0,
        description="'trains' means a training loss of at most this times the entropy of the labels",
    )
    dtype: Literal["float32", "float64"] = Field("float32", description="of weights and inputs")

    late: ClassVar[frozenset[str]] = frozenset({"eval_batch_size"})

    @property
    def evaluation_steps(self) -> list[int]:
        """Return the steps at which a run is evaluated: 0, then as `eval_every` says, and the last."""
        every = self.eval_every
        if isinstance(every, int):
            return evaluation_steps(self.steps, every=every)
        if isinstance(every, list):
            return evaluation_steps(self.steps, at=every)
        return evaluation_steps(self.steps, log=every.log, early=every.early)

    @property
    def tail_start(self) -> int:
        """Return the number of steps before the last tenth."""
        return self.steps - max(1, self.steps // 10)

    @property
    def torch_dtype(self) -> torch.dtype:
        """Return the type of weights and inputs as torch has it."""
        import torch  # lazily: reading a config must not take torch's import time

        return torch.float64 if self.dtype == "float64" else torch.float32

    @property
    def itemsize(self) -> int:
        """Return the bytes of one number."""
        return 8 if self.dtype == "float64" else 4

    def hashed(self) -> dict[str, Any]:
        """Return the options as a run's id hashes them; `trains_below` only judges the numbers."""
        return {key: value for key, value in super().hashed().items() if key != "trains_below"}

    def in_common(self) -> dict[str, Any]:
        """Return what the runs of one stack have in common of these options, as plain data."""
        return self.model_dump(mode="json", exclude={"trains_below"})


class Settings(Options):
    """One cell of the grid without its seed: everything that a run needs."""

    data: Annotated[DataOptions, DATASETS.choice] = Field(description="the data set and its batches")
    model: Annotated[Model, MODELS.choice] = Field(description="the architecture and its options")
    optimizer: Annotated[Optimizer, OPTIMIZERS.choice] = Field(
        OPTIMIZERS["sgd"](name="sgd"), description="the optimiser; SGD if not given"
    )
    train: Train = Field(Train(), description="length and evaluation")


class Decide(Options):
    """How `normbench run` adds seeds until claims are decided."""

    max_seeds: int = Field(
        MOST_SEEDS, ge=min(LOOKS), le=MOST_SEEDS, description="the most seeds of a cell; `seeds` is the start"
    )
    budget: str | SkipJsonSchema[None] = Field(
        None,
        description="training time of each command, such as 90s, 30m or 2h; by default no end",
        examples=["30m"],
    )
    claims: Literal["all", "primary"] = Field(
        "all", description="which open claims get more seeds; primary: the one with `primary: true` alone"
    )

    @field_validator("budget", mode="before")
    @classmethod
    def _a_time(cls, value: Any) -> Any:
        seconds_of("nothing" if value is None else str(value))  # a number without its unit is told the same
        return value


class Header(Options):
    """What the file says beside its settings."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$",
        description="letters, digits, - and _, not - first; results/<name>/ holds the records",
    )
    title: str | None = Field(None, description="heads the figures and the report")
    seeds: Annotated[int, Field(gt=0, le=MAX_SEEDS)] | list[Seed] = Field(
        5, description="how many (5 means 0 to 4), or a list of different seeds"
    )
    probes: list[Annotated[Probe, PROBES.choice]] = Field(
        [], description="diagnostics of each layer: names, or {name: ..., options}"
    )
    decide: Decide | SkipJsonSchema[None] = Field(
        None, description="add seeds to the cells of open claims until they are decided; {} for the defaults"
    )
    claims: list[Claim] = Field([], description="statements for `normbench verify`")

    @field_validator("decide", mode="before")
    @classmethod
    def _not_empty(cls, value: Any) -> Any:
        if value is None:
            raise ValueError(
                "found nothing; allowed: a mapping with the keys "
                f"{', '.join(Decide.model_fields)}; write {{}} for the defaults, or leave `decide` out"
            )
        return value

    @field_validator("probes", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [{"name": item} if isinstance(item, str) else item for item in value]

    @property
    def seed_list(self) -> list[int]:
        """Return the seeds, one by one."""
        return list(range(self.seeds)) if isinstance(self.seeds, int) else list(self.seeds)


class LinearAxis(Options):
    """`num` values in equal steps."""

    from_: float = Field(alias="from", description="the first value")
    to: float = Field(description="the last value")
    num: int = Field(ge=1, le=10_000, description="how many")


class LogAxis(LinearAxis):
    """`num` values with equal ratios."""

    from_: float = Field(alias="from", gt=0, description="the first value")
    to: float = Field(gt=0, description="the last value")


class RangeAxis(Options):
    """Values from `from` on in steps of `step`, `to` included where it falls on one."""

    from_: float = Field(alias="from", description="the first value")
    to: float = Field(description="the bound, included")
    step: float = Field(1, description="the distance, not 0")


class EdgeAxis(Options):
    """The largest rate that trains, found by a scan and a search on the log scale; `optimizer.lr` alone."""

    from_: float = Field(alias="from", gt=0, description="the smallest rate")
    to: float = Field(gt=0, description="the largest rate")
    precision: float = Field(
        PRECISION, gt=1, le=1000, description="ratio of neighbouring rates at the edge, at most"
    )

    @model_validator(mode="after")
    def _upwards(self) -> EdgeAxis:
        if self.from_ >= self.to:
            raise ValueError(f"found from: {self.from_:g}, to: {self.to:g}; allowed: from below to")
        return self


AXES: dict[str, type[Options]] = {"linspace": LinearAxis, "logspace": LogAxis, "range": RangeAxis}


class Config(Settings, Header):
    """The file format: one experiment, its settings, what is swept, what is claimed."""

    sweep: dict[str, Any] | None = Field(
        None, description="any dotted key: its values; zip, exclude, include"
    )
