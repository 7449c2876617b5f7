"""TensorBoard's event files, one for each run."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from normbench.exports.base import Run, Source, Target
from normbench.records.files import write_file

_FILE = "events.out.tfevents.normbench"  # TensorBoard reads each file with `tfevents` in its name
_LONGEST = 120  # characters of a folder's name that the settings may take; the run's id follows


class TensorBoard(Target):
    """A folder for each run with its curves, results and hyperparameters, for `tensorboard --logdir`.

    Tags are `metrics/` with the columns of metrics.csv, `layers/` with layer and quantity, and `results/`
    with the numbers of runs.csv at the run's last step. TensorBoard stores numbers as float32.
    """

    name: Literal["tensorboard"] = "tensorboard"

    modules: ClassVar[tuple[str, ...]] = ("tensorboard",)

    def write(self, sources: Sequence[Source], place: Path) -> Iterator[Path]:
        """Write `place/EXPERIMENT/RUN/` for each run; yield the folder of each experiment."""
        for source in sources:
            for run in source.series():
                folder = place / source.name / folder_of(run)
                folder.mkdir(parents=True, exist_ok=True)
                # A file of its own name and bytes, where TensorBoard's writer would add one at each export.
                write_file(folder / _FILE, events(run, source.start))
            yield place / source.name


def folder_of(run: Run) -> str:
    """Return the name of a run's folder: its swept values, its seed, its id."""
    text = re.sub(r"[^\w.=,+-]+", "_", run.title.replace(", ", ","))
    return f"{text[:_LONGEST]},{run.run_id}"


def events(run: Run, time: float) -> bytes:
    """Return the event file of a run.

    Args:
        run: what it holds.
        time: of all events, in seconds since 1970; the records have no times of their own.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    data = io.BytesIO()
    writer = RecordWriter(data)
    writer.write(Event(wall_time=time, file_version="brain.Event:2").SerializeToString())
    for summary in _hyperparameters(run):
        writer.write(Event(wall_time=time, summary=summary).SerializeToString())
    for tag, step, value in _scalars(run):
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        writer.write(Event(wall_time=time, step=step, summary=summary).SerializeToString())
    return data.getvalue()


def _scalars(run: Run) -> Iterator[tuple[str, int, float]]:
    for name, (steps, values) in run.curves.items():
        tag = f"layers/{name}" if "/" in name else f"metrics/{name}"
        for step, value in zip(steps.tolist(), values.tolist(), strict=True):
            yield tag, step, value
    last = int(run.results.get("steps", 0))
    for name, value in run.results.items():
        yield f"results/{name}", last, value


def _hyperparameters(run: Run) -> tuple[Any, ...]:
    from torch.utils.tensorboard.summary import hparams

    values = {**run.settings, "seed": run.row["seed"]}
    return tuple(hparams(values, {f"results/{name}": 0.0 for name in run.results}))
