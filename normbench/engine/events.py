"""What the engine tells while it trains: evaluations, what probes measured, and a `RunEnd` for each run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Evaluation:
    """One row of metrics.csv. Losses are means over images in nats; a part that is not evaluated is None.

    `train_*` are means over the training batches since the last evaluation, as trained; `val_*` and `test_*`
    have inference behaviour. `epoch` is a fraction, `lr` the rate of the last step.
    """

    run_id: str
    step: int
    epoch: float
    lr: float
    train_loss: float | None
    train_accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None


@dataclass(frozen=True)
class Layers:
    """What the probes measured in one run before the update of `step`: rows (layer, quantity, value)."""

    run_id: str
    step: int
    rows: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True)
class RunEnd:
    """How one run ended.

    `train_seconds` is the run's share of its stack's training time, evaluation left out. `label_entropy` is
    in nats. `status` is finished, diverged, crashed or interrupted; `error` the traceback of a crashed run.
    """

    run_id: str
    status: str
    steps: int
    diverged_at_step: int | None
    train_loss_last_tenth: float | None
    label_entropy: float
    parameters: int
    train_seconds: float
    executor: str
    error: str | None = None


Event = Evaluation | Layers | RunEnd
