"""normbench: one config, records on disk included, with one evaluation more, at the start."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from data import section
from work import Took, Work, clock, main

from normbench import api
from normbench.data import load

LAUNCHER = "processes" if "--processes" in sys.argv else "local"


def config(work: Work) -> str:
    # torch's weight_norm does not set its scale from data
    norm = {"name": "weightnorm", "init_from_data": False} if work.norm == "weightnorm" else work.norm
    model = {"name": work.model, "norm": norm, "depth": work.depth, "width": work.width}
    if work.model != "lstm":
        model["activation"] = work.activation
    if work.model == "cnn":
        model["head"] = "average"
    if work.dropout:
        model["dropout"] = {"rate": work.dropout, "placement": "after_activation"}
    return json.dumps(
        {
            "name": "peer",
            "seeds": list(work.seeds),
            "data": section(work),
            "model": model,
            "train": {"steps": work.steps, "eval_every": work.steps},
            "sweep": {"optimizer.lr": list(work.rates)},
        }
    )


def train(work: Work) -> Took:
    began = clock()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "peer.yaml")
        file.write_text(config(work))
        for data in {run.settings.data for run in api.plan(file).runs}:
            load(data)  # into memory: reading the images is start-up
        startup = clock() - began
        began = clock()
        done = api.run(file, results=folder, launcher=LAUNCHER)
        seconds = clock() - began
        runs = api.load(done.folder).runs.sort_values(["seed", "optimizer.lr"])
        if (unfinished := int((runs["status"] != "finished").sum())) > 0:
            raise SystemExit(
                f"{unfinished} runs did not finish, so their steps were not made: take other rates"
            )
        accuracies = runs["final_test_accuracy"].tolist()
    return Took(seconds, startup, work.runs, work.steps, accuracies)


if __name__ == "__main__":
    sys.argv = [arg for arg in sys.argv if arg != "--processes"]
    main(train)
