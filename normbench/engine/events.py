"""What a stack reports while it trains: evaluations, measurements of probes, and the end of each run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Evaluation:
    """One row of metrics.csv.

    Attributes:
        run_id: of the run.
        step: number of updates made so far.
        epoch: the same in epochs; it may be a fraction.
        lr: learning rate of the last update.
        train_loss: mean over the training batches since the last evaluation, in training mode, in nats;
            None before the first update.
        train_accuracy: mean over the same batches, from 0 to 1.
        val_loss: mean over the validation images at inference, in nats; None without such images.
        val_accuracy: share of correct answers on them.
        test_loss: mean over the test images at inference, in nats; None without such images.
        test_accuracy: share of correct answers on them.
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
    """What the probes measured in one run.

    Attributes:
        run_id: of the run.
        step: number of updates made before the measurement.
        rows: (layer, quantity, value).
    """

    run_id: str
    step: int
    rows: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True)
class RunEnd:
    """How one run ended.

    Attributes:
        run_id: of the run.
        status: finished, diverged or crashed.
        steps: number of updates made.
        diverged_at_step: number of the first update, counted from 1, whose loss was not finite; or None.
        train_loss_last_tenth: mean training loss over the last tenth of the steps, in nats, if it finished.
        label_entropy: entropy of the training labels, in nats.
        parameters: number of parameters of the net.
        train_seconds: the run's share of the training time of its stack, evaluation excluded.
        executor: name of the executor that trained it.
        error: traceback of a crashed run; the exception of a run that diverged by raising one.
        inference_train_loss: mean over training images at inference after the last update, in nats, if the
            run finished.
        inference_train_accuracy: share of correct answers on them.
        inference_train_images: how many training images these were.
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
    inference_train_loss: float | None = None
    inference_train_accuracy: float | None = None
    inference_train_images: int | None = None


Event = Evaluation | Layers | RunEnd
