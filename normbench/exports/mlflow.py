"""MLflow's tracking store: a run there for each run here."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from normbench.errors import NormbenchError
from normbench.exports.base import Run, Source, Target

_RUN, _DIGEST = "normbench.run_id", "normbench.digest"
_BATCH, _PARAMS = 1000, 100  # metrics and parameters that MLflow takes at a time
_STATES = {"finished": "FINISHED", "diverged": "FINISHED", "pending": "SCHEDULED", "interrupted": "KILLED"}


class MLflow(Target):
    """A database of MLflow with an experiment for each experiment and a run for each run.

    Parameters are the settings, metrics the curves and the numbers of runs.csv; the layers' are called
    `layer/quantity`. MLflow has no infinite numbers: they are left out, and the export says how many.
    """

    name: Literal["mlflow"] = "mlflow"

    modules: ClassVar[tuple[str, ...]] = ("mlflow", "sqlalchemy")

    def write(self, sources: Sequence[Source], place: Path) -> Iterator[Path]:
        """Write into `place/mlflow.db` and yield it. Runs that are there already stay if they are equal."""
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        path = (place / "mlflow.db").resolve()
        for name in ("mlflow", "alembic"):  # they tell the steps that make a new database
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            client = MlflowClient(tracking_uri=f"sqlite:///{path.as_posix()}")
            for source in sources:
                _write(client, source, place)
        except MlflowException as error:
            raise NormbenchError(f"{path}: MLflow refuses the export: {error}") from error
        yield place / "mlflow.db"


def _write(client: Any, source: Source, place: Path) -> None:
    """Write one experiment."""
    there = client.get_experiment_by_name(source.name)
    if there is not None and there.lifecycle_stage != "active":
        raise NormbenchError(
            f"{place / 'mlflow.db'}: the experiment '{source.name}' is deleted there; restore it, or give "
            "another --output"
        )
    artifacts = (place / "mlartifacts" / source.name).resolve().as_uri()
    experiment = there.experiment_id if there else client.create_experiment(source.name, artifacts)
    known = _known(client, experiment)
    left_out = 0
    for run in source.series():
        metrics = [one for one in _metrics(run) if math.isfinite(one[2])]
        left_out += sum(not math.isfinite(value) for _, _, value in _metrics(run))
        digest = hashlib.sha256(repr((run.title, run.row, run.settings, metrics)).encode()).hexdigest()
        same = False
        for one in known.get(run.run_id, ()):
            if one.data.tags.get(_DIGEST) == digest:
                same = True
            else:
                client.delete_run(one.info.run_id)
        if not same:
            _log(client, experiment, run, metrics, round(1000 * source.start), digest)
    if left_out:
        source.say(f"{source.folder}: {left_out:,} numbers are infinite, which MLflow cannot hold; left out")


def _known(client: Any, experiment: str) -> dict[str, list[Any]]:
    """Return the runs that earlier exports wrote, by the id of the run here."""
    found: dict[str, list[Any]] = {}
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        for one in page:
            if _RUN in one.data.tags:
                found.setdefault(one.data.tags[_RUN], []).append(one)
        token = page.token
        if not token:
            return found


def _log(
    client: Any,
    experiment: str,
    run: Run,
    metrics: Sequence[tuple[str, int, float]],
    time: int,
    digest: str,
) -> None:
    """Write one run. The digest comes last, so that a run that is cut short is written again."""
    from mlflow.entities import Metric, Param, RunTag

    words = ("status", "outcome", "stack", "executor")
    tags = {f"normbench.{word}": str(run.row[word]) for word in words if isinstance(run.row[word], str)}
    made = client.create_run(experiment, start_time=time, tags={_RUN: run.run_id, **tags}, run_name=run.title)
    params = [Param(key, str(value)) for key, value in {**run.settings, "seed": run.row["seed"]}.items()]
    for start in range(0, len(params), _PARAMS):
        client.log_batch(made.info.run_id, params=params[start : start + _PARAMS])
    every = [Metric(name, value, time, step) for name, step, value in metrics]
    for start in range(0, len(every), _BATCH):
        client.log_batch(made.info.run_id, metrics=every[start : start + _BATCH])
    client.log_batch(made.info.run_id, tags=[RunTag(_DIGEST, digest)])
    client.set_terminated(made.info.run_id, _STATES.get(str(run.row["status"]), "FAILED"), end_time=time)


def _metrics(run: Run) -> Iterator[tuple[str, int, float]]:
    """Yield name, step and value of all numbers, with the digits of the CSV files."""
    for name, (steps, values) in run.curves.items():
        # float32 as it is written: 0.1, not 0.10000000149
        digits = map(str, values) if values.dtype == np.float32 else values.tolist()
        for step, value in zip(steps.tolist(), digits, strict=True):
            yield name, step, float(value)
    last = int(run.results.get("steps", 0))
    for name, value in run.results.items():
        yield name, last, value
